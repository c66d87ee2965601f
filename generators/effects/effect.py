"""What an effect is: a fault put on a normal clip at a signal-to-noise ratio that a severity scales.

Terms used by every effect. The *host* x is the normal clip, y the clip with the fault, and d = y - x the *change*. The
target SNR is the power of the host over the power of the change, over the whole clip and in dB,

    SNR = 10 log10( mean((x - mean(x))^2) / mean(d^2) ),

and it is reached exactly. For a fault that adds sound (knocks, a tone) d is that sound. For a fault that alters the
sound of the host (a dropout, clipping) d is what was altered, and the effect solves for the one number that sets its
strength: a depth, a threshold, a share of the time. The power of the change is proportional to the severity s,

    target SNR(s) = SNR at severity 1 - 10 log10(s),

so it fades to nothing as s goes to 0, where the clip is returned untouched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import UserError

Waveform = npt.NDArray[np.float32]
Signal = npt.NDArray[np.float64]
"""Audio while it is worked on, shape (num_samples,)."""

Parameters = dict[str, Any]
"""How a fault was made, as JSON values; frequencies and rates in Hz, times in seconds."""

Change = Callable[[Signal, int, float, np.random.Generator], tuple[Signal, Parameters]]
"""``change(host, sample_rate, power, rng)``: what to add to a host of zero mean, of mean square ``power``."""

Synthesis = Callable[[int, int, np.random.Generator], tuple[Signal, Parameters]]
"""``synthesis(num_samples, sample_rate, rng)``: the sound of a fault at any level."""

MIN_SAMPLE_RATE = 8000
"""Lowest rate in Hz that leaves room for the resonances and bands of the faults."""


@dataclass(frozen=True)
class Effect:
    """One kind of fault.

    Attributes:
        change: makes the change; see `Change`.
        snr_db: SNR in dB at severity 1.
        least_snr_db: the lowest SNR in dB that the effect can reach on any host; an effect that only takes sound away,
            for example, cannot change more than there is.
    """

    change: Change
    snr_db: float
    least_snr_db: float = -math.inf

    def __call__(
        self,
        waveform: Waveform,
        sample_rate: int,
        severity: float,
        rng: np.random.Generator,
        snr_db: float | None = None,
    ) -> tuple[Waveform, Parameters]:
        """Put the fault on a clip.

        All random choices come from ``rng`` and none depends on the severity: the same stream gives the same fault,
        weaker or stronger. The level of the host is kept and the sum is not limited, so samples may exceed full scale.

        Args:
            waveform: the host, shape (num_samples,), at least 0.2 s.
            sample_rate: its rate in Hz, at least `MIN_SAMPLE_RATE`.
            severity: from 0 (the host itself, bit for bit) to 1.
            rng: source of the random choices.
            snr_db: SNR in dB at severity 1 instead of that of the effect.

        Returns:
            The clip with the fault, same shape, and the parameters of the fault; these are empty at severity 0.

        Raises:
            UserError: the host is silent, or its sample rate is too low.
            ValueError: severity or SNR is out of range.
        """
        full_snr_db = self.snr_db if snr_db is None else snr_db
        if not 0 <= severity <= 1:
            raise ValueError(f"severity {severity} is not between 0 and 1")
        if full_snr_db < self.least_snr_db:
            raise ValueError(f"an SNR of {full_snr_db:g} dB is out of reach; the least is {self.least_snr_db:.2f} dB")
        if severity == 0:
            return waveform, {}
        if sample_rate < MIN_SAMPLE_RATE:
            raise UserError(f"effects need a sample rate of at least {MIN_SAMPLE_RATE} Hz, not {sample_rate} Hz")
        host = waveform.astype(np.float64)
        host -= host.mean()  # a constant offset is not sound: it counts neither as power nor as something to alter
        power = mean_square(host)
        if power <= 0:
            raise UserError("the clip is silent (every sample is the same), so no fault can be set at an SNR to it")
        target = power / 10 ** (target_snr_db(full_snr_db, severity) / 10)
        change, parameters = self.change(host, sample_rate, target, rng)
        return (waveform + change).astype(np.float32), parameters


def target_snr_db(full_snr_db: float, severity: float) -> float:
    """SNR in dB at a severity in (0, 1]: the power of the change is proportional to the severity."""
    return full_snr_db - 10 * math.log10(severity)


def added(synthesis: Synthesis) -> Change:
    """Turn the sound of a fault into a change: it is scaled to the power asked for."""

    def change(host: Signal, sample_rate: int, power: float, rng: np.random.Generator) -> tuple[Signal, Parameters]:
        sound, parameters = synthesis(len(host), sample_rate, rng)
        return sound * math.sqrt(power / mean_square(sound)), parameters

    return change


def mean_square(signal: Signal) -> float:
    """Power of a signal."""
    return float(np.mean(np.square(signal)))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform, as fits frequencies."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))
