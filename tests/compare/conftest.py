"""Made-up score tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

TEST_SETS = {"original": {"normal": "real", "anomaly": "real"}, "generated": {"normal": "real", "anomaly": "generated"}}

MakeScores = Callable[..., pd.DataFrame]


def _make_scores(
    machines: Sequence[str] = ("fan", "slider", "valve"),
    detectors: Sequence[str] = ("ae", "knn"),
    generators: Sequence[str] = ("effects",),
    seeds: Sequence[int] = (0, 1, 2),
    sections: Sequence[str] = ("00",),
    clips: int = 20,
    training: int = 30,
    shift: float = 1.0,
) -> pd.DataFrame:
    """A clip's score is its own quality plus noise of detector and seed; each seed has its own generated clips."""
    rng = np.random.default_rng(0)
    quality: dict[str, float] = {}
    rows = []

    def add(machine: str, detector: str, seed: int, source: str, split: str, condition: str, number: int) -> None:
        generation_seed = -1 if source == "real" else seed
        for clip in range(number):
            clip_id = f"{machine}/{source}/{generation_seed}/{split}_{condition}_{clip:04d}.wav"
            own = quality.setdefault(clip_id, rng.normal() + shift * (condition == "anomaly"))
            rows.append(
                {
                    "seed": seed,
                    "generation_seed": generation_seed,
                    "machine": machine,
                    "section": sections[clip % len(sections)],
                    "domain": ("source", "target")[clip // len(sections) % 2],
                    "detector": detector,
                    "source": source,
                    "split": split,
                    "condition": condition,
                    "clip_id": clip_id,
                    "content_hash": f"hash of {clip_id}",
                    "score": own + 0.2 * rng.normal(),
                }
            )

    for machine in machines:
        for detector in detectors:
            for seed in seeds:
                add(machine, detector, seed, "real", "train", "normal", training)
                add(machine, detector, seed, "real", "test", "normal", clips)
                add(machine, detector, seed, "real", "test", "anomaly", clips)
                for generator in generators:
                    add(machine, detector, seed, generator, "test", "anomaly", clips)
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def make_scores() -> MakeScores:
    return _make_scores


@pytest.fixture(scope="session")
def test_sets() -> dict[str, dict[str, str]]:
    return TEST_SETS
