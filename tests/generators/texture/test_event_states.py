"""States of sounds that come and go, found in noise whose states are known."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.texture.event_states import Decoded, States, colour_edges, fit_states

CLIPS, FRAMES, BANDS, RATE = 12, 400, 128, 16000
PERIOD, LENGTH = 40, 6


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An event of 6 frames every 40 frames, from frame 20 on: spectrum, gain of each clip, and background."""
    spectrum = 30 * np.exp(-(((np.arange(BANDS) - 60) / 15) ** 2))
    return spectrum, np.random.default_rng(1).lognormal(0, 0.3, CLIPS), np.linspace(1.5, 0.5, BANDS)


@pytest.fixture(scope="module")
def fitted(truth: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[States, Decoded]:
    spectrum, gains, background = truth
    variance = np.tile(background, (CLIPS, FRAMES, 1))
    variance[:, happening()] += gains[:, None, None] * spectrum
    noise = np.random.default_rng(0).standard_normal(variance.shape)
    return fit_states((variance * noise**2).astype(np.float32), RATE, 0, states=3)


def happening(frames: int = FRAMES) -> np.ndarray:
    return (np.arange(frames) - 20) % PERIOD < LENGTH


def power_of(fitted: tuple[States, Decoded], clip: int) -> np.ndarray:
    """Power of a clip as it was fitted, shape (bands, T)."""
    states, found = fitted
    return found.backgrounds[clip][:, None] + states.added_along(
        found.paths[clip], found.gains[clip], found.colours[clip]
    )


def test_events_are_found_when_they_happen(fitted: tuple[States, Decoded]) -> None:
    found = np.array([power_of(fitted, clip)[60] > 4 for clip in range(CLIPS)])
    assert (found == happening()).mean() > 0.99


def test_power_is_that_of_background_and_event(
    fitted: tuple[States, Decoded], truth: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    spectrum, gains, background = truth
    loud = spectrum > 5
    for clip in range(CLIPS):
        found, wanted = power_of(fitted, clip), background + gains[clip] * spectrum
        assert np.mean(found[loud][:, happening()] / wanted[loud, None]) == pytest.approx(1, abs=0.15)
        assert np.mean(found[:, ~happening()] / background[:, None]) == pytest.approx(1, abs=0.1)


def test_the_first_state_is_the_background_alone(fitted: tuple[States, Decoded]) -> None:
    states, decoded = fitted
    assert not states.spectra[0].any()
    assert not states.added(decoded.gains[0], decoded.colours[0])[0].any()


def test_quiet_states_add_the_same_in_all_frames_and_others_what_is_theirs() -> None:
    spectra = np.array([0.0, 3.0, 50.0])[:, None] * np.linspace(1, 2, BANDS)
    states = States(spectra, np.array([True, True, False]), np.ones_like(spectra), RATE)
    path, colour = np.array([0, 1, 2, 0, 0, 2]), np.full(len(colour_edges(BANDS, RATE)) - 1, 0.5)
    added = states.added_along(path, np.array([1.0, 2.0, 3.0]), colour)
    quiet, loud = 2 * 3 / 4, 3 * 50
    expected = np.array([quiet, quiet, loud, quiet, quiet, loud]) * (0.5 * np.linspace(1, 2, BANDS))[:, None]
    np.testing.assert_allclose(added, expected)
    np.testing.assert_allclose(states.added_along(np.array([2, 2]), np.ones(3), 2 * colour), np.tile(spectra[2:].T, 2))


def test_few_frames_have_few_states() -> None:
    power = np.random.default_rng(2).chisquare(1, (1, 40, BANDS)).astype(np.float32)
    states, decoded = fit_states(power, RATE, 0)
    assert 2 <= len(states.spectra) < 10
    assert np.isfinite(states.spectra).all() and decoded.paths.max() < len(states.spectra)


def test_a_clip_may_have_a_colour_of_its_own() -> None:
    random = np.random.default_rng(7)
    edges = colour_edges(BANDS, RATE)
    tilts = np.linspace(-0.5, 0.5, len(edges) - 1) * random.choice((-1, 1), (CLIPS, 1))
    variance = np.ones((CLIPS, 2000, BANDS))
    variance[:, happening(2000)] += 20 * np.exp(np.repeat(tilts, np.diff(edges), axis=1))[:, None, :]
    noise = random.standard_normal(variance.shape)
    _, decoded = fit_states((variance * noise**2).astype(np.float32), RATE, 0, states=3)
    relative = np.log(decoded.colours) - np.log(decoded.colours).mean(axis=0)
    wide = np.diff(edges) > 3  # what is known of a single band is little
    np.testing.assert_allclose(relative[:, wide], (tilts - tilts.mean(axis=0))[:, wide], atol=0.15)


def test_events_of_always_the_same_energy_are_less_peaked_than_noise() -> None:
    random = np.random.default_rng(8)
    coefficients, during = random.standard_normal((CLIPS, 2000, BANDS)), happening(2000)
    phases = 2 * np.pi * random.random((CLIPS, during.sum(), BANDS // 2))
    coefficients[:, during, : BANDS // 2] += np.sqrt(60) * np.cos(phases)
    coefficients[:, during, BANDS // 2 :] *= np.sqrt(31)
    states, _ = fit_states(np.square(coefficients).astype(np.float32), RATE, 0, states=3)
    loud = ~states.quiet
    assert states.exponents[loud, : BANDS // 2].mean() < 0.35
    assert states.exponents[loud, BANDS // 2 :].mean() > 0.9
    assert (states.exponents[~loud] == 1).all()
    noise = random.standard_normal((BANDS, 50_000))
    made = states.shaped(noise, np.full(50_000, np.flatnonzero(loud)[0]))
    assert np.mean(made**2) == pytest.approx(1, abs=0.02)
    assert np.mean(made[: BANDS // 2] ** 4) < 1.6 < 2.7 < np.mean(made[BANDS // 2 :] ** 4)


def test_clips_that_are_silent_between_events_or_in_some_bands_are_no_problem() -> None:
    power = np.random.default_rng(9).chisquare(1, (CLIPS, FRAMES, BANDS)).astype(np.float32)
    power[:, happening()] *= 30
    power[0, ~happening()] = 0.0
    power[:, :, 100:] = 0.0
    states, decoded = fit_states(power, RATE, 0, states=3)
    for found in (states.spectra, states.exponents, decoded.gains, decoded.colours, decoded.backgrounds):
        assert np.isfinite(found).all()
