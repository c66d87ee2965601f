"""What is measured after the training of a compact codec: latents that count, details, lines, how far cells vary.

The shapes of the gamma distributions are learnt together with all else, and the decoder reaches its target within some
tenths of a decibel only: without a calibration the log power of cells varies by some percent more or less than in real
clips, and an autoencoder, which cannot predict that noise, recognises the codec. So training clips are coded and made
again, and the deviation of each band is corrected until its changes within a fifth of a second are those of the clips;
what is left depends on the machine, and a linear function of the clip latent corrects it. If the changes are not right
after the last round, a warning says how far they are off. How the mean spectra of clips scatter is corrected last.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from asdbench import warn

from ...shared.randomness import stream
from .chance import share_to_draw
from .decoding import Decoder
from .details import encode_details, measure_details
from .examples import Examples
from .lines import LineAnalysis
from .network import FRAME_TEMPERATURE, CompactNetwork, Posterior, Power, excess
from .spectra import Spectra

__all__ = ["CALIBRATED", "VERSION", "calibrate"]

Array = npt.NDArray[np.float64]

CALIBRATED = ("active", "wander", "detail_mean", "detail_basis", "calibration", "clip_calibration", "chance")
"""Buffers of the network that are measured here."""
VERSION = 3
"""Raised where they come out differently for the same network and clips."""

_CLIPS = 128
_CLIPS_OF_DETAILS = 1200
_LEAST_INFORMATION = 0.03
"""Nats a frame from which a frame latent says anything; below it is drawn as noise."""
_ROUNDS = 3
_LAGS = {2: 4, 4: 3, 6: 2, 8: 1}
"""Frames over which changes are measured, and how much each counts: as often as two frames of five that overlap by half
a window are so far apart. Changes over half a window alone leave those over a whole one 1 to 2 % too large."""
_PENALTY = 16.0
"""Of the slopes of the linear function, as clips that have none: the variances of two clips differ by chance by 2 %."""
_SMOOTHING = 9
"""Bands over which corrections are averaged, for what some clips say of one band is noisy."""
_RANGE = (0.5, 1.5)
_TOLERANCE = 0.05
"""Relative error of the changes, root mean square over the bands, above which the calibration has not converged."""


@torch.no_grad()
def calibrate(network: CompactNetwork, examples: Examples, spectra: Spectra, seed: int) -> None:
    """Set the buffers `CALIBRATED` of a trained network, from some of its training clips."""
    chosen, analysis = examples.evenly(_CLIPS), LineAnalysis(spectra)
    information, wanders, wanted = [], [], []
    for index in chosen:
        _, frames = _coded(network, examples, index, seed)
        information.append(frames.divergence().mean(dim=(0, 2)).cpu().numpy())
        waveform = examples.waveform(index)
        wanders += analysis.wander(waveform, analysis.find(waveform))
        wanted.append(_changes(spectra.decibels(waveform)))
    active = np.mean(information, axis=0) >= _LEAST_INFORMATION
    active[int(np.argmax(np.mean(information, axis=0)))] = True
    network.active.copy_(torch.from_numpy(active.astype(np.float32)))
    network.wander.fill_(float(np.median(wanders)) if wanders else 0.0)
    if network.config.detail_dim:
        measure_details(
            network, (_left(network, examples, index, seed) for index in examples.evenly(_CLIPS_OF_DETAILS))
        )
    network.calibration.fill_(1.0)
    network.clip_calibration.zero_()
    network.chance.fill_(1.0)
    coded = [_drawn_for(network, examples, index, seed) for index in chosen]
    decoder, of_noise = Decoder(network, analysis), _changes_of_noise(spectra)
    missing: list[Array] = []
    for turn in range(_ROUNDS + 1):
        missing, noise, drawn = [], [], []
        for index, (latents, clip), real in zip(chosen, coded, wanted, strict=True):
            random = stream("calibration", seed, index, turn)
            power = decoder.power(latents, clip)
            waveform = decoder.sound(power, clip, len(examples.waveform(index)), random)
            decibels = spectra.decibels(waveform)
            missing.append(real - _changes(decibels))
            drawn.append(_above(decibels, power))
            deviation = network.deviations(clip[:, : network.config.clip_dim])[0].double().cpu().numpy()
            noise.append(_variance(power.log_shape[0].double().cpu().numpy()) * of_noise * np.square(deviation))
        if turn == _ROUNDS:
            break  # this pass only measures what the last correction has left
        # Both corrections are relative to the variance that the noise has so far.
        of_band = _smooth(np.mean(missing, axis=0) / np.mean(noise, axis=0))
        squared = np.square(network.calibration.double().cpu().numpy()) * np.maximum(1 + of_band, _RANGE[0] ** 2)
        found = np.sqrt(np.clip(squared, _RANGE[0] ** 2, _RANGE[1] ** 2)).astype(np.float32)
        network.calibration.copy_(torch.from_numpy(found))
        if turn:  # the first round corrects much, and differently by band
            of_clip = np.sum(np.array(missing) - of_band * np.array(noise), axis=1) / np.sum(noise, axis=1)
            latents_of_clips = (
                torch.cat([clip[:, : network.config.clip_dim] for _, clip in coded]).double().cpu().numpy()
            )
            network.clip_calibration += torch.from_numpy(_linear(latents_of_clips, of_clip)).to(network.mean)
    network.chance.fill_(_chance(examples, chosen, [decoder.power(*of_clip) for of_clip in coded], np.array(drawn)))
    off = -np.mean(missing, axis=0)
    _warn_unless_converged(np.mean(wanted, axis=0), off, network.calibration.cpu().numpy())


def _warn_unless_converged(wanted: Array, off: Array, factors: npt.NDArray[np.float32]) -> None:
    """Say how far the changes of resynthesised clips are off; ``factors`` are those of the last round."""
    error = float(np.linalg.norm(_smooth(off)) / max(np.linalg.norm(wanted), np.finfo(np.float64).tiny))
    if error <= _TOLERANCE:
        return
    low, high = _RANGE  # single precision holds both exactly
    at_limit = int(((factors <= low) | (factors >= high)).sum())
    warn(
        f"the calibration of the compact codec has not converged after {_ROUNDS} rounds: the changes of "
        f"resynthesised clips are off by {100 * error:.1f} % (root mean square over the bands), expected at most "
        f"{100 * _TOLERANCE:g} %, with the factor of {at_limit} of {len(factors)} bands at its limit, {low:g} or "
        f"{high:g}; detectors may recognise the codec"
    )


def _chance(examples: Examples, chosen: list[int], powers: list[Power], drawn: Array) -> float:
    """Factor of what the fine noise does to mean spectra, from the normal ones of the clips.

    What the codec leaves out of an anomaly is no chance, and noise should not stand for it.
    """
    frames = [examples.frames(index) for index in chosen]
    real = np.array([of_clip.mean(axis=0, dtype=np.float64) for of_clip in frames])
    above = np.array([_above(of_clip, power) for of_clip, power in zip(frames, powers, strict=True)])
    machines, normal = examples.machines(chosen), examples.normal(chosen)
    used = normal if normal.sum() > 1 else np.ones_like(normal)
    return share_to_draw(*(_about_mean(values[used], machines[used]) for values in (real, above, drawn)))


def _linear(latents: Array, values: Array) -> Array:
    """Ridge regression: slopes for each value of the clip latent, and a constant, shape (clip_dim + 1,)."""
    centre = latents.mean(axis=0)
    away = latents - centre
    slopes = np.linalg.solve(away.T @ away + _PENALTY * np.eye(len(centre)), away.T @ (values - values.mean()))
    return np.append(slopes, -slopes @ centre)


def _coded(network: CompactNetwork, examples: Examples, index: int, seed: int) -> tuple[torch.Tensor, Posterior]:
    """What is coded of the clip latent of a clip, and the distribution of its frame latents.

    Where details complete it, it is the mean that the encoder gives, else a draw.
    """
    device = network.mean.device
    frames = network.normalized(torch.from_numpy(examples.frames(index).T)[None].to(device))
    lines = torch.from_numpy(examples.lines[index : index + 1]).to(device)
    posterior = network.encode_clip(network.features(frames, lines))
    clip = posterior.mean if network.config.detail_dim else _drawn(posterior, _generator("clip", seed, index))
    return clip, network.encode_frames(frames, clip)


def _left(network: CompactNetwork, examples: Examples, index: int, seed: int) -> torch.Tensor:
    """What the decoder lacks of a clip without details, see `excess`."""
    clip, frames = _coded(network, examples, index, seed)
    return excess(_decibels(network, examples, index), network.decode(frames.mean, clip))


def _drawn_for(network: CompactNetwork, examples: Examples, index: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frame latents and clip latent of a clip as they are decoded."""
    clip, frames = _coded(network, examples, index, seed)
    if network.config.detail_dim:
        details = encode_details(network, _decibels(network, examples, index), network.decode(frames.mean, clip))
        clip = torch.cat([clip, details], dim=1)
    return _drawn(frames, _generator("latents", seed, index), FRAME_TEMPERATURE), clip


