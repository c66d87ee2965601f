"""ClipSet: building, choosing, reading, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asdbench import ClipSet, UserError, audio
from asdbench.clips import COLUMNS
from asdbench.inspection import refuse_bad_files


def row(path: Path, **labels: Any) -> dict[str, Any]:
    return {
        "clip_id": path.name,
        "path": str(path),
        "machine": "fan",
        "section": "00",
        "domain": "source",
        "split": "test",
        "condition": "normal",
        "attributes": {"vel": "6"},
        **labels,
    }


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Six clips that differ in rate, length and channels."""
    shapes = [
        (16000, 4000, 1),
        (16000, 8000, 1),
        (32000, 8000, 2),
        (8000, 2000, 1),
        (44100, 11025, 2),
        (16000, 4001, 1),
    ]
    paths = []
    for i, (rate, num_samples, channels) in enumerate(shapes):
        paths.append(tmp_path / f"{i}.wav")
        soundfile.write(paths[-1], np.random.default_rng(i).uniform(-0.5, 0.5, (num_samples, channels)), rate)
    return paths


@pytest.fixture
def clips(files: list[Path]) -> ClipSet:
    conditions = ["normal", "normal", "anomaly", "normal", "anomaly", "normal"]
    splits = ["train", "train", "test", "test", "test", "test"]
    return ClipSet.from_files(
        [row(path, condition=c, split=s) for path, c, s in zip(files, conditions, splits, strict=True)]
    )


def test_files_are_measured(clips: ClipSet) -> None:
    assert list(clips.frame.columns) == list(COLUMNS)
    assert list(clips.frame["sample_rate"]) == [16000, 16000, 32000, 8000, 44100, 16000]
    assert list(clips.frame["channels"]) == [1, 1, 2, 1, 2, 1]
    assert list(clips.frame["num_samples"]) == [4000, 8000, 8000, 2000, 11025, 4001]
    assert clips.frame["content_hash"].is_unique
    assert set(clips.frame["source"]) == {"real"}
    assert len(clips) == 6


def test_waveforms_are_read_at_one_rate(clips: ClipSet) -> None:
    assert [len(waveform) for waveform in clips.waveforms()] == [4000, 8000, 4000, 4000, 4000, 4001]
    for index, waveform in enumerate(clips.waveforms()):
        np.testing.assert_array_equal(waveform, audio.read(clips.frame["path"][index], 16000, 0))


def test_own_rate_and_mean_channel(files: list[Path]) -> None:
    clips = ClipSet.from_files([row(files[2])], sample_rate=None, channel="mean")
    whole, _ = soundfile.read(files[2], dtype="float32")
    np.testing.assert_allclose(clips.waveform(0), whole.mean(axis=1), atol=1e-7)


def test_known_measurements_are_not_taken_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [audio.inspect(path) for path in files]
    expected = ClipSet.from_files([row(path) for path in files])
    monkeypatch.setattr(audio, "inspect", lambda path: pytest.fail("read again"))
    given = ClipSet.from_files([row(path) for path in files], infos=infos)
    pd.testing.assert_frame_equal(given.frame, expected.frame)


def test_bad_files_are_refused_by_name(files: list[Path], tmp_path: Path) -> None:
    files[1].write_bytes(files[1].read_bytes()[:-5000])
    files[3].write_bytes(b"")
    with pytest.raises(UserError, match=r"2 recordings cannot be used: .*1\.wav: .* truncated .*3\.wav: .* empty"):
        ClipSet.from_files([row(path) for path in files])
    with pytest.raises(UserError, match=r"3\.wav: the file is empty \(0 bytes\)$"):
        ClipSet.from_files([row(path) for path in files[2:]])


def test_a_missing_channel_is_refused_at_once(files: list[Path]) -> None:
    with pytest.raises(UserError, match=r"3\.wav: channel 1 was asked for, but the file has 1 "):
        ClipSet.from_files([row(files[2]), row(files[3])], channel=1)


def test_good_files_are_not_refused(files: list[Path]) -> None:
    refuse_bad_files([str(path) for path in files], [audio.inspect(path) for path in files], 0, 16000)


