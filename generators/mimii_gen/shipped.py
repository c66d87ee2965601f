"""Models that ship with the package, by name."""

from __future__ import annotations

from pathlib import Path

_WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = ("mini",)
"""Built-in models: `mini` was trained on simulated machines, see docs/mimii-gen.md."""


def model_place(checkpoint: str) -> str:
    """The folder of a built-in model; any other name, a folder or hub id, as it is."""
    return str(_WEIGHTS / checkpoint) if checkpoint in SHIPPED else checkpoint