def _decibels(network: CompactNetwork, examples: Examples, index: int) -> torch.Tensor:
    return torch.from_numpy(examples.frames(index).T)[None].to(network.mean.device)


def _above(decibels: npt.NDArray[np.float32], power: Power) -> Array:
    """By how much the mean log power of each band is above what the decoder expects, in dB, shape (bands,)."""
    above = excess(torch.from_numpy(decibels.T)[None].to(power.decibels), power)
    return above[0].double().mean(dim=1).cpu().numpy()


def _about_mean(values: Array, groups: npt.NDArray[np.int64]) -> Array:
    """Values, shape (clips, bands), less the mean of their group."""
    away = values.copy()
    for group in np.unique(groups):
        away[groups == group] -= values[groups == group].mean(axis=0)
    return away


def _changes(decibels: npt.NDArray[np.float32]) -> Array:
    """Mean square of how the log power of each band changes, in nepers of power squared, shape (bands,)."""
    nepers = decibels.astype(np.float64) * np.log(10) / 10
    lags = {lag: weight for lag, weight in _LAGS.items() if lag < len(nepers)}
    found = [weight * np.square(nepers[lag:] - nepers[:-lag]).mean(axis=0) for lag, weight in lags.items()]
    return np.asarray(sum(found) / sum(lags.values()))


def _changes_of_noise(spectra: Spectra) -> Array:
    """The same for white noise, relative to the variance of its log power."""
    noise = stream("calibration noise").standard_normal(20 * spectra.sample_rate).astype(np.float32)
    return _changes(spectra.decibels(noise)) / np.square(spectra.noise.log_std.astype(np.float64))


def _variance(log_shape: Array) -> Array:
    """Variance of the log power that gamma distributions have, mean over the frames, shape (bands,)."""
    from scipy.special import polygamma

    return np.asarray(polygamma(1, np.exp(log_shape)).mean(axis=1))


def _smooth(values: Array) -> Array:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, _SMOOTHING, mode="nearest"))


def _generator(*name: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(int(stream("calibration", *name).integers(2**62)))


def _drawn(posterior: Posterior, generator: torch.Generator, temperature: float = 1.0) -> torch.Tensor:
    noise = temperature * torch.randn(posterior.mean.shape, generator=generator)
    return posterior.sample(noise.to(posterior.mean))
