"""Real clips of a folder for training generators and fitting detectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asdbench import UserError, audio
from asdbench.progress import Progress
from asdbench.recordings import normal_of_folder, of_folder
from asdbench.store import Store

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = sum(position * letter for position, letter in enumerate(name.encode(), 1))
            audio.write(path, 0.1 * np.random.default_rng(seed).standard_normal(8000), 16000)
        return tmp_path / "data"

    return write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


FAN = tuple(f"fan/{condition}/{index}.wav" for condition in ("normal", "abnormal") for index in range(4))


def test_machines_without_normal_clips_are_left_out_with_a_warning(write, store, capsys) -> None:
    root = write(*FAN, "pump/abnormal/a.wav", "slider/normal/a.wav", "slider/normal/b.wav")
    for path in (root / "slider").rglob("*.wav"):
        path.write_bytes(b"")
    settings = ["on_bad_clip=skip"]
    clips = of_folder(root, "folder", settings, (), store, Progress(quiet=True))
    assert sorted(clips.frame["clip_id"]) == sorted(FAN)
    said = capsys.readouterr().err
    assert (
        "machine 'pump' has no normal clip; a detector is trained on normal clips; the other machines are used" in said
    )
    assert "none of the 2 recordings of machine 'slider' can be used; the other machines are used" in said
    with pytest.raises(UserError, match="machine 'pump' has no normal clip"):
        of_folder(root, "folder", settings, ("pump",), store, Progress(quiet=True))


def test_bad_clips_of_training_are_all_named_or_left_out(write, store) -> None:
    root = write(*FAN)
    for index in range(2):
        (root / f"fan/normal/{index}.wav").write_bytes(b"")
    (root / "fan/abnormal/0.wav").write_bytes(b"")  # not opened
    how = ("fan", True, store, Progress(quiet=True))
    with pytest.raises(UserError, match=r"2 recordings cannot be used: .*normal/0\.wav, .*normal/1\.wav: the file is"):
        normal_of_folder(root, "folder", [], *how)
    clips = normal_of_folder(root, "folder", ["on_bad_clip=skip"], *how)
    assert list(clips.frame["clip_id"]) == ["fan/normal/2.wav", "fan/normal/3.wav"]
