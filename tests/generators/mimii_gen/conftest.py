"""A small compact codec, trained for a moment, and the clips that it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asdbench import ClipSet
from asdbench.generators.mimii_gen.compact.learning import learn_compact
from asdbench.generators.mimii_gen.compact.settings import CompactSettings

COMPACT = CompactSettings(
    bands=32,
    clip_dim=6,
    detail_dim=3,
    frame_dim=4,
    width=16,
    seconds=0.512,
    batch_size=8,
    steps=40,
    warmup_steps=5,
    save_every=20,
    log_every=5,
)


@pytest.fixture(scope="session")
def compact_settings() -> CompactSettings:
    return COMPACT


@pytest.fixture(scope="session")
def machine_clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """Clips of two machines, 2.2 s each: a hum in coloured noise, and noise with knocks."""
    folder, rows = tmp_path_factory.mktemp("machines"), []
    time = np.arange(35200) / 16000
    for number in range(12):
        random = np.random.default_rng(number)
        machine, condition = ("fan", "valve")[number % 2], "anomaly" if number % 4 == 3 else "normal"
        white = random.standard_normal(len(time))
        if machine == "fan":
            wave = 0.02 * np.convolve(white, np.ones(8) / 8, "same") + 0.02 * np.sin(2 * np.pi * 1010 * time)
        else:
            wave = 0.01 * white * (1 + 8 * (np.sin(2 * np.pi * (2 + number / 6) * time) > 0.97))
        wave *= 1 + 0.1 * number
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, wave.astype(np.float32), 16000, subtype="FLOAT")
        rows.append(
            {"clip_id": path.name, "path": str(path), "machine": machine, "section": "00", "domain": "source"}
            | {"split": "train", "condition": condition, "attributes": {}}
        )
    return ClipSet.from_files(rows, 16000)


@pytest.fixture(scope="session")
def compact_codec(machine_clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a compact codec."""
    work = tmp_path_factory.mktemp("training")
    trained = learn_compact(
        machine_clips,
        COMPACT,
        work=work / "work",
        cache=work / "cache",
        seed=0,
        device=torch.device("cpu"),
        weights="float32",
        progress=lambda done, total, note: None,
    )
    folder = tmp_path_factory.mktemp("compact")
    trained.network.save_pretrained(folder)
    return folder
