"""Draws from several machines: each keeps its number of clips, so that chance does not change the mix of machines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asdbench.metrics.audio.resampling import FrechetOfClips, bootstrap, bootstrap_values, floor
from asdbench.metrics.audio.vectors import EmbeddedClips, join

REAL = ["fan"] * 9 + ["valve"] * 4 + ["pump"]
MADE = ["valve"] * 6 + ["fan"] * 5 + ["pump"] * 3
STRATA = (REAL, MADE)


class Watcher:
    """A figure that remembers the weights that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        self.asked += zip(first.copy(), second.copy(), strict=True)
        return (first - second) @ np.arange(first.shape[1])


def counts(weights: np.ndarray) -> dict[str, float]:
    labels = np.array(REAL + MADE)
    return {name: float(weights[labels == name].sum()) for name in ("fan", "valve", "pump")}


def test_every_resample_has_as_many_clips_of_each_machine() -> None:
    figure = Watcher()
    bootstrap_values(figure, len(REAL), len(MADE), resamples=50, seed=0, strata=STRATA)
    assert len(figure.asked) == 50
    for first, second in figure.asked:
        assert not first[len(REAL) :].any() and not second[: len(REAL)].any()
        assert counts(first) == {"fan": 9, "valve": 4, "pump": 1}
        assert counts(second) == {"fan": 5, "valve": 6, "pump": 3}
    assert len({first.tobytes() for first, _ in figure.asked}) > 40


def test_without_strata_the_mix_changes() -> None:
    figure = Watcher()
    bootstrap_values(figure, len(REAL), len(MADE), resamples=50, seed=0)
    assert len({counts(first)["fan"] for first, _ in figure.asked}) > 3
    assert {first.sum() for first, _ in figure.asked} == {len(REAL)}


def test_halves_have_as_many_clips_of_each_machine() -> None:
    figure = Watcher()
    found = floor(figure, len(REAL), len(MADE), splits=30, seed=0, strata=STRATA)
    assert found is not None and found.clips == 4 + 2  # half of 9 and of 4; one pump cannot be halved
    assert len(figure.asked) == 60
    for place, (first, second) in enumerate(figure.asked):
        assert counts(first) == counts(second) == {"fan": 4, "valve": 2, "pump": 0}
        assert set(first) <= {0, 1} and set(second) <= {0, 1}
        assert not (first * second).any()  # no clip is in both
        is_made = place % 2 == 1
        assert second[len(REAL) :].any() == is_made and second[: len(REAL)].any() != is_made
        assert not first[len(REAL) :].any()


def test_halves_are_no_larger_than_the_generated_clips_of_a_machine() -> None:
    figure = Watcher()
    strata = (["fan"] * 10 + ["valve"] * 10, ["fan"] * 2 + ["valve"] * 7)
    found = floor(figure, 20, 9, splits=5, seed=0, strata=strata)
    assert found is not None and found.clips == 2 + 5


def test_machines_that_one_set_lacks_have_no_half() -> None:
    assert floor(Watcher(), 4, 4, splits=3, seed=0, strata=(["fan"] * 4, ["valve"] * 4)) is None
    assert floor(Watcher(), 3, 9, splits=3, seed=0) is None


@pytest.fixture
def far_apart(embedded: Callable[..., EmbeddedClips]) -> tuple[EmbeddedClips, tuple[list[str], list[str]]]:
    """Twelve real and twelve generated clips of each of two machines, whose vectors lie far from each other."""
    parts, labels = [], []
    for number in range(4):  # real fan, real valve, generated fan, generated valve
        clips = embedded(12, 3, 4, number)
        moved = tuple(part + 50.0 * (number % 2) for part in clips.vectors)
        parts.append(EmbeddedClips(clips.model, clips.clip_ids, moved, clips.logits))
        labels.append([("fan", "valve")[number % 2]] * 12)
    whole = join(join(parts[0], parts[1]), join(parts[2], parts[3]))
    return whole, (labels[0] + labels[1], labels[2] + labels[3])


def test_the_floor_of_machines_far_apart_is_that_of_their_clips(
    far_apart: tuple[EmbeddedClips, tuple[list[str], list[str]]],
) -> None:
    clips, strata = far_apart
    figure = FrechetOfClips(clips)
    mixed = floor(figure, 24, 24, splits=20, seed=0)
    kept = floor(figure, 24, 24, splits=20, seed=0, strata=strata)
    assert mixed is not None and kept is not None
    assert mixed.clips == kept.clips == 12
    assert kept.mean < mixed.mean / 5 and kept.high < mixed.high / 5
    assert kept.matched < mixed.matched


def test_the_interval_of_machines_far_apart_is_narrower(
    far_apart: tuple[EmbeddedClips, tuple[list[str], list[str]]],
) -> None:
    clips, strata = far_apart
    figure = FrechetOfClips(clips)
    widths = []
    for groups in (None, strata):
        low, high = bootstrap(figure, 24, 24, 1.0, resamples=40, confidence=0.9, seed=0, strata=groups)
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_one_stratum_is_no_stratum() -> None:
    first, second = Watcher(), Watcher()
    bootstrap_values(first, 7, 8, resamples=10, seed=3)
    bootstrap_values(second, 7, 8, resamples=10, seed=3, strata=(["fan"] * 7, ["fan"] * 8))
    for one, other in zip(first.asked, second.asked, strict=True):
        np.testing.assert_array_equal(one, other)
    plain = floor(first, 7, 8, splits=5, seed=3)
    assert plain == floor(second, 7, 8, splits=5, seed=3, strata=(["fan"] * 7, ["fan"] * 8))
