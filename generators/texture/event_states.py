"""What a sound that comes and goes is made of: a background, and states that each add a spectrum of their own.

The coefficients of a short lapped transform (frames of 8 ms) are taken to be independent Gaussian noise, whose variance
in a band is that of the clip's background plus that of the state which the machine is in: the impact of a plunger, its
ring, the jet that follows. In each clip a state is louder or softer by a gain of its own, and all states have a colour:
groups of bands in which they are louder or softer, as the microphone stands elsewhere. States, backgrounds, gains,
colours and transitions are fitted by expectation maximisation; the first state is the background alone.

An impact is no noise: its ring is the same each time, and so is its energy. How far the energy of an event varies in
each band of a state is measured, and noise is drawn whose energy varies as much (`States.shaped`).

Noise with a variance for each time and frequency is the model behind non-negative matrix factorisation with the
Itakura-Saito divergence (C. Fevotte, N. Bertin and J.-L. Durrieu, Neural Computation 21, 2009). Here one spectrum at a
time is chosen by a Markov chain, as in the hidden Markov models of speech (L. R. Rabiner, Proc. IEEE 77, 1989).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .bands import group_edges
from .hidden_markov import Floats, most_likely_paths, posteriors
from .peakedness import exponents_for, independent_kurtosis, shaped

__all__ = ["ITERATIONS", "Decoded", "States", "colour_edges", "fit_states"]

Array = npt.NDArray[np.float64]

_STATES = 32
ITERATIONS = 14
"""Of expectation maximisation."""
_GROUP_MEL = 1.6
"""Width in mel of the groups of bands by which states are distinguished."""
_STILL = 0.15
"""Share of a clip's frames, the softest, that its background is first measured in."""
_STEADY = 9
"""Frames over which softness is measured: the mean of a few is soft by chance."""
_LOUD = 0.25
"""Share of a clip's frames, the loudest, that the states are first sought in, with a few of the others."""
_OTHERS = 0.05
_CLUSTERED = 15_000
"""Most frames that the states are first sought in."""
_FEWEST = 4
"""Frames that a state is sought in, on average at least."""
_STAY = 0.7
"""Probability of staying in a state before anything is known."""
_BACKGROUND_PRIOR, _GAIN_PRIOR = 5.0, 200.0
"""Weight of what was known of a clip's background (frames), and of the gain that its states have in common, which
itself is 1 where there is no evidence, and of a colour of 1 (as many frames and bands)."""
_GAINS = (0.05, 20.0)
_COLOURS = (0.2, 5.0)
_EVENT = 8
"""Frames from the beginning of an event over which its energy is measured."""
_KURTOSIS_PRIOR = 5.0
"""Weight in coefficients of Gaussian noise where it is measured how far the energy of events varies."""
_HARDLY = 1.0
"""Power relative to the background that a state which is hardly there adds at most in any group of bands."""
_PRUNED = (3, 7)
"""Iterations before which such states are left out."""
_QUIET = 1e-14
"""Least power: digital silence has a logarithm too."""


@dataclass(frozen=True)
class States:
    """The states of a machine.

    Attributes:
        spectra: power that each state adds to the background in each band, shape (states, bands); 0 for the first.
        quiet: of each state whether it is hardly more than the background, shape (states,).
        exponents: that make Gaussian noise into that of a state, see `peakedness`, shape (states, bands).
        sample_rate: of the clips, in Hz.
    """

    spectra: Array
    quiet: npt.NDArray[np.bool_]
    exponents: Array
    sample_rate: int

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """Where the groups of bands begin that a colour is of, see `colour_edges`."""
        return colour_edges(self.spectra.shape[1], self.sample_rate)

    def added(self, gains: Array, colour: Array) -> Array:
        """Power that each state adds to the background of a clip in each band, shape (states, bands).

        Args:
            gains: of each state in this clip, shape (states,).
            colour: gain of all states in each group of bands, shape (groups,), see `colour_edges`.
        """
        return np.asarray(gains[:, None] * (self.spectra * _spread(colour, self.edges)))

    def added_along(self, path: npt.NDArray[np.integer], gains: Array, colour: Array) -> Array:
        """Power that the states of a path add to the background of a clip, shape (bands, T).

        Which of the quiet states a frame is in, chance decides; noise that followed it would be rougher than it is. So
        in all frames of quiet states they add what they do on average.

        Args:
            path: the state in each frame, shape (T,).
            gains: see `added`.
            colour: see `added`.
        """
        power, quiet = self.added(gains, colour)[path].T, self.quiet[path]
        if quiet.any():
            power[:, quiet] = power[:, quiet].mean(axis=1, keepdims=True)
        return np.asarray(power)

    def shaped(self, noise: Array, path: npt.NDArray[np.integer]) -> Array:
        """Make Gaussian noise of unit power into noise whose energy varies as that of the states.

        Args:
            noise: shape (bands, T).
            path: the state in each frame, shape (T,).
        """
        return shaped(noise, self.exponents[path].T)


