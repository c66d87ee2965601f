"""What a detector is shown of the clips that it scores, against detectors that cheat in the ways that were possible."""

from __future__ import annotations

import gc
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

import asdbench
from asdbench import ClipSet, UserError, audio, blind, plugins
from asdbench.testing import example_clips


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """20 normal and 20 anomalous clips, in the order of their labels."""
    return example_clips(tmp_path / "recordings", 20, 20, "test")


class Level(plugins.Detector):
    """The level of a clip."""

    name = "level"

    def fit(self, clips: ClipSet) -> None:
        """Nothing is learnt."""
        self.n_ = len(clips)

    def score(self, clips: ClipSet) -> np.ndarray:
        return np.array([wave.std() for wave in clips.waveforms()], dtype=np.float64)


class Counting(Level):
    """0, 1, 2, ..."""

    def score(self, clips: ClipSet) -> np.ndarray:
        return np.arange(len(clips), dtype=float)


class NameReading(Level):
    """1 where anything that can be reached from the clips holds the word "anomaly"."""

    def score(self, clips: ClipSet) -> np.ndarray:
        rows = [clips.file(row) for row in range(len(clips))]
        return np.array([float("anomaly" in row or "anomaly" in str(Path(row).resolve())) for row in rows])


class Centred(Level):
    """The level less the mean of the batch."""

    def score(self, clips: ClipSet) -> np.ndarray:
        levels = super().score(clips)
        return levels - levels.mean()


class Smoothed(Level):
    """The level, and half of that of the clip before; a clip's own level where there is none."""

    def score(self, clips: ClipSet) -> np.ndarray:
        levels = super().score(clips)
        return levels + 0.5 * np.r_[levels[:1], levels[:-1]]


class Forgetful(Level):
    """The level, and how often it was asked."""

    def score(self, clips: ClipSet) -> np.ndarray:
        self.calls = getattr(self, "calls", 0) + 1
        return super().score(clips) + self.calls


class Sociable(Level):
    """The level; a clip alone is refused."""

    def score(self, clips: ClipSet) -> np.ndarray:
        if len(clips) < 2:
            raise ZeroDivisionError("no variance")
        return super().score(clips)


def hash_order(frame: Any) -> list[int]:
    """The order that is promised, by its definition."""
    digest = [hashlib.blake2b(f"blind {text}".encode(), digest_size=16).hexdigest() for text in frame["content_hash"]]
    return sorted(range(len(digest)), key=digest.__getitem__)


def test_clips_come_in_the_order_of_their_hashes_in_batches_of_one_size(clips: ClipSet) -> None:
    scores = blind.score_blind(Counting(), clips)
    order = hash_order(clips.frame)
    expected = np.empty(40)
    expected[order] = [*range(20), *range(20)]  # 40 / 16 rounds to 2 batches
    assert np.array_equal(scores, expected)
    auc = roc_auc_score(clips.frame["condition"] == "anomaly", scores)
    assert auc == pytest.approx(0.46)
    assert np.array_equal(blind.score_blind(Counting(), clips.select(range(39, -1, -1)))[::-1], scores)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (23, [23]), (24, [12, 12]), (50, [17, 17, 16])])
def test_sizes_of_batches(clips: ClipSet, count: int, sizes: list[int]) -> None:
    rows = np.arange(count) % 40
    assert [len(part) for part in blind.batches(clips.select(rows))] == sizes


