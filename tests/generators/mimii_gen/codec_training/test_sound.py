from __future__ import annotations

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.codec_training.sound import Sound


def test_segments_follow_from_their_name_only(make_clips):
    clips = make_clips(4000, 5000, 6000)
    one, other = Sound(clips, 16000, 1024), Sound(clips, 16000, 1024, memory=0)
    first = one.batch(4, 0, "step", 1)
    assert first.shape == (4, 1024)
    one.batch(4, 0, "step", 2)
    assert torch.equal(first, one.batch(4, 0, "step", 1))
    assert torch.equal(first, other.batch(4, 0, "step", 1))
    assert not torch.equal(first, one.batch(4, 0, "step", 2))
    assert torch.equal(first[:2], one.batch(2, 0, "step", 1))


def test_segments_are_pieces_of_the_clips_and_machines_are_equally_likely(make_clips):
    clips = make_clips(4000, 4000, 4000, 4000, 4000)  # three of the fan, two of the valve
    clips = clips.select([0, 1, 2, 4])  # three of the fan, one of the valve
    waveforms = list(clips.waveforms())
    drawn = Sound(clips, 16000, 1024).batch(200, "many")
    found = []
    for segment in drawn.numpy():
        hits = [index for index, wave in enumerate(waveforms) if _holds(wave, segment)]
        assert len(hits) == 1
        found.append(clips.frame["machine"][hits[0]])
    assert 70 < found.count("valve") < 130


def _holds(wave, segment):
    starts = np.flatnonzero(wave[: len(wave) - len(segment) + 1] == segment[0])
    return any(np.array_equal(wave[start : start + len(segment)], segment) for start in starts)


def test_a_clip_of_exactly_a_segment_is_taken_and_a_shorter_one_refused(make_clips):
    clips = make_clips(8192, 4096)
    assert Sound(clips, 16000, 4096).batch(8, 0).shape == (8, 4096)
    with pytest.raises(UserError, match=r"01\.wav: the clip lasts 0\.256 s, shorter than the segments of 0\.512 s"):
        Sound(clips, 16000, 8192)


def test_clips_are_brought_to_the_rate_of_the_codec(make_clips):
    sound = Sound(make_clips(16000), 24000, 24000)
    (segment,) = sound.batch(1, 0).numpy()
    spectrum = np.abs(np.fft.rfft(segment * np.hanning(len(segment))))
    assert abs(int(spectrum.argmax()) - 300) <= 1  # Hz, as the segment lasts 1 s


def test_the_level_is_the_median_rms(make_clips):
    clips = make_clips(16000, 16000, 16000, level=0.2)
    levels = sorted(float(np.sqrt((wave.astype(float) ** 2).mean())) for wave in clips.waveforms())
    assert Sound(clips, 16000, 1024).level() == pytest.approx(levels[1])


def test_no_clips_are_refused(make_clips):
    with pytest.raises(UserError, match="no clips"):
        Sound(make_clips(4000).select([]), 16000, 1024)
