"""The accelerator of a training: device, processes, precision and tracker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import GradientAccumulationPlugin

from asdbench import UserError, did_you_mean

from .settings import TrainingSettings

__all__ = ["build_accelerator", "start_trackers"]


def build_accelerator(settings: TrainingSettings, device: str, folder: Path) -> Accelerator:
    """Return an accelerator for a training.

    Args:
        settings: precision, accumulation and tracker are used.
        device: "cpu", "cuda", "cuda:1", "mps" ...; with several processes each takes a GPU of its own.
        folder: where a tracker may write.

    Raises:
        UserError: If this machine lacks the device or the tracker, or the batch cannot be split over the processes.
    """
    if settings.tracker is not None:
        _require_tracker(settings.tracker)
    wanted = torch.device(device)
    if wanted.type == "cuda" and wanted.index is not None and wanted.index < torch.cuda.device_count():
        torch.cuda.set_device(wanted)
    try:
        accelerator = _accelerator(settings, wanted, folder)
    except ValueError:  # accelerate keeps device and precision for the process: an earlier training had others
        accelerator = None
    if accelerator is None or accelerator.device.type != wanted.type:
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = _accelerator(settings, wanted, folder)
    if accelerator.device.type != wanted.type:
        raise UserError(f"the device '{device}' was asked for, but this machine has none; found {accelerator.device}")
    kind = accelerator.distributed_type
    if kind is not DistributedType.NO and not kind.value.startswith("MULTI_"):
        raise UserError(f"accelerate was launched for {kind.value}, expected one process or plain data parallelism")
    parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % parts:
        raise UserError(
            f"batch_size is {settings.batch_size}, expected a multiple of {parts}: "
            f"{accelerator.num_processes} processes times accumulation {settings.accumulation}"
        )
    return accelerator


def start_trackers(accelerator: Accelerator, config: Mapping[str, Any]) -> None:
    """Start the tracker, if there is one, and log the settings to it."""
    if accelerator.log_with:
        plain = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in config.items()}
        accelerator.init_trackers("mimii_gen", config=plain)


def _accelerator(settings: TrainingSettings, device: torch.device, folder: Path) -> Accelerator:
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=settings.accumulation, sync_with_dataloader=False
        ),
        log_with=settings.tracker,
        project_dir=folder,
    )


def _require_tracker(name: str) -> None:
    if name not in LOGGER_TYPE_TO_CLASS:
        raise UserError(f"there is no tracker '{name}'{did_you_mean(name, LOGGER_TYPE_TO_CLASS)}")
    if name not in {str(getattr(known, "value", known)) for known in get_available_trackers()}:
        package = name.replace("_", "-")
        raise UserError(f"tracker is '{name}', which is not installed; install it with: pip install {package}")
