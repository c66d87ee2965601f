"""Scoring folders of recordings: all of them, in a stable order, or none."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import soundfile

import asdbench
from asdbench import UserError, audio, blind, plugins
from asdbench.fitted import scoring
from asdbench.fitted.scoring import listed, score_clips
from asdbench.fitted.writing import write_text
from asdbench.progress import Progress


def noise(seed, seconds=0.5, rate=16000):
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))


@pytest.fixture
def folder(tmp_path):
    """Recordings of any name, layout and format, and other files."""
    root = tmp_path / "recordings"
    (root / "monday" / "early").mkdir(parents=True)
    audio.write(root / "z.wav", noise(0), 16000)
    audio.write(root / "monday" / "b c.WAV", noise(1), 16000)
    audio.write(root / "monday" / "early" / "ä.wav", noise(2), 16000)
    soundfile.write(root / "monday" / "a.flac", noise(3), 16000)
    soundfile.write(root / "y.ogg", noise(4), 16000)
    (root / "notes.txt").write_text("not a recording")
    return root


def test_every_recording_of_a_folder_is_scored_in_the_order_of_its_name(fitted, folder):
    table = fitted.score(folder)
    assert list(table["file"]) == ["monday/a.flac", "monday/b c.WAV", "monday/early/ä.wav", "y.ogg", "z.wav"]
    for row in table.itertuples():
        alone = fitted.score(folder / row.file)
        assert list(alone["file"]) == [row.file.rpartition("/")[2]]
        assert alone["score"][0] == row.score


def test_recordings_are_read_as_in_fitting(tmp_path, clips, fitted):
    stereo = asdbench.fit("logmel_knn", asdbench.ClipSet(clips.frame, 8000, "mean"))
    wave = noise(0, rate=44100)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, noise(1, rate=44100)], axis=1), 44100, subtype="FLOAT")
    heard = listed(tmp_path / "a.wav", stereo.record, Progress(quiet=True))
    assert (heard.sample_rate, heard.channel) == (8000, "mean")
    expected = audio.read(tmp_path / "a.wav", 8000, "mean")
    assert np.array_equal(heard.waveform(0), expected)
    mono = listed(tmp_path / "a.wav", fitted.record, Progress(quiet=True))
    assert np.array_equal(mono.waveform(0), audio.read(tmp_path / "a.wav", 16000, 0))


def test_sections_come_from_names_of_dcase_else_from_the_training(tmp_path, fitted):
    for name in ("section_03_0001.wav", "anomaly_id_06_00000001.wav", "other.wav"):
        audio.write(tmp_path / name, noise(0), 16000)
    found = listed(tmp_path, fitted.record, Progress(quiet=True)).frame
    assert list(found["section"]) == ["06", "00", "03"]
    assert set(found["machine"]) == {"example"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"RIFF" + b"x" * 100), "the file cannot be read as audio"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "the file is truncated"),
        (lambda path: audio.write(path, noise(0, 0.1), 16000), "the clip is too short"),
        (lambda path: audio.write(path, np.zeros(8000), 16000), "the clip is silent"),
    ],
)
def test_one_recording_that_cannot_be_used_is_named_and_nothing_is_scored(folder, fitted, damage, words, monkeypatch):
    damage(folder / "monday" / "b c.WAV")
    monkeypatch.setattr(scoring, "score_clips", lambda *args: pytest.fail("something was scored"))
    with pytest.raises(UserError, match=rf"b c\.WAV: {words}"):
        fitted.score(folder)


def test_all_recordings_that_cannot_be_used_are_named_or_left_out_when_asked(folder, fitted, capsys):
    whole = fitted.score(folder)
    (folder / "y.ogg").write_bytes(b"")
    audio.write(folder / "z.wav", np.zeros(8000), 16000)
    with pytest.raises(UserError, match=r"2 recordings cannot be used: .*y\.ogg: .*; .*z\.wav: the clip is silent"):
        fitted.score(folder)
    scores = fitted.score(folder, skip_bad_clips=True)
    assert scores["file"].tolist() == whole["file"].tolist()[:3]
    assert scores["score"].tolist() == whole["score"].tolist()[:3]
    warning = capsys.readouterr().err
    assert "skipped, since 2 recordings cannot be used" in warning and "y.ogg" in warning and "z.wav" in warning
    with pytest.raises(UserError, match=r"y\.ogg: the file is empty"):
        fitted.score(folder / "y.ogg", skip_bad_clips=True)  # nothing would be left


def test_what_is_worth_knowing_is_said_once(folder, fitted, capsys):
    for name in ("k.m4a", "l.wma"):
        (folder / name).write_bytes(b"x")
    audio.write(folder / "low.wav", noise(9, rate=8000), 8000)
    content = bytearray((folder / "z.wav").read_bytes())
    at = content.index(b"data")
    content[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    (folder / "z.wav").write_bytes(content)
    fitted.score(folder)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 3
    assert "2 recordings are left out" in warnings[0]
    assert "1 file has a wrong length in the header" in warnings[1] and "z.wav" in warnings[1]
    assert "1 of 6 files have lower sample rates" in warnings[2] and "low.wav (8000 Hz)" in warnings[2]


def test_a_place_without_recordings_is_said(fitted, tmp_path):
    with pytest.raises(UserError, match=r"no recordings in it, expected files that end in \.wav"):
        fitted.score(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        fitted.score(tmp_path / "absent")


class Counting(plugins.Detector):
    """Level, and how many clips it was given at once."""

    name = "counting"

    def score(self, clips):
        self.counts.append(len(clips))
        assert set(clips.frame["condition"]) == {"unknown"}
        assert not any("normal" in clips.file(row) for row in range(len(clips)))
        return np.array([wave.std() for wave in clips.waveforms()])


def test_a_detector_is_given_few_clips_at_a_time_without_labels(recordings, monkeypatch):
    monkeypatch.setattr(blind, "BATCH", 4)
    detector = Counting()
    detector.counts = []
    scores = score_clips(detector, recordings, Progress(quiet=True))
    assert detector.counts == [5, 5]
    assert np.array_equal(scores, [wave.std() for wave in recordings.waveforms()])


def test_the_recording_at_which_a_detector_fails_is_named(fitted, folder):
    bad = audio.read(folder / "y.ogg", 16000).std()

    class Failing(Counting):
        """Fails at one clip."""

        def score(self, clips):
            levels = np.array([wave.std() for wave in clips.waveforms()])
            if bad in levels:
                raise ZeroDivisionError("no level")
            return levels

    failing = asdbench.FittedDetector(Failing(), fitted.record)
    with pytest.raises(UserError, match=r"y\.ogg: 'counting' failed: ZeroDivisionError: no level"):
        failing.score(folder)
    (folder / "y.ogg").unlink()
    assert len(failing.score(folder)) == 4


def test_a_file_that_vanishes_between_check_and_scoring_is_named(fitted, folder):
    heard = listed(folder, fitted.record, Progress(quiet=True))
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"/[^/]*\.\w+: the file does not exist"):
        fitted.score(heard)


def test_scores_go_through_a_pipe_that_is_there(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "file,score\n")
        assert os.read(reader, 100) == b"file,score\n"
        assert pipe.is_fifo()
    finally:
        os.close(reader)
