"""Random streams named by what they are for, so that no result depends on batch sizes, processes or restarts."""

from __future__ import annotations

import hashlib
import json

import numpy as np

__all__ = ["stream", "unit"]


def stream(*name: str | int) -> np.random.Generator:
    """Return a fresh generator that depends on every part of its name and on nothing else."""
    return np.random.default_rng(int.from_bytes(_digest(name), "big"))


def unit(*name: str | int) -> float:
    """Return a number in [0, 1) that depends on the name only; its order among others is as good as random."""
    return (int.from_bytes(_digest(name)[:8], "big") >> 11) / 2**53


def _digest(name: tuple[str | int, ...]) -> bytes:
    return hashlib.blake2b(json.dumps(name).encode(), digest_size=16).digest()
