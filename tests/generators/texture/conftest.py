from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from asdbench import ClipSet, Training, plugins
from asdbench.generators.texture.generator import Texture


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """One-second clips of two simulated machines, normal and anomalous: a fan, and a valve that comes and goes."""
    folder = tmp_path_factory.mktemp("clips")
    dataset = plugins.datasets.get("simulated")(
        train_source=6, train_target=2, test_normal=0, test_anomaly=4, duration=1.0
    )
    tables = [dataset.clips(machine, folder) for machine in ("fan", "valve")]
    return ClipSet.from_files(pd.concat(tables, ignore_index=True), 16000)


@pytest.fixture(scope="session")
def training() -> Callable[..., Training]:
    def make(clips: ClipSet, folder: Path, **others: object) -> Training:
        for name in ("out", "work", "cache"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return Training(clips, folder / "out", folder / "work", folder / "cache", **others)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def model(clips: ClipSet, training: Callable[..., Training], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of these clips."""
    folder = tmp_path_factory.mktemp("model")
    generator = Texture()
    generator.seed = 1
    generator.train(training(clips, folder))
    return folder / "out"