def test_names_must_be_unique(files: list[Path]) -> None:
    with pytest.raises(UserError, match=r"two clips have the same name '0\.wav'"):
        ClipSet.from_files([row(files[0]), row(files[1], clip_id="0.wav")])


def test_a_frame_without_the_columns_is_a_mistake_of_the_program(clips: ClipSet) -> None:
    with pytest.raises(ValueError, match="content_hash"):
        ClipSet(clips.frame.drop(columns="content_hash"))


def test_no_clips() -> None:
    empty = ClipSet.from_files([])
    assert len(empty) == 0
    assert list(empty.frame.columns) == list(COLUMNS)
    assert list(empty.waveforms()) == []
    assert "no machine" in repr(empty)


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_select_by_position_and_by_mask(clips: ClipSet) -> None:
    assert list(clips.select([4, 0, 4]).frame["clip_id"]) == ["4.wav", "0.wav", "4.wav"]
    assert list(clips.select(np.array([True, False, False, True, False, False])).frame["clip_id"]) == ["0.wav", "3.wav"]
    assert list(clips.select(clips.frame["condition"] == "anomaly").frame["clip_id"]) == ["2.wav", "4.wav"]
    assert len(clips.select([])) == 0
    assert list(clips.select([5]).frame.index) == [0]


def test_where(clips: ClipSet) -> None:
    assert list(clips.where(split="test", condition="normal").frame["clip_id"]) == ["3.wav", "5.wav"]
    assert len(clips.where(condition=["normal", "anomaly"])) == 6
    assert len(clips.where(machine="pump")) == 0


def test_selection_keeps_rate_and_channel(files: list[Path]) -> None:
    clips = ClipSet.from_files([row(path) for path in files], sample_rate=8000, channel="mean")
    for part in (clips.select([0]), clips.where(split="test"), clips.without_labels(), ClipSet.concat([clips, clips])):
        assert (part.sample_rate, part.channel) == (8000, "mean")


def test_selecting_does_not_change_the_whole(clips: ClipSet) -> None:
    before = clips.frame.copy(deep=True)
    part = clips.select([0, 1])
    part.frame["condition"] = "anomaly"
    blank = clips.without_labels()
    blank.frame["machine"] = "pump"
    pd.testing.assert_frame_equal(clips.frame, before)


def test_blanked_labels_give_nothing_away(clips: ClipSet) -> None:
    blank = clips.without_labels()
    assert set(blank.frame["condition"]) == set(blank.frame["domain"]) == {"unknown"}
    assert all(attributes == {} for attributes in blank.frame["attributes"])
    assert all(provenance == {} for provenance in blank.frame["provenance"])
    assert list(blank.frame["machine"]) == list(clips.frame["machine"])
    assert list(blank.frame["section"]) == list(clips.frame["section"])
    assert list(clips.frame["condition"])[2] == "anomaly"


def test_concat(clips: ClipSet) -> None:
    whole = ClipSet.concat([clips.select([0, 1]), clips.select([]), clips.select([2, 3, 4, 5])])
    pd.testing.assert_frame_equal(whole.frame, clips.frame)
    assert len(ClipSet.concat([ClipSet.from_files([])])) == 0
    with pytest.raises(ValueError, match="different sample rates"):
        ClipSet.concat([clips, ClipSet(clips.frame, sample_rate=8000)])


# --- identity ---------------------------------------------------------------------------------------------------------


def test_identity_is_of_audio_and_labels_not_of_the_place(files: list[Path], tmp_path: Path) -> None:
    first = ClipSet.from_files([row(path) for path in files])
    (tmp_path / "moved").mkdir()
    moved = [tmp_path / "moved" / path.name for path in files]
    for old, new in zip(files, moved, strict=True):
        new.write_bytes(old.read_bytes())
    assert ClipSet.from_files([row(path) for path in moved]).content_id() == first.content_id()


