"""What is measured in training clips."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench import ClipSet
from asdbench.generators.texture.analysis import Analysis, analyse
from asdbench.generators.texture.lapped_transform import LappedTransform


def test_levels_are_those_of_the_clips(clips: ClipSet) -> None:
    transform, seen = LappedTransform(512), []
    found = analyse(clips, transform, seen.append)
    assert seen == list(range(len(clips)))
    assert found.levels.shape == (len(clips), 512) and list(found.num_samples) == [16000] * len(clips)
    for place in (0, 20):
        wave = clips.waveform(place)
        energy = np.exp(2 * found.levels[place]).sum() * transform.num_frames(len(wave))
        assert energy == pytest.approx(np.square(wave).sum(), rel=1e-3)
    moving = clips.frame["machine"] == "valve"
    assert found.motion[moving].mean() > 0.05 > found.motion[~moving].mean()


def test_it_is_kept_as_arrays() -> None:
    found = Analysis(np.ones((3, 4)), np.zeros(3), np.arange(3), [np.array([0.5]), np.zeros(0), np.array([1.0, 2.0])])
    again = Analysis.of_arrays(found.arrays())
    for one, other in zip(again.shares, found.shares, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(again.levels, found.levels)
