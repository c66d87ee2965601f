from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from asdbench import ClipSet, Request

SAMPLE_RATE = 16000


@pytest.fixture
def make_pool(tmp_path: Path) -> Callable[..., ClipSet]:
    """Write noise clips to disk; each label is a mapping that overrides the defaults."""

    def make(labels: Sequence[dict[str, Any]], sample_rate: int = SAMPLE_RATE) -> ClipSet:
        rows = []
        for number, label in enumerate(labels):
            row = {
                "clip_id": f"pool/{number:03d}.wav",
                "machine": "fan",
                "section": "00",
                "domain": "source",
                "split": "train",
                "condition": "normal",
                "attributes": {},
            } | label
            row["path"] = str(tmp_path / f"{number:03d}.wav")
            noise = 0.1 * np.random.default_rng(number).standard_normal(sample_rate // 2 + number)
            soundfile.write(row["path"], noise.astype(np.float32), sample_rate, subtype="FLOAT")
            rows.append(row)
        return ClipSet.from_files(rows, sample_rate)

    return make


@pytest.fixture
def make_request() -> Callable[..., Request]:
    def make(pool: ClipSet, labels: Sequence[dict[str, Any]], sample_rate: int = SAMPLE_RATE) -> Request:
        defaults = {
            "machine": "fan",
            "section": "00",
            "domain": "source",
            "condition": "anomaly",
            "attributes": {},
        }
        rows = [{"clip_id": f"row/{number:03d}"} | defaults | label for number, label in enumerate(labels)]
        return Request(pd.DataFrame(rows), pool, sample_rate)

    return make
