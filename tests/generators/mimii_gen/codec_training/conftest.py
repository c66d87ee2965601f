"""Short clips of tones, as a codec is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asdbench import ClipSet


def write_clips(folder: Path, lengths: list[int], level: float = 0.1, rate: int = 16000) -> ClipSet:
    """Write clips of two machines, tones with some noise, of the given lengths in samples."""
    rows: list[dict[str, Any]] = []
    for number, length in enumerate(lengths):
        random = np.random.default_rng(number)
        tone = np.sin(2 * np.pi * (300, 1100)[number % 2] * np.arange(length) / rate + number)
        wave = level * (tone + 0.1 * random.standard_normal(length))
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, wave.astype(np.float32), rate, subtype="FLOAT")
        rows.append(
            {"clip_id": path.name, "path": str(path), "machine": ("fan", "valve")[number % 2], "section": "00"}
            | {"domain": "source", "split": "train", "condition": "normal", "attributes": {}}
        )
    return ClipSet.from_files(rows, rate)


@pytest.fixture
def make_clips(tmp_path: Path) -> Callable[..., ClipSet]:
    def make(*lengths: int, **options: Any) -> ClipSet:
        folder = tmp_path / "sound"
        folder.mkdir(exist_ok=True)
        return write_clips(folder, list(lengths), **options)

    return make
