"""Noise schedule, samplers, training target and loss weights.

Sources: J. Ho et al., "Denoising Diffusion Probabilistic Models" (DDPM); J. Song et al., "Denoising Diffusion Implicit
Models" (DDIM); C. Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models"; S. Lin
et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed" (zero terminal SNR); T. Hang et al., "Efficient
Diffusion Training via Min-SNR Weighting Strategy"; T. Salimans and J. Ho, "Progressive Distillation for Fast Sampling
of Diffusion Models" (v-prediction).

Latents are not bounded as pixels are, and quiet dimensions matter as much as loud ones. Hence nothing here clips, and
the fast sampler spaces its steps evenly in log-SNR: with steps even in time quiet dimensions lose half of their
variation (`exact_prediction` is what this is measured with).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from asdbench import UserError, did_you_mean

from ...shared.fields import Field, check_fields, is_count, is_number
from .limits import MOST_TIMESTEPS, check_schedule

__all__ = ["SAMPLERS", "NoiseSchedule", "exact_prediction", "loss_weights", "sampler", "target"]

SAMPLERS = ("dpm++", "ddpm", "ddim")

_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
_PREDICTIONS = ("epsilon", "v_prediction")


def _is_beta(value: Any) -> bool:
    return is_number(value) and 0 < value < 1


_FIELDS: Mapping[str, Field] = {
    "num_train_timesteps": (
        lambda value: is_count(value) and 2 <= value <= MOST_TIMESTEPS,
        f"a whole number, 2 to {MOST_TIMESTEPS}",
    ),
    "beta_schedule": (lambda value: value in _SCHEDULES, f"one of {', '.join(_SCHEDULES)}"),
    "beta_start": (_is_beta, "a number between 0 and 1"),
    "beta_end": (_is_beta, "a number between 0 and 1"),
    "prediction_type": (lambda value: value in _PREDICTIONS, f"one of {', '.join(_PREDICTIONS)}"),
    "rescale_betas_zero_snr": (lambda value: isinstance(value, bool), "true or false"),
}
"""What defines a schedule in the configuration of diffusers' schedulers, in the order of `NoiseSchedule`'s attributes:
what each must satisfy, and that in words."""


@dataclass(frozen=True)
class NoiseSchedule:
    """How noise is added over the timesteps, and what the network predicts.

    The signal left at the last timestep, sqrt(alpha_bar_T), biases the mean of what is generated: it is 0.006 for the
    default, 0.068 for Stable Diffusion's scaled-linear 0.00085..0.012, and 0 with ``zero_terminal_snr``.

    Attributes:
        steps: number of timesteps T.
        beta_schedule: shape of beta over the timesteps (squaredcos_cap_v2 ignores the two ends).
        beta_start: beta of the first timestep.
        beta_end: beta of the last timestep.
        prediction_type: epsilon (the paper's objective, eq. 2) or v_prediction.
        zero_terminal_snr: rescale the betas so that the last timestep is pure noise (Lin et al., algorithm 1).

    Raises:
        UserError: If zero_terminal_snr is asked for with epsilon: from pure noise the noise says nothing of the signal.
            Or if so much signal is left at the last timestep that sampling, which starts from noise, cannot work. Or if
            beta_start is above beta_end, or the signal is gone long before the last timestep.
    """

    steps: int = 1000
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        check_schedule(
            self.steps, self.beta_schedule, self.beta_start, self.beta_end, self.prediction_type, self.zero_terminal_snr
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Return the schedule of a scheduler's configuration, in which nothing may be left to defaults.

        What else is in it (clipping, spacing of the timesteps) does not count: `sampler` decides on it.

        Raises:
            UserError: If a field that defines the schedule is missing or no such value, or the schedule cannot be used.
        """
        check_fields(config, _FIELDS)
        if config.get("trained_betas") is not None:
            raise UserError("trained_betas is set, expected a noise schedule that beta_schedule defines")
        return cls(*(config[name] for name in _FIELDS))

    def scheduler(self) -> DDPMScheduler:
        """Return the training scheduler; samplers are made from its configuration by `sampler`."""
        return DDPMScheduler(
            num_train_timesteps=self.steps,
            beta_schedule=self.beta_schedule,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            prediction_type=self.prediction_type,
            rescale_betas_zero_snr=self.zero_terminal_snr,
            timestep_spacing="trailing",  # sampling starts at the last timestep, the one that is (nearly) pure noise
            clip_sample=False,
            thresholding=False,
        )


def sampler(name: str, scheduler: Any) -> Any:
    """Return a sampler for a network trained with a scheduler.

    Args:
        name: dpm++ (DPM-Solver++ 2M, deterministic, steps even in log-SNR, the default), ddpm (ancestral, the paper's;
            good at 1000 steps) or ddim (deterministic, for comparison).
        scheduler: the training scheduler, or any scheduler with its configuration; the schedule is taken from it, and
            nothing else, such as clipping.

    Raises:
        UserError: If there is no sampler of that name.
    """
    config = {field: scheduler.config[field] for field in _FIELDS}
    common = {"timestep_spacing": "trailing"}
    if name == "dpm++":
        return DPMSolverMultistepScheduler.from_config(
            config,
            **common,
            algorithm_type="dpmsolver++",
            solver_order=2,
            use_lu_lambdas=True,
            final_sigmas_type="zero",
            thresholding=False,
        )
    kinds = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}
    if name not in kinds:
        raise UserError(f"there is no sampler '{name}'{did_you_mean(name, SAMPLERS)}")
    return kinds[name].from_config(config, **common, clip_sample=False, thresholding=False)


