"""CLAP: audio and captions in one space.

Any ClapModel of transformers. Everything that is random in its usual use is decided here: a clip is cut into segments
of at most 480000 samples (10 s at 48 kHz) before the feature extractor sees it, shorter ones are repeated, and
checkpoints with fusion are refused, for which the extractor draws a random clip of every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, UserError, setting
from asdbench.metrics.audio.embeddings import models

_BATCH = 64  # captions at a time


class Clap(Embedding):
    """CLAP: audio tower of a ClapModel of transformers, one unit vector for each 10 s; also embeds captions."""

    model: str = setting("laion/clap-htsat-unfused", description="hub id or folder of a ClapModel without fusion")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return int(self._parts()[1].sampling_rate)

    @property
    def dim(self) -> int:
        return int(self._parts()[0].config.projection_dim)

    def inputs(self) -> dict[str, str]:
        return models.identity(self.model)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        import torch

        model, extractor, device = self._parts()
        length = int(extractor.nb_max_samples)
        vectors = []
        for part in models.segments(waveform, length, extractor.sampling_rate):
            features = extractor(
                part,
                sampling_rate=extractor.sampling_rate,
                truncation="rand_trunc",
                padding="repeatpad",
                return_tensors="pt",
            )["input_features"]
            with torch.inference_mode():
                vectors.append(_pooled(model.get_audio_features(input_features=features.float().to(device))))
        return np.concatenate(vectors)

    def embed_captions(self, captions: Sequence[str]) -> npt.NDArray[np.float64]:
        """Unit vectors of captions, shape (captions, dim).

        Raises:
            UserError: the model has no tokenizer.
        """
        import torch
        from transformers import AutoTokenizer

        model, _, device = self._parts()
        if not hasattr(self, "_tokenizer"):
            self._tokenizer = models.pretrained(AutoTokenizer, self.model)
        vectors = []
        limit = model.config.text_config.max_position_embeddings - 2
        for start in range(0, len(captions), _BATCH):
            tokens = self._tokenizer(
                list(captions[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            ).to(device)
            with torch.inference_mode():
                vectors.append(
                    _pooled(
                        model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
                    )
                )
        return np.concatenate(vectors)

    def _parts(self) -> Any:
        if not hasattr(self, "_loaded"):
            from transformers import ClapModel

            device = models.device_of(self.device)
            model = models.pretrained(ClapModel, self.model)
            if model.config.audio_config.enable_fusion:
                raise UserError(
                    f"model: '{self.model}' is a CLAP with fusion, whose scores change from call to call; "
                    "expected one without, such as laion/clap-htsat-unfused"
                )
            self._loaded = model.eval().to(device), models.feature_extractor(self.model), device
        return self._loaded


def _pooled(output: Any) -> npt.NDArray[np.float64]:
    """Unit vectors of what ``get_…_features`` gives: from transformers 5 on an output object, before that a tensor."""
    vectors = getattr(output, "pooler_output", output).double().cpu().numpy()
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
