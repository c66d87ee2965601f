"""Lines of a spectrum: steady tones that stand out of the noise of their mel band, found in a clip and put into one.

A line is described relative to its band, by the share of the band's power that it has and by where in the band it lies,
so that clips can be compared band by band. All lines of a clip follow one shaft, whose speed wanders a little.

Source of the split into sinusoids and noise: X. Serra and J. O. Smith, "Spectral modeling synthesis: a sound
analysis/synthesis system based on a deterministic plus stochastic decomposition", Computer Music Journal 14(4), 1990.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import gaussian_filter1d

from .spectra import Spectra, decibels_of

__all__ = ["LineAnalysis", "Lines"]

Array = npt.NDArray[np.float64]

_WINDOWS = 16
"""Length of the long analysis window in windows of the spectrogram: 0.7 to 1.4 s, by the sample rate; 1 s at 16 kHz."""
_FLOOR_HZ = 60.0
"""Width over which the median gives the noise around a line."""
_STANDS_OUT = 4.0
"""Power of a line's bin relative to the median of the noise around it, at least."""
_CHANCE = 1e-7
"""Chance that a bin of noise passes for a line. The mean of few periodograms varies more: lines have to be higher."""
_WELCH_SHARE = 0.95
"""Independent periodograms in one of those that overlap by half, with a Hann window."""
_WIDTH = 0.003
"""Half of the width of a line relative to its frequency, for the wander of the shaft; two bins at least."""
_LEAST_SHARE = 0.05
_STRONG = 0.5
"""Share of a line whose width is measured."""
_WANDER_HZ = 0.5
"""How fast the speed of a shaft wanders."""
_LARGEST = float(np.finfo(np.float32).max)
"""Power of a band from which lines grow no further: sound is in single precision, and sums of larger ones overflow."""


@dataclass(frozen=True)
class Lines:
    """The strongest line of each band.

    Attributes:
        share: part of the band's mean power that is the line's, 0 to 1, shape (bands,).
        place: where the line lies, -1 to 1 from one end of the band's own range to the other, shape (bands,).
    """

    share: Array
    place: Array

    def array(self) -> npt.NDArray[np.float32]:
        """Share and place, shape (2, bands)."""
        return np.stack([self.share, self.place]).astype(np.float32)

    def clear(self) -> Lines:
        """Return the lines without those that are too weak to be distinguished from noise."""
        share = np.where(self.share >= _LEAST_SHARE, np.minimum(self.share, 1.0), 0.0)
        return Lines(share, np.clip(self.place, -1, 1) * (share > 0))


