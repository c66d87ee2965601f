"""From a power density to sound: lines and noise whose spectrogram is brought to a target drawn from the density.

The fine structure of the target is that of real noise: the standardised log spectrogram of white noise, scaled to the
deviation that each cell's gamma distribution has. Then the sound is made to have it, by gains in turn (as D. Griffin
and J. Lim do with magnitudes, IEEE Trans. Acoust., Speech, Signal Process. 32, 1984), which keep the phases of lines.
Gains alone leave the mean of a band over the clip off by some hundredths of a neper; so what is missing of it is added
to the target.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from .lines import LineAnalysis, Lines
from .network import LOG_10
from .spectra import FLOOR, Spectra, Spectrum

__all__ = ["ROUNDS", "synthesize"]

Array = npt.NDArray[np.float32]

ROUNDS = 6
"""Of gains; the spectrogram is then within 0.3 dB of the target (RMS; with impacts 0.4 dB), after ten hardly nearer."""
_LOUDEST = 200.0
"""Mean power of a cell in dB, at most: latents that no sound has may decode to more than single precision holds."""
_LARGEST_GAIN = 6.0
"""Nepers of power by which a cell changes in a round."""
_LARGEST_DEBT = 0.2
"""Nepers by which the mean of a band is aimed higher or lower than its target, since gains alone leave it some
hundredths off; a band that the skirts of a line fill never reaches its target."""
_TONAL = 0.05
"""Share of a band's power from which lines count in how it fluctuates."""
_LEAST_DEVIATION = 1e-2
_LEAST_NOISE = 0.02
"""Share of a band's power that stays noise however strong its line is."""


def synthesize(
    spectra: Spectra,
    analysis: LineAnalysis,
    decibels: Array,
    log_shape: Array,
    lines: Lines,
    *,
    calibration: Array,
    chance: float,
    wander: float,
    num_samples: int,
    random: np.random.Generator,
    rounds: int = ROUNDS,
) -> Array:
    """Return a waveform, shape (num_samples,).

    Args:
        spectra: the kind of spectrogram.
        analysis: of lines, for the same.
        decibels: mean power of each cell in dB, shape (frames, bands); values above 200 count as 200.
        log_shape: log of the shape of its gamma distribution, likewise.
        lines: the lines of the bands.
        calibration: factor of the deviation of the log power in each band, shape (bands,).
        chance: factor of what the noise does by chance to the mean of a band over the clip.
        wander: relative deviation of the lines' frequencies over time.
        num_samples: length.
        random: of noise, phases and wander.
        rounds: see `ROUNDS`.
    """
    noise = random.standard_normal(num_samples).astype(np.float32)
    spectrum = spectra.transform(noise)
    white = spectra.noise
    fine = (_log_mel(spectra, spectrum) - white.log_mean) / white.log_std
    log_mean = np.minimum(decibels, np.float32(_LOUDEST)) * np.float32(LOG_10)
    mean = np.exp(log_mean, dtype=np.float64).mean(axis=0)
    powers, of_lines = analysis.powers(lines, mean)
    share = of_lines / np.maximum(mean, FLOOR)
    left = np.log(np.maximum(1 - share, _LEAST_NOISE)).astype(np.float32)
    waveform = spectra.inverse(spectrum * spectra.gains(log_mean + left - np.log(white.power)), num_samples)
    if powers.any():
        waveform += analysis.sound(lines, powers, num_samples, wander, random)
        # Where lines are, noise alone fluctuates otherwise than line and noise do, and gains would break the line up.
        tonal = share > _TONAL
        away = (_log_mel(spectra, spectra.transform(waveform)) - log_mean)[:, tonal]
        fine[:, tonal] = (away - away.mean(axis=0)) / np.maximum(away.std(axis=0), _LEAST_DEVIATION)
    shape = torch.from_numpy(log_shape).double().exp()  # torch's polygamma takes a thirtieth of scipy's time
    target = log_mean + (torch.digamma(shape).numpy() - log_shape).astype(np.float32)
    fine *= torch.polygamma(1, shape).sqrt().numpy().astype(np.float32) * calibration
    target += fine - (1 - chance) * fine.mean(axis=0)
    owed = np.zeros(target.shape[1], dtype=np.float32)
    for _ in range(rounds):
        spectrum = spectra.transform(waveform)
        away = target - _log_mel(spectra, spectrum)
        owed = np.clip(owed + away.mean(axis=0), -_LARGEST_DEBT, _LARGEST_DEBT)
        away = np.clip(away + owed, -_LARGEST_GAIN, _LARGEST_GAIN)
        waveform = spectra.inverse(spectrum * spectra.gains(away), num_samples)
    return waveform


def _log_mel(spectra: Spectra, spectrum: Spectrum) -> Array:
    """Natural log of the power of the bands, shape (frames, bands)."""
    return np.asarray(np.log(np.maximum(spectra.mel(spectrum), np.float32(FLOOR))))