def test_identity_changes_with_everything_that_counts(files: list[Path], clips: ClipSet) -> None:
    whole = ClipSet.from_files([row(path) for path in files])
    others = [
        whole.select([1, 0, 2, 3, 4, 5]),
        whole.select([0, 1, 2, 3, 4]),
        ClipSet(whole.frame, sample_rate=8000),
        ClipSet(whole.frame, channel="mean"),
        *[ClipSet(whole.frame.assign(**{name: "x"})) for name in ("clip_id", "machine", "section", "domain", "source")],
        ClipSet(whole.frame.assign(attributes=[{"vel": "7"}] * 6)),
        ClipSet(whole.frame.assign(group=["r1", "r1", "r1", "r2", "r2", "r2"])),
        ClipSet(whole.frame.assign(group=["r1", "r1", "r2", "r2", "r2", "r2"])),
        ClipSet(whole.frame.assign(provenance=[{"seed": 1}] * 6)),
    ]
    files[0].write_bytes(files[1].read_bytes())
    others.append(ClipSet.from_files([row(path) for path in files]))
    identities = [whole.content_id(), *[other.content_id() for other in others]]
    assert len(set(identities)) == len(identities)


_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attributes=st.dictionaries(_text, _text, max_size=3),
    provenance=st.dictionaries(
        _text, st.one_of(st.integers(-(2**53), 2**53), st.booleans(), st.none(), _text), max_size=3
    ),
    section=_text,
)
def test_saved_clips_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, attributes: dict, provenance: dict, section: str
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    soundfile.write(folder / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4000), 16000)
    made = row(folder / "a.wav", attributes=attributes, section=section, provenance=provenance)
    clips = ClipSet.from_files([made], sample_rate=8000, channel="mean", source="effects")
    clips.save(folder / "clips.parquet", root=folder)
    loaded = ClipSet.load(folder / "clips.parquet", root=folder)
    pd.testing.assert_frame_equal(loaded.frame, clips.frame)
    assert (loaded.sample_rate, loaded.channel) == (8000, "mean")
    assert loaded.content_id() == clips.content_id()


def test_a_clip_is_a_group_of_its_own_unless_a_table_says_otherwise(files: list[Path]) -> None:
    whole = ClipSet.from_files([row(path) for path in files])
    assert list(whole.frame["group"]) == list(whole.frame["clip_id"])
    older = ClipSet(whole.frame.drop(columns="group"))
    assert list(older.frame["group"]) == list(whole.frame["clip_id"])
    grouped = ClipSet.from_files([row(path, group="recording 1") for path in files])
    assert set(grouped.frame["group"]) == {"recording 1"}
    assert grouped.without_labels().frame["group"].is_unique


def test_saved_clips_can_move_with_their_folder(tmp_path: Path, clips: ClipSet, files: list[Path]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    inside = old / "made.wav"
    inside.write_bytes(files[0].read_bytes())
    both = ClipSet.from_files([row(inside), row(files[1])])
    both.save(old / "clips.parquet", root=old)
    old.rename(new)
    loaded = ClipSet.load(new / "clips.parquet", root=new)
    assert list(loaded.frame["path"]) == [str(new / "made.wav"), str(files[1])]
    assert [len(waveform) for waveform in loaded.waveforms()] == [4000, 8000]


def test_no_clips_can_be_saved(tmp_path: Path) -> None:
    ClipSet.from_files([], sample_rate=None).save(tmp_path / "clips.parquet")
    loaded = ClipSet.load(tmp_path / "clips.parquet")
    assert len(loaded) == 0
    assert list(loaded.frame.columns) == list(COLUMNS)
    assert loaded.sample_rate is None


def test_without_labels_the_table_tells_no_label_and_the_audio_stays(clips: ClipSet) -> None:
    blank = clips.without_labels()
    values = set(blank.frame.astype(str).to_numpy().ravel())
    labels = {
        "normal",
        "anomaly",
        "source",
        "train",
        "test",
        "real",
        *clips.frame["content_hash"],
        *clips.frame["path"],
    }
    assert not values & (labels | set(clips.frame["clip_id"]))
    assert (blank.frame["machine"] == clips.frame["machine"]).all()
    order = [2, 0]
    for found, expected in zip(blank.select(order).waveforms(), clips.select(order).waveforms(), strict=True):
        assert np.array_equal(found, expected)
    joined = ClipSet.concat([blank.select([1]), clips.select([3])])
    assert np.array_equal(joined.waveform(0), clips.waveform(1))
    assert joined.file(0) == clips.file(1)
