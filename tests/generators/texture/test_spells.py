"""Spells: how paths are cut into them, and that drawn paths have the statistics of the clips'."""

from __future__ import annotations

import itertools

import numpy as np

from asdbench.generators.texture.spells import draw_path, runs, spells_of

QUIET = np.array([True, False])


def test_runs_are_beginnings_and_ends() -> None:
    assert runs(np.array([1, 1, 0, 2, 2, 2])) == [(0, 2), (2, 3), (3, 6)]
    assert runs(np.array([7])) == [(0, 1)]


def test_short_pauses_and_blips_end_no_spell() -> None:
    path = np.repeat([0, 1, 0, 1, 0, 1, 0], [20, 6, 3, 6, 20, 1, 20]).astype(np.uint8)
    found = [(quiet, len(states)) for quiet, states in spells_of(path, QUIET)]
    assert found == [(True, 20), (False, 15), (True, 41)]


def test_long_spells_count_as_several_and_lose_nothing() -> None:
    path = np.repeat([0, 1], [300, 10]).astype(np.uint8)
    spells = spells_of(path, QUIET)
    assert [(quiet, len(states)) for quiet, states in spells] == [(True, 125), (True, 125), (True, 50), (False, 10)]
    np.testing.assert_array_equal(np.concatenate([states for _, states in spells]), path)


def periodic(period: int) -> np.ndarray:
    return np.where(np.arange(1000) % period < 8, 1, 0).astype(np.uint8)


def test_drawn_paths_are_as_long_as_asked_and_as_periodic_as_the_clips() -> None:
    clips = [spells_of(np.roll(periodic(50), shift), QUIET) for shift in range(0, 50, 5)]
    for seed in range(5):
        path = draw_path(clips, 2000, np.random.default_rng(seed))
        assert path.shape == (2000,)
        starts = np.flatnonzero(np.diff(path) == 1)
        assert (np.diff(starts) == 50).all() and len(starts) in (39, 40, 41)


def test_what_follows_depends_on_the_spells_before() -> None:
    """Pauses of 20 and 60 frames take turns; a chain without memory would mix them."""
    path = np.concatenate([np.repeat([1, 0], [8, (20, 60)[turn % 2]]) for turn in range(40)]).astype(np.uint8)
    clips = [spells_of(np.roll(path, 13 * shift), QUIET) for shift in range(6)]
    drawn = draw_path(clips, 3000, np.random.default_rng(0))
    pauses = [end - begin for begin, end in runs(drawn) if drawn[begin] == 0][1:-1]
    assert set(pauses) == {20, 60}
    assert all(one != other for one, other in itertools.pairwise(pauses))


def test_a_clip_without_any_event_goes_on() -> None:
    clips = [spells_of(np.zeros(40, np.uint8), QUIET)]
    assert not draw_path(clips, 500, np.random.default_rng(0)).any()