def target(scheduler: DDPMScheduler, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return what the network learns to predict, of the shape of the latents: the noise, or v.

    v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) clean (Salimans and Ho, appendix D).

    Args:
        scheduler: the training scheduler.
        clean: latents, shape (batch, channels, height, frames).
        noise: standard normal noise of the same shape.
        timesteps: shape (batch,), integers.
    """
    if scheduler.config.prediction_type == "epsilon":
        return noise
    velocity: Tensor = scheduler.get_velocity(clean, noise, timesteps)
    return velocity


def loss_weights(scheduler: DDPMScheduler, timesteps: Tensor, snr_gamma: float | None) -> Tensor:
    """Return the weight of each example's squared error, shape (batch,), float32.

    Min-SNR-gamma (Hang et al., eq. 8 and section 3.4): min(SNR, gamma) / SNR where the network predicts noise,
    min(SNR, gamma) / (SNR + 1) where it predicts v; both weigh the error of the clean latents by min(SNR, gamma).

    Args:
        scheduler: the training scheduler.
        timesteps: shape (batch,), integers.
        snr_gamma: gamma, 5 in their paper; None for equal weights.
    """
    if snr_gamma is None:
        return torch.ones(timesteps.shape, device=timesteps.device)
    precision = torch.float32 if timesteps.device.type == "mps" else torch.float64  # Metal has no float64
    alpha_bar = scheduler.alphas_cumprod.to(timesteps.device, precision)[timesteps]
    # With SNR = a / (1 - a): min(1, gamma / SNR) and min(SNR, gamma) / (SNR + 1), without a division by an SNR of zero.
    capped = torch.minimum(alpha_bar, snr_gamma * (1 - alpha_bar))
    weights = capped / alpha_bar if scheduler.config.prediction_type == "epsilon" else capped
    return weights.float()


def exact_prediction(scheduler: Any, sample: Tensor, timestep: int, mean: Tensor, std: Tensor) -> Tensor:
    """Return what a perfect network predicts where the data are independent Gaussians: an oracle for samplers.

    With x_t = a x_0 + s n the two are jointly Gaussian, so their expectations given x_t are known in closed form.

    Args:
        scheduler: any scheduler with the training configuration; its `prediction_type` decides noise or v.
        sample: noised data x_t, shape (batch, dimensions).
        timestep: t, as the network takes it.
        mean: mean of the data, shape (dimensions,).
        std: standard deviation of the data, shape (dimensions,).
    """
    alpha_bar = scheduler.alphas_cumprod[timestep].to(sample)
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    surprise = (sample - a * mean) / (a**2 * std**2 + s**2)
    noise, clean = s * surprise, mean + a * std**2 * surprise
    prediction: Tensor = noise if scheduler.config.prediction_type == "epsilon" else a * noise - s * clean
    return prediction
