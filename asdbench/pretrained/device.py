"""The device that the network is computed on."""

from __future__ import annotations

import os

import torch

from asdbench import UserError


def choose_device(name: str) -> torch.device:
    """Return a device by name; "auto" is a GPU, or the CPU where there is none.

    Without a number the GPU is the first one; of several processes of one training each has its own.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        rank = int(os.environ["LOCAL_RANK"])
        if rank < torch.cuda.device_count():
            return torch.device("cuda", rank)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device: '{name}' was asked for, but this machine has {torch.cuda.device_count()} CUDA GPUs")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device: 'mps' was asked for, but this machine has no Metal GPU")
    return device
