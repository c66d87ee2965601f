"""The real scores of the DCASE 2023 autoencoder, read where the shared data lie beside the project."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "scores_dcase2023_ae_mse"
CLIP = re.compile(r"section_(?P<section>\d+)_(?P<domain>source|target)_test_(?P<condition>normal|anomaly)_")


@pytest.fixture(scope="session")
def published_folder() -> Path:
    if not FOLDER.is_dir():
        pytest.skip("../shared/data/scores_dcase2023_ae_mse is absent")
    return FOLDER


@pytest.fixture(scope="session")
def real_scores(published_folder: Path) -> pd.DataFrame:
    """Scores and decisions of 7 machines x 200 clips with the labels from the file names."""
    parts = []
    for path in sorted(published_folder.glob("anomaly_score_*.csv")):
        match = re.search(r"DCASE2023T2([A-Za-z]+)_section", path.name)
        assert match is not None
        scores = pd.read_csv(path, header=None, names=["clip_id", "score"])
        decision_file = path.with_name(path.name.replace("anomaly_score", "decision_result"))
        decisions = pd.read_csv(decision_file, header=None, names=["clip_id", "decision"])
        table = scores.merge(decisions, on="clip_id", validate="one_to_one")
        assert len(table) == len(scores) == 200
        labels = table["clip_id"].str.extract(CLIP)
        parts.append(pd.concat([table.assign(machine=match[1]), labels], axis=1))
    table = pd.concat(parts, ignore_index=True)
    assert not table.isna().to_numpy().any()
    return table