@dataclass(frozen=True)
class Decoded:
    """The states of some clips, as the fit found them.

    Attributes:
        paths: the state in each frame, shape (clips, T).
        gains: of each state in each clip, shape (clips, states).
        colours: gain of all states in each group of bands, shape (clips, groups).
        backgrounds: power in each band, shape (clips, bands).
    """

    paths: npt.NDArray[np.uint8]
    gains: Array
    colours: Array
    backgrounds: Array


def colour_edges(bands: int, sample_rate: int) -> npt.NDArray[np.int64]:
    """First band of each group that a colour is of, and behind the last one."""
    return group_edges(bands, sample_rate, _GROUP_MEL, 1)


def fit_states(
    power: Floats,
    sample_rate: int,
    seed: int,
    *,
    states: int = _STATES,
    iterations: int = ITERATIONS,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[States, Decoded]:
    """Fit the states of a machine to its clips.

    Args:
        power: squared coefficients of clips of one length, shape (clips, T, bands).
        sample_rate: of the clips, in Hz.
        seed: of the first guess.
        states: how many there are at most, the background among them; those that are hardly there are left out.
        iterations: of expectation maximisation.
        progress: called with the number of iterations done.
    """
    edges = colour_edges(power.shape[2], sample_rate)
    widths = np.diff(edges).astype(np.float32)
    grouped = np.add.reduceat(power, edges[:-1], axis=2)
    backgrounds, spectra = _first_guess(power, grouped, edges, states, seed)
    states = len(spectra)
    gains, colours = np.ones((len(power), states)), np.ones((len(power), len(widths)))
    transitions = np.full((states, states), (1 - _STAY) / states) + _STAY * np.eye(states)
    start = np.full(states, 1 / states)

    def likelihood() -> Floats:
        variance = backgrounds[:, None, :] + gains[:, :, None] * spectra * _spread(colours, edges)[:, None, :]
        mean = (np.add.reduceat(variance, edges[:-1], axis=2) / widths + _QUIET).astype(np.float32)
        logs = (widths * np.log(mean)).sum(axis=2)[:, None, :]
        return np.asarray(-0.5 * (logs + grouped @ (1 / mean).transpose(0, 2, 1)))

    for iteration in range(iterations):
        progress(iteration)
        if iteration in _PRUNED:  # states that are hardly there make the background, and with it all gains, ambiguous
            kept = _above(spectra, backgrounds, edges) >= _HARDLY
            kept[0] = True
            spectra, gains, start = spectra[kept], gains[:, kept], start[kept] / start[kept].sum()
            transitions = transitions[np.ix_(kept, kept)]
            transitions /= transitions.sum(axis=1, keepdims=True)
        found, pairs, _ = posteriors(likelihood(), transitions.astype(np.float32), start.astype(np.float32))
        frames = found.sum(axis=1).astype(np.float64)
        measured = (found.transpose(0, 2, 1) @ power).astype(np.float64)
        still = frames[:, :1]
        backgrounds = (measured[:, 0] + _BACKGROUND_PRIOR * backgrounds) / (still + _BACKGROUND_PRIOR)
        added = measured - frames[:, :, None] * backgrounds[:, None, :]
        colour = _spread(colours, edges)
        spectra = np.maximum(added.sum(axis=0) / ((frames * gains).T @ colour + 1e-6), 0.0)
        spectra[0] = 0.0
        shapes = spectra * colour[:, None, :]
        weights = shapes / np.square(backgrounds[:, None, :] + gains[:, :, None] * shapes + _QUIET)
        wanted, known = (added * weights).sum(axis=2), (frames[:, :, None] * shapes * weights).sum(axis=2)
        common = (wanted.sum(axis=1) + _GAIN_PRIOR) / (known.sum(axis=1) + _GAIN_PRIOR)
        gains = (wanted + _GAIN_PRIOR * common[:, None]) / (known + _GAIN_PRIOR)
        gains = np.clip(gains, *_GAINS)
        colourless = gains[:, :, None] * spectra
        weights = colourless / np.square(backgrounds[:, None, :] + colourless * colour[:, None, :] + _QUIET)
        wanted, known = (added * weights).sum(axis=1), (frames[:, :, None] * colourless * weights).sum(axis=1)
        wanted, known = (np.add.reduceat(total, edges[:-1], axis=1) for total in (wanted, known))
        colours = np.clip((wanted + _GAIN_PRIOR) / (known + _GAIN_PRIOR), *_COLOURS)
        loudness = np.exp(np.log(colours).mean(axis=1, keepdims=True))  # what all bands have in common is a gain
        colours, gains = colours / loudness, gains * loudness
        transitions = (pairs + 0.01) / (pairs + 0.01).sum(axis=1, keepdims=True)
        start = (found[:, 0].sum(axis=0) + 0.1) / (len(power) + 0.1 * len(spectra))
    paths = most_likely_paths(likelihood(), transitions.astype(np.float32), start.astype(np.float32))
    quiet = _above(spectra, backgrounds, edges) < _HARDLY
    found_states = States(spectra, quiet, np.ones_like(spectra), sample_rate)
    decoded = Decoded(paths, gains, colours, backgrounds)
    return replace(found_states, exponents=_exponents(power, found_states, decoded)), decoded


def _exponents(power: Floats, states: States, clips: Decoded) -> Array:
    """Measure how far the energy of events varies, see `States.exponents`.

    Independent coefficients of variance v and kurtosis k have an energy whose variance is the sum of v^2 (k - 1). Where
    events vary more than noise, as the gain of one differs from that of the next, they are left as noise.
    """
    found = np.zeros((2, *states.spectra.shape))
    for row, path, gains, colour, background in zip(
        power, clips.paths, clips.gains, clips.colours, clips.backgrounds, strict=True
    ):
        power_of_states = background + states.added(gains, colour) + _QUIET
        loud = ~states.quiet[path]
        for begin in np.flatnonzero(loud & ~np.r_[False, loud[:-1]]):
            during = path[begin : begin + _EVENT]
            variance = power_of_states[during]
            squared, total = np.square(variance), variance.sum(axis=0)
            deviation = np.square(row[begin : begin + _EVENT].sum(axis=0) - total)
            for state in np.unique(during):
                mine = squared[during == state].sum(axis=0) / np.square(total)
                found[:, state] += mine * deviation / squared.sum(axis=0), mine
    kurtosis = 1 + (found[0] + 2 * _KURTOSIS_PRIOR) / (found[1] + _KURTOSIS_PRIOR)
    exponents = exponents_for(independent_kurtosis(kurtosis))
    exponents[states.quiet] = 1.0
    return exponents


def _spread(values: Array, edges: npt.NDArray[np.int64]) -> Array:
    """From groups of bands to bands, along the last axis."""
    return np.repeat(values, np.diff(edges), axis=-1)


def _smooth(values: Floats, frames: int) -> Floats:
    """Mean over an odd number of frames around each, shape (clips, T, groups)."""
    half = frames // 2
    sums = np.pad(values, ((0, 0), (half + 1, half), (0, 0)), mode="edge").cumsum(axis=1, dtype=np.float64)
    return np.asarray((sums[:, frames:] - sums[:, :-frames]) / frames, dtype=np.float32)


def _above(spectra: Array, backgrounds: Array, edges: npt.NDArray[np.int64]) -> Array:
    """Power of each state relative to the background in the group of bands where it is largest, shape (states,)."""
    behind = np.add.reduceat(backgrounds.mean(axis=0), edges[:-1]) + _QUIET
    return np.asarray((np.add.reduceat(spectra, edges[:-1], axis=1) / behind).max(axis=1))


def _first_guess(
    power: Floats, grouped: Floats, edges: npt.NDArray[np.int64], states: int, seed: int
) -> tuple[Array, Array]:
    """Backgrounds from the softest frames, spectra from clusters of what is above them in the loudest."""
    from sklearn.cluster import KMeans

    level = np.log(_smooth(grouped, _STEADY) / np.diff(edges) + _QUIET).mean(axis=2)
    smooth = _smooth(grouped, 3)
    still = level <= np.quantile(level, _STILL, axis=1, keepdims=True)
    softest = zip(power, still, strict=True)
    backgrounds = np.stack([row[quiet].mean(axis=0, dtype=np.float64) for row, quiet in softest])
    below = np.add.reduceat(backgrounds, edges[:-1], axis=1)[:, None, :]
    height = np.log(smooth / np.maximum(below, _QUIET) + 1e-3)
    loud = height.mean(axis=2)
    random = np.random.default_rng(seed)
    chosen = (loud > np.quantile(loud, 1 - _LOUD, axis=1, keepdims=True)) | (random.random(loud.shape) < _OTHERS)
    picked = random.permutation(int(chosen.sum()))[:_CLUSTERED]
    clip, frame = (index[picked] for index in np.nonzero(chosen))
    states = min(states, 1 + len(clip) // _FEWEST)
    labels = KMeans(states - 1, n_init=1, max_iter=30, random_state=seed % 2**32).fit(height[clip, frame]).labels_
    added = power[clip, frame] - backgrounds[clip]
    rows = [added[labels == state].mean(axis=0) for state in range(states - 1)]
    return backgrounds, np.maximum(np.stack([np.zeros(power.shape[2]), *rows]), 0.0)