def test_batches_of_large_files_are_small(clips: ClipSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind, "_BATCH_BYTES", 4 * int(clips.frame["num_samples"].sum()) // 8)
    assert [len(part) for part in blind.batches(clips)] == [5] * 8 or len(blind.batches(clips)) == 9


def test_an_honest_detector_scores_as_it_would_with_labels(clips: ClipSet) -> None:
    expected = Level().score(clips)
    assert np.array_equal(blind.score_blind(Level(), clips), expected)


def telling(clips: ClipSet, words: set[str]) -> list[str]:
    """Texts with one of some words in all that a clip set holds, private attributes and a table's memory included."""
    found: list[str] = []
    stack: list[Any] = [vars(clips)]
    seen = set()
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen.add(id(item))
        if isinstance(item, str):
            found += [item] * any(word in item for word in words)
        elif isinstance(item, np.ndarray):
            stack += [item.base, *(item.ravel().tolist() if item.dtype == object else [])]
        elif type(item).__module__ != "builtins" or isinstance(item, dict | list | tuple | set):
            stack += gc.get_referents(item)
            stack += [getattr(item, name, None) for name in ("_mgr", "values", "array", "_data")]
    return found


def test_nothing_that_a_detector_reaches_through_its_clips_tells_labels(clips: ClipSet, tmp_path: Path) -> None:
    hidden = blind.hidden_copies(clips, tmp_path)
    words = {"anomaly", "normal", "example/test", *clips.frame["content_hash"], *clips.frame["path"]}
    assert len(telling(clips, words)) > 80
    assert telling(clips.without_labels(), words)  # its files
    assert not telling(hidden, words)
    for row in range(len(clips)):
        assert np.array_equal(hidden.waveform(row), clips.waveform(row))
    assert list(tmp_path.glob("*.wav")) == []  # nothing is written that nobody asks for
    for row in range(len(clips)):
        copy = Path(hidden.file(row))
        assert not copy.is_symlink()
        assert copy.stat().st_nlink == 1
        assert np.array_equal(audio.read(copy), clips.waveform(row))
    assert hidden.frame["clip_id"].is_unique
    assert (hidden.frame["machine"] == clips.frame["machine"]).all()
    assert set(hidden.frame["path"]) == {""}
    some = hidden.select([5, 3])
    assert np.array_equal(some.waveform(1), clips.waveform(3))
    assert [some.file(0), some.file(1)] == [hidden.file(5), hidden.file(3)]
    some.waveform(1)[:] = 0  # what a detector does to its array stays there
    assert np.array_equal(hidden.waveform(3), clips.waveform(3))
    other = ClipSet.concat([hidden.where(machine="example"), some])
    assert np.array_equal(other.waveform(3), clips.waveform(3))


def test_copies_of_one_recording_have_names_of_their_own(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 8000)
    rows = []
    for name in ("normal_1.wav", "anomaly_1.wav"):
        audio.write(tmp_path / name, wave, 16000)
        rows.append({"clip_id": name, "path": str(tmp_path / name), "machine": "fan", "section": "00"})
        rows[-1] |= {"domain": "source", "split": "test", "condition": name.split("_")[0], "attributes": {}}
    folder = tmp_path / "hidden"
    folder.mkdir()
    first, second = (blind.hidden_copies(ClipSet.from_files(part), folder) for part in (rows, rows[::-1]))
    assert first.frame["clip_id"].is_unique
    assert list(first.frame["clip_id"]) == list(second.frame["clip_id"])[::-1]


def test_errors_have_the_true_names(clips: ClipSet) -> None:
    class Failing(Level):
        """Names a clip, twice."""

        def score(self, clips: ClipSet) -> np.ndarray:
            raise RuntimeError(f"{clips.file(0)} ({clips.frame['clip_id'].iat[0]}) is bad")

    first = blind.batches(clips)[0][0]
    with pytest.raises(RuntimeError) as caught:
        blind.score_blind(Failing(), clips)
    assert str(caught.value) == f"{clips.file(first)} ({clips.frame['clip_id'].iat[first]}) is bad"


def test_a_folder_that_cannot_be_written_is_named(clips: ClipSet, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(blind.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write to .*file/asdbench-.*TMPDIR can name another folder"):
        blind.score_blind(Level(), clips)


def test_copies_are_removed(clips: ClipSet, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(blind.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    blind.score_blind(Level(), clips)
    assert [path.name.split("-")[0] for path in (tmp_path / "tmp").rglob("*")] == ["asdbench"]


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        (Level, []),
        (NameReading, []),
        (Counting, ["order", "batch"]),
        (Centred, ["batch"]),
        (Smoothed, ["order", "batch"]),
        (Forgetful, ["call"]),
        (Sociable, ["batch"]),
    ],
)
def test_what_scores_depend_on_is_found(clips: ClipSet, kind: type[Level], on: list[str]) -> None:
    detector = kind()
    scores = blind.score_blind(detector, clips)
    found = blind.dependence(detector, clips, scores)
    assert [one.on for one in found] == on
    if kind is Counting:  # the place in the batch, reversed; the standard deviation of 0 ... 19
        assert found[0].difference == pytest.approx(7 / np.arange(20).std())
        assert found[0].reason == (
            "8 of 8 clips have another score when the clips come in reverse order; the largest change is from 0 to 7"
        )
    if kind is Sociable:
        assert math.isnan(found[0].difference)
        assert "ZeroDivisionError: no variance" in found[0].reason


def test_a_run_scores_blind_and_says_what_scores_depend_on(spec_data: dict[str, Any], tmp_path: Path) -> None:
    kinds: dict[str, type[Level]] = {"counts": Counting, "reads": NameReading, "centred": Centred, "level": Level}
    for name, kind in kinds.items():
        plugins.detector(f"blind_{name}")(kind)
    spec_data |= {"machines": ["fan"], "generators": {"real_holdout": {"use": "real_holdout"}}, "embeddings": {}}
    spec_data["detectors"] = {name: {"use": f"blind_{name}"} for name in kinds}
    results = asdbench.run(spec_data, runs=tmp_path / "runs", workers=0)
    real = results.scores[(results.scores["source"] == "real") & (results.scores["detector"] == "counts")]
    place = np.empty(len(real))
    place[hash_order(real)] = np.arange(len(real))  # 8 training and 6 test clips are one batch
    assert np.array_equal(real["score"], place)
    test = real["split"] == "test"
    aucs = results.gaps.set_index("detector")["auc_original"]
    assert aucs["counts"] == roc_auc_score(real["condition"][test] == "anomaly", place[test])
    assert 0.1 < aucs["counts"] < 0.9
    assert aucs["reads"] == 0.5
    found = results.heard.dependence
    assert sorted(zip(found["detector"], found["on"], strict=True)) == [
        ("centred", "batch"),
        ("counts", "batch"),
        ("counts", "order"),
    ]
    assert "Detectors whose scores depend on more than the clip" in str(results)
    stored = asdbench.load(results.folder).heard.dependence
    assert list(stored["on"]) == list(found["on"])
    assert (results.folder / "dependence.csv").read_text().count("\n") == 4


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS")],
)
def test_a_copy_has_the_audio_of_its_file_and_nothing_else(tmp_path: Path, suffix: str, subtype: str) -> None:
    file = tmp_path / f"recording.{suffix}"
    with soundfile.SoundFile(file, "w", 16000, 2, subtype) as opened:
        opened.title, opened.comment = "anomaly", "recorded after the fan was broken"
        opened.write(np.random.default_rng(0).normal(0, 0.1, (8001, 2)))
    assert b"broken" in file.read_bytes()
    row = {"clip_id": "a", "path": str(file), "machine": "fan", "section": "00", "domain": "source", "split": "test"}
    clips = ClipSet.from_files([row | {"condition": "anomaly", "attributes": {}}], channel=1)
    folder = tmp_path / "hidden"
    folder.mkdir()
    copy = Path(blind.hidden_copies(clips, folder).file(0))
    data = copy.read_bytes()
    assert copy.suffix == ".wav"
    assert not any(word in data for word in (b"broken", b"anomaly", b"LIST"))
    assert np.array_equal(audio.read(copy), audio.read(file, None, 1))
    assert soundfile.info(copy).channels == 1


def test_a_disk_that_is_full_while_clips_are_scored_again_is_no_dependence(clips: ClipSet, monkeypatch: Any) -> None:
    class FileReading(Level):
        """Reads files by itself."""

        def score(self, clips: ClipSet) -> np.ndarray:
            return np.array([audio.read(clips.file(row)).std() for row in range(len(clips))], dtype=np.float64)

    scores = blind.score_blind(FileReading(), clips)
    assert np.array_equal(scores, Level().score(clips))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audio, "write", full)
    with pytest.raises(blind.CopyError, match=r"No space left on device; TMPDIR can name another folder"):
        blind.dependence(FileReading(), clips, scores)
