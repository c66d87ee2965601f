"""The numbers that describe the sound of a clip with events, and the short transform."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.event_sounds import EventSound, fine_bands, short_transform
from asdbench.generators.texture.event_states import States
from asdbench.generators.texture.lapped_transform import LappedTransform, default_bands


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000])
def test_short_frames_last_8_ms_at_any_rate(rate: int) -> None:
    transform = LappedTransform(default_bands(rate), rate)
    short = short_transform(transform)
    assert short.sample_rate == rate
    assert short.bands / rate == pytest.approx(0.008, rel=0.07)
    assert transform.bands // short.bands == 4 and transform.bands % short.bands == 0


def test_a_frame_is_one_or_an_even_number_of_short_ones() -> None:
    for bands in range(32, 1025, 16):
        ratio, rest = divmod(bands, short_transform(LappedTransform(bands)).bands)
        assert rest == 0 and (ratio == 1 or ratio % 2 == 0)


def test_a_sound_is_taken_apart_as_it_was_put_together() -> None:
    transform = LappedTransform(512)
    states = States(np.zeros((5, 128)), np.ones(5, dtype=bool), np.ones((5, 128)), 16000)
    numbers = np.arange(sum(EventSound.counts(states, transform)), dtype=float)
    sound = EventSound.split(numbers, states, transform)
    np.testing.assert_array_equal(np.concatenate(sound), numbers)
    assert [len(sound.levels), len(sound.gains), len(sound.fine)] == [512, 5, 128]
    assert len(sound.colour) == len(states.edges) - 1
    assert fine_bands(LappedTransform(64, 2000)) == 64
