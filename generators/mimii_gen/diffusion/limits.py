"""What a noise schedule and a number of sampling steps must satisfy, checked from the settings alone.

Pure Python: the settings are checked before anything heavy is imported. Messages name the settings of the generator.
"""

from __future__ import annotations

import itertools
import math

from asdbench import UserError

__all__ = ["MOST_TIMESTEPS", "check_inference_steps", "check_schedule", "terminal_alpha_bar"]

MOST_TIMESTEPS = 10_000

LARGEST_TERMINAL_SIGNAL = 0.1
"""Largest sqrt(alpha_bar_T) of a schedule; a mean of 1 standard deviation comes out wrong by that much."""

SMALLEST_TERMINAL_ALPHA_BAR = 1e-37
"""Least alpha_bar_T: below it 1 / alpha_bar_T, which the fast sampler takes, is beyond single precision."""

_COSINE = "squaredcos_cap_v2"


def terminal_alpha_bar(timesteps: int, beta_schedule: str, beta_start: float, beta_end: float) -> float:
    """Return alpha_bar_T, the product of 1 - beta over all timesteps, before any rescaling to zero."""
    return math.exp(sum(math.log1p(-beta) for beta in _betas(timesteps, beta_schedule, beta_start, beta_end)))


def check_schedule(
    timesteps: int, beta_schedule: str, beta_start: float, beta_end: float, prediction: str, zero_terminal_snr: bool
) -> None:
    """Refuse a noise schedule that cannot be trained or sampled with.

    Args:
        timesteps: their number T.
        beta_schedule: linear, scaled_linear or squaredcos_cap_v2.
        beta_start: beta of the first timestep; squaredcos_cap_v2 uses neither this nor the next.
        beta_end: beta of the last timestep.
        prediction: epsilon or v_prediction.
        zero_terminal_snr: whether the schedule is rescaled to end in pure noise.

    Raises:
        UserError: If a value is out of its range or two do not fit.
    """
    if not 2 <= timesteps <= MOST_TIMESTEPS:
        raise UserError(f"timesteps is {timesteps}, expected 2 to {MOST_TIMESTEPS}")
    if beta_schedule != _COSINE:
        for name, beta in (("beta_start", beta_start), ("beta_end", beta_end)):
            if not 0 < beta < 1:
                raise UserError(f"{name} is {beta:g}, expected a number between 0 and 1")
        if beta_start > beta_end:
            raise UserError(f"beta_start is {beta_start:g}, expected at most beta_end, which is {beta_end:g}")
    if zero_terminal_snr and prediction != "v_prediction":
        raise UserError(
            f"zero_terminal_snr is set with prediction '{prediction}', expected 'v_prediction' "
            "(auto is epsilon for preset paper)"
        )
    alpha_bar = terminal_alpha_bar(timesteps, beta_schedule, beta_start, beta_end)
    if alpha_bar < SMALLEST_TERMINAL_ALPHA_BAR:
        raise UserError(
            f"the noise schedule of {timesteps} timesteps destroys the signal long before its last timestep, "
            f"expected alpha_bar of at least {SMALLEST_TERMINAL_ALPHA_BAR:g} there: lower timesteps or beta_end"
        )
    left = math.sqrt(alpha_bar)
    if left > LARGEST_TERMINAL_SIGNAL and not zero_terminal_snr:
        raise UserError(
            f"the noise schedule of {timesteps} timesteps leaves {left:.2f} of the signal at its last timestep, "
            f"expected at most {LARGEST_TERMINAL_SIGNAL}: raise timesteps or beta_end, or set zero_terminal_snr"
        )


def check_inference_steps(inference_steps: int, timesteps: int, sampler: str) -> None:
    """Refuse a number of sampling steps that a sampler cannot take.

    Raises:
        UserError: If it is not between 1 and the timesteps; or, for ddpm and ddim, does not divide them: these step by
            a whole number of timesteps, and would take the network to noise levels it was not trained at.
    """
    if not 1 <= inference_steps <= timesteps:
        raise UserError(f"inference_steps is {inference_steps}, expected 1 to {timesteps} (timesteps)")
    if sampler in ("ddpm", "ddim") and timesteps % inference_steps:
        raise UserError(
            f"inference_steps is {inference_steps}, expected a divisor of {timesteps} (timesteps) for sampler {sampler}"
        )


def _betas(timesteps: int, beta_schedule: str, start: float, end: float) -> list[float]:
    """The betas of diffusers' schedules of these names."""
    if beta_schedule == _COSINE:
        bars = [math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(timesteps + 1)]
        return [min(1 - after / before, 0.999) for before, after in itertools.pairwise(bars)]
    shares = [t / (timesteps - 1) for t in range(timesteps)]
    if beta_schedule == "scaled_linear":
        return [(math.sqrt(start) + share * (math.sqrt(end) - math.sqrt(start))) ** 2 for share in shares]
    return [start + share * (end - start) for share in shares]
