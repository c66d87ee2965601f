"""Playing a clip at another rate, and making it longer or shorter before: the parts of speed and pitch shift."""

from __future__ import annotations

import math

import numpy as np

from .bands import bin_frequencies, smoothstep
from .effect import Signal, mean_square

LEAST_SNR_DB = -10 * math.log10(2)
"""Two sounds of one power that are not alike differ by twice that power; see `unlike`."""

_BLOCK_SECONDS = 0.025
_SEARCH_SECONDS = 0.0125  # to either side, so that a period down to 40 Hz is found


def draw_ratio(rng: np.random.Generator) -> float:
    """Draw by how much a machine is off: 10 to 30 per cent (2 to 4.5 semitones), up or down."""
    ratio = 1 + rng.uniform(0.10, 0.30)
    return float(ratio if rng.integers(2) else 1 / ratio)


def looped(signal: Signal, num_samples: int, sample_rate: int) -> Signal:
    """Repeat a signal, faded over into itself, or cut it, to ``num_samples``."""
    fade = min(int(0.02 * sample_rate), len(signal) // 4)
    angle = np.linspace(0, np.pi / 2, fade)
    longer = signal
    while len(longer) < num_samples:
        # Equal power: the end of a clip and its beginning are not alike.
        seam = longer[-fade:] * np.cos(angle) + signal[:fade] * np.sin(angle)
        longer = np.concatenate([longer[:-fade], seam, signal[fade:]])
    return longer[:num_samples]


def stretched(signal: Signal, num_samples: int, sample_rate: int) -> Signal:
    """Change the duration of a signal to ``num_samples`` but not its pitch (WSOLA).

    The result is a chain of blocks. Each is a fade from what would have come next in the signal to a place near where
    the pace of the result wants to be; of all places within a short search the one most like what would have come next
    is taken. The fade is scaled to constant power for the likeness that was found: noise is unlike itself everywhere,
    and a linear fade would make it flutter.
    """
    import scipy.signal

    block = round(_BLOCK_SECONDS * sample_rate)
    search = round(_SEARCH_SECONDS * sample_rate)
    pace = len(signal) / num_samples
    padded = np.pad(signal, (search, search + 3 * block), mode="reflect")
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    fade = smoothstep((np.arange(block) + 0.5) / block)
    farness = 1e-3 * np.abs(np.linspace(-1, 1, 2 * search + 1))  # of places that are as good, the nearest

    blocks = []
    following = search  # where the continuation of the last block begins, in padded samples
    for index in range(math.ceil(num_samples / block)):
        wanted = round(index * block * pace)  # begin of the search, in padded samples
        ahead = padded[following : following + block]
        nearby = padded[wanted : wanted + 2 * search + block]
        likeness = scipy.signal.correlate(nearby, ahead, mode="valid", method="fft")
        energies = energy[wanted + block : wanted + block + len(likeness)] - energy[wanted : wanted + len(likeness)]
        likeness /= np.sqrt(np.maximum(energies * np.sum(ahead**2), np.finfo(np.float64).tiny))
        best = int(np.argmax(likeness - farness))
        alike = float(np.clip(likeness[best], 0, 1))
        mixed = (1 - fade) * ahead + fade * nearby[best : best + block]
        blocks.append(mixed / np.sqrt((1 - fade) ** 2 + fade**2 + 2 * alike * fade * (1 - fade)))
        following = wanted + best + block
    return np.concatenate(blocks)[:num_samples]


def replayed(source: Signal, host: Signal, sample_rate: int) -> Signal:
    """Play ``source`` at the rate that gives it the length of the host.

    Slower playing leaves the top of the spectrum empty, by which any detector would know it; so above the highest
    frequency that the source can fill the host is kept.
    """
    import scipy.fft
    import soxr

    num_samples = len(host)
    played = np.asarray(soxr.resample(source, len(source), num_samples, quality="HQ"), dtype=np.float64)
    played = np.pad(played, (0, max(0, num_samples - len(played))), mode="edge")[:num_samples]
    top = 0.9 * min(1.0, len(source) / num_samples) * sample_rate / 2  # 0.9: clear of the resampler's edge
    kept = smoothstep((bin_frequencies(num_samples, sample_rate) / top - 0.97) / 0.03)
    mixed: Signal = scipy.fft.irfft(
        scipy.fft.rfft(played) * np.sqrt(1 - kept) + scipy.fft.rfft(host) * np.sqrt(kept), num_samples
    )
    return mixed


def unlike(host: Signal, other: Signal) -> Signal:
    """Give ``other`` zero mean, the power of the host and the polarity that does not resemble it.

    Polarity is inaudible. With it the two differ by at least twice the power of the host, whatever the host.
    """
    other = other - other.mean()
    other *= math.sqrt(mean_square(host) / mean_square(other))
    return other if float(np.dot(host, other)) <= 0 else -other
