"""The sampling loop: noise of its own for each clip, guidance, audio-to-audio, and how exact the samplers are.

Pure functions of tensors; the network is a function ``predict(latents, timestep)``. What makes a clip is drawn on the
CPU from its own generator, so that it depends neither on the other clips of a batch nor on the device.

Sources: J. Ho and T. Salimans, "Classifier-Free Diffusion Guidance"; S. Lin et al., "Common Diffusion Noise Schedules
and Sample Steps are Flawed" (rescaled guidance); C. Meng et al., "SDEdit: Guided Image Synthesis and Editing with
Stochastic Differential Equations" (audio-to-audio).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from .limits import check_inference_steps
from .schedule import exact_prediction

__all__ = [
    "SamplerError",
    "denoise",
    "draw_noise",
    "first_step",
    "guide",
    "sampler_error",
    "set_steps",
]

_NAMES = {DDPMScheduler: "ddpm", DDIMScheduler: "ddim"}

Predict = Callable[[Tensor, Tensor], Tensor]


def draw_noise(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Draw standard normal noise, one example from each (CPU) generator, shape (batch, *shape), float32."""
    return torch.stack([torch.randn(*shape, generator=generator) for generator in generators])


def guide(conditional: Tensor, unconditional: Tensor, scale: float, rescale: float) -> Tensor:
    """Return the guided prediction, of the shape of the two predictions (batch, ...).

    Args:
        conditional: prediction with the caption.
        unconditional: prediction with the null caption.
        scale: weight of their difference; 1 is the conditional prediction, 0 the unconditional one.
        rescale: how far the standard deviation of each example is brought back to the conditional one's, 0 to 1 (Lin et
            al., eq. 15 and 16; guidance raises it, and with it the loudness).
    """
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    dimensions = tuple(range(1, guided.ndim))
    spread = guided.std(dim=dimensions, keepdim=True).clamp(min=torch.finfo(guided.dtype).tiny)  # 0: all values equal
    ratio = conditional.std(dim=dimensions, keepdim=True) / spread
    return guided * (rescale * ratio + (1 - rescale))


def set_steps(scheduler: Any, steps: int) -> None:
    """Set the number of denoising steps of a scheduler that `schedule.sampler` made.

    Raises:
        UserError: See `check_inference_steps`.
    """
    check_inference_steps(steps, scheduler.config.num_train_timesteps, _NAMES.get(type(scheduler), "dpm++"))
    scheduler.set_timesteps(steps)


def first_step(scheduler: Any, strength: float) -> int:
    """Return the index of the first step of audio-to-audio: the first timestep t with t + 1 <= strength T.

    Where even the last timestep of the sampler is above that, it is the number of steps: nothing is to be done.
    """
    return int((scheduler.timesteps + 1 > strength * scheduler.config.num_train_timesteps).sum())


def denoise(
    predict: Predict,
    scheduler: Any,
    steps: int,
    noise: Tensor,
    generators: list[torch.Generator] | torch.Generator,
    *,
    clean: Tensor | None = None,
    strength: float = 1.0,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Turn noise, or noised latents, into latents.

    Args:
        predict: the network: latents (batch, ...) and a timestep () to its prediction of the same shape.
        scheduler: as `schedule.sampler` makes them.
        steps: number of denoising steps, see `set_steps`.
        noise: standard normal, shape (batch, ...), on the device of the computation.
        generators: where the noise of a stochastic sampler's steps is drawn, one for each example or one for all.
        clean: latents to start from (SDEdit), noised to the timestep of ``strength``; None to start from noise.
        strength: share of the timesteps that are run again, in (0, 1]; rounded down to the sampler's steps.
        on_step: called after each step with the number of steps done, those left out at the start included.
    """
    set_steps(scheduler, steps)
    begin = 0 if clean is None else first_step(scheduler, strength)
    # Steps even in log-SNR may repeat a timestep: without this a scheduler that looks its index up skips the first one.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    timesteps = scheduler.timesteps.to(noise.device)
    if clean is None:
        latents = noise
    elif begin == len(timesteps):
        latents = clean
    else:
        latents = scheduler.add_noise(clean, noise, timesteps[begin : begin + 1])
    for index in range(begin, len(timesteps)):
        timestep = timesteps[index]
        prediction = predict(latents, timestep)
        latents = scheduler.step(prediction, timestep, latents, generator=generators).prev_sample
        if on_step is not None:
            on_step(index + 1)
    if on_step is not None and begin == len(timesteps):
        on_step(begin)
    return latents


@dataclass(frozen=True)
class SamplerError:
    """How far a sampler is off where the network is perfect.

    Attributes:
        mean: mean of what it generates less the mean of the data, shape (dimensions,).
        std: standard deviation of what it generates over that of the data, shape (dimensions,).
    """

    mean: Tensor
    std: Tensor


def sampler_error(scheduler: Any, steps: int, mean: Tensor, std: Tensor, num_samples: int = 4096) -> SamplerError:
    """Measure a sampler on independent Gaussian data, for which the perfect network is known in closed form.

    The initial noise is standardised, and a deterministic sampler is linear here, so its errors are exact; those
    of ddpm have the sampling error of ``num_samples``.

    Args:
        scheduler: a sampler, as ``sampler("dpm++", NoiseSchedule().scheduler())``.
        steps: number of denoising steps.
        mean: mean of the data, shape (dimensions,), float32.
        std: standard deviation of the data, shape (dimensions,), float32.
        num_samples: samples for each dimension.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(num_samples, len(mean), generator=generator)
    noise = (noise - noise.mean(0)) / noise.std(0, correction=0)
    found = denoise(
        lambda latents, timestep: exact_prediction(scheduler, latents, int(timestep), mean, std),
        scheduler,
        steps,
        noise,
        generator,
    ).double()
    return SamplerError(mean=found.mean(0) - mean, std=found.std(0, correction=0) / std)
