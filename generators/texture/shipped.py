"""Models that ship with the package, by name."""

from __future__ import annotations

from pathlib import Path

_WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = ("simulated",)
"""Built-in models: `simulated` was fitted to the simulated machines, see docs/texture.md."""


def model_folder(checkpoint: str) -> Path:
    """The folder of a built-in model; any other name is that of a folder."""
    return _WEIGHTS / checkpoint if checkpoint in SHIPPED else Path(checkpoint).expanduser()
