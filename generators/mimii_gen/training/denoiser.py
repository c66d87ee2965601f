"""Everything that is trained, as one module: the U-Net, the text encoder where it is trained too, the null embedding.

One module with one forward pass is what several processes can share the gradients of, and what a moving average and a
checkpoint can be made of.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..conditioning.text import Embeddings, TextEncoder, with_null
from ..diffusion.clip_network import ClipNetwork
from ..diffusion.flat_unet import FlatUNet
from ..diffusion.schedule import loss_weights, target
from ..latents.interface import LatentCodec
from ..latents.space import LatentSpace, split_clip
from .batches import Batch

__all__ = ["Denoiser", "Objective", "average", "ema_decay_at", "tensors_of"]


class Denoiser(nn.Module):
    """The network of the paper's eqs. 2 and 3 with its conditioning.

    Attributes:
        unet: the U-Net.
        clip_network: denoises clip latents; None where the latents have none.
        text: the text encoder that is trained, None where it is frozen and captions come embedded.
        null: the null embedding, shape (tokens, dim): a parameter where it is learned, else a constant; None where it
            is what the trained encoder makes of the empty caption at that step (a constant to the step's gradient).
    """

    null: Tensor | None

    def __init__(
        self,
        unet: UNet2DConditionModel | FlatUNet,
        text: TextEncoder | None,
        null: Tensor,
        *,
        learned: bool,
        clip_network: ClipNetwork | None = None,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.clip_network = clip_network
        self.text = text
        if text is not None:
            self.text_encoder = text.model
        null = null.detach().float().clone()
        if learned:
            self.null = nn.Parameter(null)
        else:
            self.register_buffer("null", null if text is None else None)

    def clone(self) -> Denoiser:
        """Return a copy whose weights are not trained."""
        text = self.text
        if text is not None:
            text = TextEncoder(copy.deepcopy(text.model), text.tokenizer, text.max_tokens, text.pooling)
        learned = isinstance(self.null, nn.Parameter)
        networks = copy.deepcopy(self.unet), copy.deepcopy(self.clip_network)
        other = Denoiser(networks[0], text, self.null_embedding(), learned=learned, clip_network=networks[1])
        return other.requires_grad_(False).eval()

    def null_embedding(self) -> Tensor:
        """Return the null embedding as it is now, shape (tokens, dim), without gradient."""
        if self.null is not None:
            return self.null.detach()
        assert self.text is not None
        return self.text.null()

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        drop: Tensor,
        states: Tensor | None,
        mask: Tensor | None,
        captions: tuple[str, ...],
        clip: Tensor | None = None,
        noisy_clip: Tensor | None = None,
        clip_timesteps: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Predict noise or v.

        Args:
            noisy: noised latents, shape (batch, channels, height, frames).
            timesteps: shape (batch,).
            drop: which captions the null embedding stands for, shape (batch,).
            states: embedded captions, shape (batch, tokens, dim); None where they are embedded here.
            mask: which of the tokens count, shape (batch, tokens).
            captions: the captions themselves.
            clip: what the frames are conditioned on of the clip latents, shape (batch, conditioning_dim); None where
                there are none.
            noisy_clip: noised clip latents at several noise levels, shape (batch, draws, clip_dim).
            clip_timesteps: of these levels, shape (batch, draws).

        Returns:
            The predictions, of the shapes of ``noisy`` and ``noisy_clip``.
        """
        if self.text is None:
            assert states is not None and mask is not None
            embeddings = Embeddings(states, mask)
        else:
            embeddings = self.text.encode_training(captions)
        null = self.null_embedding() if self.null is None else self.null
        embeddings = with_null(embeddings, null, drop)
        if isinstance(self.null, nn.Parameter):
            # Where no caption is dropped its gradient is zero, not absent: processes wait for each other's gradients,
            # and AdamW leaves out what has none.
            embeddings = Embeddings(embeddings.states + 0.0 * self.null.sum(), embeddings.mask)
        states, mask = embeddings.states, embeddings.mask
        prediction: Tensor = self.unet(noisy, timesteps, states, encoder_attention_mask=mask, class_labels=clip).sample
        if self.clip_network is None or noisy_clip is None or clip_timesteps is None:
            return prediction, None
        predicted_clip: Tensor = self.clip_network(
            noisy_clip, clip_timesteps, states, encoder_attention_mask=mask
        ).sample
        return prediction, predicted_clip


class Objective:
    """The squared error of each example of a batch (the paper's eqs. 2 and 3, before the expectation)."""

    def __init__(self, codec: LatentCodec, space: LatentSpace, scheduler: DDPMScheduler, device: torch.device) -> None:
        """Prepare.

        Args:
            codec: looks the latents up, on its own device.
            space: normalises them.
            scheduler: adds the noise.
            device: where the network is.
        """
        self._codec, self._space, self._scheduler, self._device = codec, space, scheduler, device

    def errors(
        self, model: Callable[..., tuple[Tensor, Tensor | None]], batch: Batch, snr_gamma: float | None = None
    ) -> Tensor:
        """Return the mean squared error of each example over its own frames, shape (batch,), float32.

        Where there are clip latents, the mean squared error of these over their noise levels is added.

        Args:
            model: a `Denoiser`, or what accelerate made of it.
            batch: on the CPU.
            snr_gamma: of min-SNR loss weights, see `loss_weights`; None for equal weights.
        """
        clip_dim = self._codec.clip_dim
        with torch.no_grad():
            latents = self._codec.latents(batch.codes, batch.clip_noise[:, 0] if clip_dim else None)
            batch = batch.map(lambda tensor: tensor.to(self._device, non_blocking=True))
            keep = batch.keep[:, None, None, :].float()
            clean, clip = split_clip(self._space.to_unet(latents.to(self._device)).float(), clip_dim)
            clean = clean * keep
            noisy = self._scheduler.add_noise(clean, batch.noise, batch.timesteps)
            wanted = target(self._scheduler, clean, batch.noise, batch.timesteps)
        states, mask = (None, None) if batch.embeddings is None else (batch.embeddings.states, batch.embeddings.mask)
        of_clips: tuple[Tensor, ...] = ()
        if clip_dim:
            with torch.no_grad():
                levels = batch.clip_timesteps.flatten()
                repeated = clip[:, None].expand(-1, batch.clip_timesteps.shape[1], -1).flatten(0, 1)
                noise = batch.clip_noise[:, 1:].flatten(0, 1)
                noisy_clip = self._scheduler.add_noise(repeated, noise, levels)
                wanted_clip = target(self._scheduler, repeated, noise, levels)
            condition = clip[:, : self._codec.conditioning_dim]
            of_clips = condition, noisy_clip.unflatten(0, batch.clip_timesteps.shape), batch.clip_timesteps
        prediction, predicted_clip = model(noisy, batch.timesteps, batch.drop, states, mask, batch.captions, *of_clips)
        squares = (prediction.float() - wanted).square() * keep
        elements = keep.sum(dim=(1, 2, 3)) * clean.shape[1] * clean.shape[2]
        errors = squares.sum(dim=(1, 2, 3)) / elements * loss_weights(self._scheduler, batch.timesteps, snr_gamma)
        if clip_dim and predicted_clip is not None:
            squares = (predicted_clip.float().flatten(0, 1) - wanted_clip).square().mean(dim=1)
            weighted = squares * loss_weights(self._scheduler, levels, snr_gamma)
            errors = errors + weighted.unflatten(0, batch.clip_timesteps.shape).mean(dim=1)
        return errors


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and lasting buffers of a module by name, those that it uses twice once."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor
    return tensors


def ema_decay_at(step: int, decay: float) -> float:
    """Return the decay of the moving average at a step, counted from 0: 1 - (1 + step)^(-3/4) until ``decay``.

    It begins with 0, so the average does not remember the weights from before the training.
    """
    return min(decay, 1.0 - float((1.0 + step) ** -0.75))


@torch.no_grad()
def average(averaged: nn.Module, module: nn.Module, decay: float) -> None:
    """Move averaged weights towards those of ``module``: a <- decay a + (1 - decay) w; buffers are copied."""
    ours, theirs = tensors_of(averaged), tensors_of(module)
    trained = [name for name, tensor in theirs.items() if isinstance(tensor, nn.Parameter)]
    if trained:
        get_ema_multi_avg_fn(decay)([ours[name] for name in trained], [theirs[name] for name in trained], 0)
    for name in theirs.keys() - set(trained):
        ours[name].copy_(theirs[name])
