"""Simulated machines: physical models of sound and faults, for benchmarks that need no download.

The models are loaded when they are first used, so that listing the datasets stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asdbench.datasets.simulated.dataset import SimulatedDataset, write_dataset

if TYPE_CHECKING:
    from asdbench.datasets.simulated.clip import Fault, Index, SimulatedClip, simulate, simulate_clip

__all__ = [
    "Fault",
    "Index",
    "SimulatedClip",
    "SimulatedDataset",
    "simulate",
    "simulate_clip",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from asdbench.datasets.simulated import clip

        return getattr(clip, name)
    raise AttributeError(f"module 'asdbench.datasets.simulated' has no attribute {name!r}")
