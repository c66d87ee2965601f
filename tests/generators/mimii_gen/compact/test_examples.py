from __future__ import annotations

import errno
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.compact.examples import Examples
from asdbench.generators.mimii_gen.compact.lines import LineAnalysis
from asdbench.generators.mimii_gen.compact.spectra import Spectra

SPECTRA = Spectra(16000, 1024, 32)


def test_frames_and_lines_are_those_of_the_clips(machine_clips: ClipSet, tmp_path: Path) -> None:
    examples = Examples(machine_clips, SPECTRA, tmp_path)
    for index in (0, 3):
        waveform = machine_clips.waveform(index)
        np.testing.assert_allclose(examples.frames(index), SPECTRA.decibels(waveform), atol=0.04)  # half precision
        np.testing.assert_array_equal(examples.lines[index], LineAnalysis(SPECTRA).find(waveform).array())
        np.testing.assert_array_equal(examples.waveform(index), waveform)
    np.testing.assert_array_equal(examples.frames(3, 5, 4), examples.frames(3)[5:9])


def test_clips_are_analysed_once(machine_clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    first = Examples(machine_clips, SPECTRA, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 12) for done in range(13)]
    monkeypatch.setattr(Examples, "_analyse", None)
    again = Examples(machine_clips, SPECTRA, tmp_path)
    np.testing.assert_array_equal(again.frames(11), first.frames(11))
    with pytest.raises(TypeError):  # other bands are analysed anew
        Examples(machine_clips, Spectra(16000, 1024, 16), tmp_path)


def test_an_analysis_that_was_interrupted_begins_again(
    machine_clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Examples(machine_clips, SPECTRA, tmp_path, stop)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(Examples(machine_clips, SPECTRA, tmp_path)) == 12


def test_lines_are_written_whole_or_not_at_all(
    machine_clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: BinaryIO, array: np.ndarray) -> None:
        file.write(b"half of the lines")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space left"):
            Examples(machine_clips, SPECTRA, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["frames.f16"]
    assert Examples(machine_clips, SPECTRA, tmp_path).lines.shape == (12, 2, 32)


def test_clips_are_resampled_to_the_rate_of_the_codec(machine_clips: ClipSet, tmp_path: Path) -> None:
    examples = Examples(machine_clips, Spectra(8000, 512, 16), tmp_path)
    assert examples.waveform(0).shape == (17600,) and examples.num_frames(0) == 138


def test_segments_come_from_their_clips_and_depend_on_the_name_alone(machine_clips: ClipSet, tmp_path: Path) -> None:
    examples = Examples(machine_clips, SPECTRA, tmp_path)
    chosen, segments = examples.draw(64, 16, 3, 7)
    assert segments.shape == (64, 32, 16)
    for index, segment in zip(chosen, segments, strict=True):
        frames = examples.frames(int(index))
        assert any(np.array_equal(segment.T, frames[start : start + 16]) for start in range(len(frames) - 15))
    again, same = examples.draw(64, 16, 3, 7)
    assert np.array_equal(chosen, again) and np.array_equal(segments, same)
    assert not np.array_equal(examples.draw(64, 16, 3, 8)[1], segments)
    machines = machine_clips.frame["machine"].to_numpy()[chosen]
    assert 16 < (machines == "fan").sum() < 48


def test_clips_are_chosen_evenly_among_machines(machine_clips: ClipSet, tmp_path: Path) -> None:
    examples = Examples(machine_clips, SPECTRA, tmp_path)
    assert examples.evenly(4) == [0, 10, 1, 11]
    assert sorted(examples.evenly(500)) == list(range(12))


def test_a_clip_that_is_shorter_than_a_segment_is_named(machine_clips: ClipSet, tmp_path: Path) -> None:
    examples = Examples(machine_clips, SPECTRA, tmp_path)
    examples.require(138)
    with pytest.raises(UserError, match=r"00\.wav: the clip lasts 2\.200 s, shorter than the segments of 2\.304 s"):
        examples.require(144)
    with pytest.raises(UserError, match="no clips to train a codec on"):
        Examples(machine_clips.select([]), SPECTRA, tmp_path)