@dataclass(frozen=True)
class LineAnalysis:
    """Finds lines and puts them in, for one kind of spectrogram.

    Attributes:
        spectra: the spectrogram.
    """

    spectra: Spectra

    @property
    def window(self) -> int:
        """Samples of the long window; shorter clips have no lines that could be distinguished from noise."""
        return _WINDOWS * self.spectra.window

    @cached_property
    def hz(self) -> Array:
        """Frequency of each bin of the long window."""
        return np.asarray(np.fft.rfftfreq(self.window, 1 / self.spectra.sample_rate))

    @cached_property
    def edges(self) -> Array:
        """Limits of the bands' own ranges in Hz, halfway between their centres, shape (bands + 1,)."""
        bins = np.arange(len(self.spectra.filters))[:, None] * self.spectra.sample_rate / self.spectra.window
        weights = self.spectra.filters.astype(np.float64)
        total = weights.sum(axis=0)
        centres = (weights * bins).sum(axis=0) / np.maximum(total, 1e-12)
        middles = (centres[1:] + centres[:-1]) / 2
        return np.r_[max(0.0, 2 * centres[0] - middles[0]), middles, min(2 * centres[-1] - middles[-1], bins[-1, 0])]

    @cached_property
    def response(self) -> Array:
        """Power of each band for a sinusoid of unit power at each bin of the long window, shape (bins, bands)."""
        size = self.spectra.window
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        # The window's spectrum on the grid of the long window, of which every 16th value is a bin apart.
        lobe = np.abs(scipy.fft.fft(hann, self.window)) ** 2 / 2
        reach = 8 * _WINDOWS
        found = np.zeros((len(self.hz), self.spectra.bands))
        offsets = np.arange(-reach, reach + 1)
        for place in range(len(self.spectra.filters)):
            at = place * _WINDOWS + offsets
            inside = (at >= 0) & (at < len(self.hz))
            found[at[inside]] += lobe[offsets[inside]][:, None] * self.spectra.filters[place].astype(np.float64)
        return found

    def analyse(self, waveform: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Lines]:
        """Return the log-mel frames of a clip in dB, shape (frames, bands), and its lines."""
        mel = self.spectra.mel(self.spectra.transform(waveform))
        return decibels_of(mel), self.find(waveform, mel.mean(axis=0, dtype=np.float64))

    def find(self, waveform: npt.NDArray[np.float32], mel: Array | None = None) -> Lines:
        """Find the strongest line of each band.

        Args:
            waveform: of a clip, shape (num_samples,).
            mel: its mean power in each band, shape (bands,); None to measure it.
        """
        bands = self.spectra.bands
        share, place = np.zeros(bands), np.zeros(bands)
        if len(waveform) < 2 * self.window:
            return Lines(share, place)
        power = self._welch(waveform)
        step = self.hz[1]
        least = self._stands_out(len(waveform))
        around = _medians(power, max(3, round(_FLOOR_HZ / step)))
        above = np.maximum(power - around, 0.0)
        if mel is None:
            mel = self.spectra.mel(self.spectra.transform(waveform)).mean(axis=0, dtype=np.float64)
        summed = np.r_[0.0, np.cumsum(above)]
        limits = np.searchsorted(self.hz, self.edges)
        for band in range(bands):
            begin, end = limits[band], limits[band + 1]
            if end <= begin:
                continue
            peak = begin + int(np.argmax(above[begin:end]))
            if power[peak] < least * around[peak] or mel[band] <= 0:
                continue
            half = max(2, math.ceil(_WIDTH * self.hz[peak] / step))
            low, high = max(0, peak - half), min(len(power), peak + half + 1)
            line = summed[high] - summed[low]
            share[band] = min(1.0, line * self.response[peak, band] / mel[band])
            place[band] = 2 * (self.hz[peak] - self.edges[band]) / (self.edges[band + 1] - self.edges[band]) - 1
        return Lines(share, place).clear()

    def wander(self, waveform: npt.NDArray[np.float32], lines: Lines) -> list[float]:
        """Measure the relative deviation of the frequency of each strong line over time, from its width.

        The variance of the frequency is the second moment of the line's spectrum around its centre, less that of the
        Hann window (a third of a squared bin).
        """
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(waveform)) / len(waveform))
        power = np.abs(scipy.fft.rfft(waveform * hann)) ** 2
        step = self.spectra.sample_rate / len(waveform)
        found = []
        for band in np.flatnonzero(lines.share >= _STRONG):
            centre = self.frequencies(lines)[band]
            half = max(4 * step + self.hz[1], _WIDTH * centre)
            low, high = max(0, round((centre - half) / step)), min(len(power), round((centre + half) / step) + 1)
            beside = np.r_[power[max(0, low - (high - low)) : low], power[high : 2 * high - low]]
            line = np.maximum(power[low:high] - beside.mean(), 0.0)
            if line.sum() > 0 and len(beside):
                hz = np.arange(low, high) * step
                middle = (line * hz).sum() / line.sum()
                variance = (line * np.square(hz - middle)).sum() / line.sum() - step**2 / 3
                found.append(math.sqrt(max(0.0, variance)) / middle)
        return found

    def _stands_out(self, num_samples: int) -> float:
        """Power of a line's bin relative to the median around it, which noise alone passes with a chance of `_CHANCE`.

        The mean of k independent periodograms is gamma distributed with the shape k.
        """
        from scipy.special import gammainccinv, gammaincinv

        shape = max(1.0, _WELCH_SHARE * (num_samples // (self.window // 2) - 1))
        return max(_STANDS_OUT, float(gammainccinv(shape, _CHANCE) / gammaincinv(shape, 0.5)))

    def _welch(self, waveform: npt.NDArray[np.float32]) -> Array:
        """Mean periodogram; the bins of a sinusoid sum to its power."""
        hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(waveform, self.window)[:: self.window // 2]
        spectrum = scipy.fft.rfft(frames * hann, axis=-1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=0, dtype=np.float64)
        return np.asarray(2 * power / (self.window * float(np.square(hann).sum())))

    def frequencies(self, lines: Lines) -> Array:
        """Frequency of each band's line in Hz, shape (bands,)."""
        return np.asarray(self.edges[:-1] + (lines.place + 1) / 2 * np.diff(self.edges))

    def powers(self, lines: Lines, mel: Array) -> tuple[Array, Array]:
        """Power of each band's line, and what all lines together add to the bands' mean power.

        Args:
            lines: see `Lines`.
            mel: mean power of each band, shape (bands,); what is beyond single precision counts as its largest.

        Returns:
            Powers of the sinusoids and power in the bands, both of shape (bands,).
        """
        bins = np.clip(np.round(self.frequencies(lines) / self.hz[1]).astype(int), 0, len(self.hz) - 1)
        response = self.response[bins]
        own = np.maximum(response[np.arange(len(bins)), np.arange(len(bins))], 1e-12)
        powers = lines.share * np.minimum(mel, _LARGEST) / own
        return powers, powers @ response

    def sound(
        self, lines: Lines, powers: Array, num_samples: int, wander: float, random: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        """Return the sum of the sinusoids, with random phases, on a shaft whose speed wanders."""
        rate = self.spectra.sample_rate
        waveform = np.zeros(num_samples, dtype=np.float32)
        turned = _turned(num_samples, rate, wander, random)
        for hz, power, phase in zip(self.frequencies(lines), powers, random.random(len(powers)), strict=True):
            if power <= 0:
                continue
            turns = hz * turned + phase
            turns -= np.floor(turns)  # in double precision; a cosine of single precision takes a fifth of the time
            waveform += np.float32(math.sqrt(2 * power)) * np.cos(np.float32(2 * np.pi) * turns.astype(np.float32))
        return waveform


def _medians(power: Array, width: int) -> Array:
    """Median of blocks that overlap by half, interpolated between their middles, of the shape of ``power``."""
    starts = np.arange(0, max(1, len(power) - width + 1), max(1, width // 2))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(power, min(width, len(power)))[starts], axis=1)
    return np.interp(np.arange(len(power)), starts + width / 2, medians)


def _turned(samples: int, rate: int, wander: float, random: np.random.Generator) -> Array:
    """Time at each sample by a shaft whose speed wanders by a relative deviation, in s; shape (samples,)."""
    step = max(1, rate // 32)
    width = rate / (2 * np.pi * _WANDER_HZ * step)
    pad = math.ceil(4 * width)  # where the filter ends
    knots = gaussian_filter1d(random.standard_normal(samples // step + 2 + 2 * pad), width)[pad:-pad]
    knots *= wander * math.sqrt(2 * math.sqrt(np.pi) * width)  # a Gaussian of that width leaves this much of noise
    speed = 1 + np.interp(np.arange(samples) / step, np.arange(len(knots)), knots)
    return np.asarray(np.cumsum(speed) / rate)
