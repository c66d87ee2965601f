"""EnCodec encoder: what a codec keeps of a clip, before it is quantised.

For generators that work in the latents of a codec this is the space that they are trained in. The programs
frechet-audio-distance and fadtk offer the same embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, setting
from asdbench.metrics.audio.embeddings import models


class Encodec(Embedding):
    """EnCodec encoder output before quantisation: 128 values for each latent frame (75 a second at 24 kHz)."""

    model: str = setting("facebook/encodec_24khz", description="hub id or folder of an EncodecModel")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return int(self._parts()[0].config.sampling_rate)

    @property
    def dim(self) -> int:
        return int(self._parts()[0].config.hidden_size)

    def inputs(self) -> dict[str, str]:
        return models.identity(self.model)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        import torch

        model, device = self._parts()
        samples = torch.from_numpy(np.ascontiguousarray(waveform)).to(device)
        samples = samples.expand(1, model.config.audio_channels, -1)
        with torch.inference_mode():
            if model.config.normalize:
                # As the model does itself: 48-kHz EnCodec sees clips at a level of 1.
                samples = samples / (samples.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt() + 1e-8)
            latents = model.encoder(samples)[0].T
        return np.asarray(latents.double().cpu())

    def _parts(self) -> Any:
        if not hasattr(self, "_loaded"):
            from transformers import EncodecModel

            device = models.device_of(self.device)
            self._loaded = models.pretrained(EncodecModel, self.model).eval().to(device), device
        return self._loaded
