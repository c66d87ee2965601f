"""The device that the network is computed on."""

from __future__ import annotations

import torch

from asdbench import UserError


def choose_device(name: str) -> torch.device:
    """Return a device by name; "auto" is the first GPU, or the CPU where there is none.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device: '{name}' was asked for, but this machine has {torch.cuda.device_count()} CUDA GPUs")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device: 'mps' was asked for, but this machine has no Metal GPU")
    return device
