"""Looking scores up: whose clip a row means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asdbench import ClipSet, ScoreFolder, UserError, audio
from asdbench.clips import LABELS


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """Two test clips with the same file name, and one with a name of its own."""
    rows = []
    for name in ("normal/0.wav", "abnormal/0.wav", "abnormal/1.wav"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, 0.1 * np.random.default_rng(len(rows)).standard_normal(8000), 16000)
        rows.append(dict(zip(LABELS, (name, str(path), "fan", "00", "none", "test", "unknown", {}), strict=True)))
    return ClipSet.from_files(rows).for_lookup("real", 0)


def folder_with(tmp_path: Path, text: str, name: str = "anomaly_score_fan_id_00.csv") -> ScoreFolder:
    (tmp_path / "scores").mkdir(exist_ok=True)
    (tmp_path / "scores" / name).write_text(text)
    return ScoreFolder(str(tmp_path / "scores"))


def test_clips_are_found_by_path_and_by_file_name_where_that_is_enough(clips, tmp_path) -> None:
    found = folder_with(tmp_path, "1.wav,3\nabnormal/0.wav,2\nnormal/0.wav,1\n").look_up(clips)
    assert found.tolist() == [1, 2, 3]


def test_a_file_name_of_two_clips_is_not_enough(clips, tmp_path) -> None:
    folder = folder_with(tmp_path, "0.wav,1\n1.wav,3\n")
    with pytest.raises(UserError, match=r"the clip 'normal/0\.wav' is missing; several clips have this file name"):
        folder.look_up(clips)


def test_the_identity_is_that_of_score_files_alone(clips, tmp_path) -> None:
    folder = folder_with(tmp_path, "1.wav,3\n")
    before = folder.identity()
    folder_with(tmp_path, "1.wav,1\n", "decision_result_fan_id_00.csv")
    assert folder.identity() == before
    folder_with(tmp_path, "1.wav,4\n")
    assert folder.identity() != before
