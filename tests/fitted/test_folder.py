"""The folder of a fitted detector is written whole or not at all, and what is wrong with it is named."""

from __future__ import annotations

import os
import pickle

import pytest

import asdbench
from asdbench import UserError
from asdbench.fitted import folder as module
from asdbench.fitted.folder import read_folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_no_file_is_a_pickle(saved):
    assert {path.name for path in saved.iterdir()} == {"detector.json", "state.json", "arrays.safetensors"}
    for data in content(saved).values():
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
            pickle.loads(data)


def test_a_detector_replaces_a_detector_and_an_empty_folder(fitted, saved, tmp_path, clips):
    other = asdbench.fit("logmel_knn", clips.select(range(6)))
    assert other.save(saved) is True
    assert read_folder(saved)[0].fitted.clips == 6
    (tmp_path / "empty").mkdir()
    assert fitted.save(tmp_path / "empty") is False
    assert read_folder(tmp_path / "empty")[0].fitted.clips == 12
    assert fitted.save(tmp_path / "new" / "deep") is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector", "empty", "new"]


def test_a_link_to_a_folder_stays_one(fitted, saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    assert fitted.save(link) is True
    assert link.is_symlink()
    assert read_folder(link)[0] == read_folder(saved)[0]


@pytest.mark.parametrize("kind", ["file", "folder", "detector and more", "damaged detector"])
def test_what_is_no_detector_alone_is_left_alone(fitted, saved, tmp_path, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        saved.rename(place)
        (place / ("notes.txt" if kind == "detector and more" else "detector.json")).write_text("mine")
    before = place.read_text() if kind == "file" else content(place)
    with pytest.raises(UserError, match=r"place: expected no folder, an empty one, or one with a fitted detector"):
        fitted.save(place)
    assert (place.read_text() if kind == "file" else content(place)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["place"] + ["detector"] * (kind in ("file", "folder"))


def test_a_disk_that_refuses_leaves_what_was_there(fitted, saved, tmp_path, monkeypatch):
    before = content(saved)

    def full(state, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_state", full)
    with pytest.raises(UserError, match="the disk is full"):
        fitted.save(saved)
    assert content(saved) == before
    monkeypatch.undo()
    rename = os.rename

    def refusing(source, target):
        if str(source).endswith("new"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", refusing)
    with pytest.raises(UserError, match="permission is denied"):
        fitted.save(saved)
    assert content(saved) == before
    assert [path.name for path in tmp_path.iterdir()] == ["detector"]


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_file_that_is_not_what_was_saved_is_named(saved, name, damage):
    data = (saved / name).read_bytes()
    if damage == "missing":
        (saved / name).unlink()
    else:
        (saved / name).write_bytes(data[:-1] if damage == "truncated" else bytes([data[0] ^ 1]) + data[1:])
    expected = "is missing" if damage == "missing" else "is not the one that was saved"
    with pytest.raises(UserError, match=rf"{name}: the file {expected}"):
        read_folder(saved)


def test_an_interruption_leaves_what_was_there(fitted, saved, monkeypatch):
    before, rename = content(saved), os.rename

    def interrupted(source, target):
        if os.fspath(target) == os.fspath(saved) and not os.fspath(source).endswith("old"):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted.save(saved)
    assert content(saved) == before
