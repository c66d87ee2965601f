"""Any audio model of transformers: classifiers such as AST, and encoders such as wav2vec 2.0, HuBERT or Whisper's."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asdbench import Embedding, UserError, setting
from asdbench.metrics.audio.embeddings import models

_SHORTEST_SECONDS = 0.15


class AudioClassifier(Embedding):
    """AST or any audio classifier of transformers: what its last layer reads, and its logits (KL, IS).

    The default is AST on AudioSet (Gong et al. 2021, arXiv 2104.01778). Clips are cut into segments of 10 s.
    """

    has_logits = True

    model: str = setting(
        "MIT/ast-finetuned-audioset-10-10-0.4593", description="hub id or folder of an audio classification model"
    )
    segment_seconds: float = setting(10.24, gt=0, description="length of a segment")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return int(self._parts()[1].sampling_rate)

    @property
    def dim(self) -> int:
        return int(self._parts()[2].in_features)

    def inputs(self) -> dict[str, str]:
        return models.identity(self.model)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        return self.embed_with_logits(waveform)[0]

    def logits(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        return self.embed_with_logits(waveform)[1]

    def embed_with_logits(
        self, waveform: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        import torch

        model, extractor, last, device = self._parts()
        vectors, logits = [], []
        heard: list[Any] = []
        handle = last.register_forward_hook(lambda _module, inputs, _output: heard.append(inputs[0]))
        try:
            with torch.inference_mode():
                for part in _segments(waveform, self.segment_seconds, extractor.sampling_rate):
                    output = model(**_features(extractor, part, device))
                    logits.append(output.logits[0].double().cpu().numpy())
                    vectors.append(heard[-1].reshape(-1, last.in_features).mean(dim=0).double().cpu().numpy())
        finally:
            handle.remove()
        return np.stack(vectors), np.stack(logits)

    def _parts(self) -> Any:
        if not hasattr(self, "_loaded"):
            from torch import nn
            from transformers import AutoModelForAudioClassification

            device = models.device_of(self.device)
            model = models.pretrained(AutoModelForAudioClassification, self.model).eval().to(device)
            layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
            if not layers or layers[-1].out_features != model.config.num_labels:
                raise UserError(f"model: '{self.model}' does not end in a linear layer, expected an audio classifier")
            self._loaded = model, models.feature_extractor(self.model), layers[-1], device
        return self._loaded


class TransformersAudio(Embedding):
    """Any audio encoder of transformers (wav2vec 2.0, HuBERT, WavLM, Whisper, AST): hidden states of a layer.

    Clips are cut into segments of 10 s.
    """

    model: str = setting(description="hub id or folder of an audio model")
    layer: int = setting(-1, description="hidden layer, counted from 0 (the input of the first one) or back from -1")
    pooling: Literal["mean", "frames"] = setting(
        "mean", description="one vector a segment, or all frames as fadtk has it"
    )
    segment_seconds: float = setting(10.24, gt=0, description="length of a segment")
    device: str = setting("auto", description="cpu, cuda, cuda:1, mps, or auto")

    @property
    def sample_rate(self) -> int:
        return int(self._parts()[1].sampling_rate)

    @property
    def dim(self) -> int:
        return int(self._parts()[0].config.hidden_size)

    def inputs(self) -> dict[str, str]:
        return models.identity(self.model)

    def embed(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        import torch

        model, extractor, device = self._parts()
        vectors = []
        with torch.inference_mode():
            for part in _segments(waveform, self.segment_seconds, extractor.sampling_rate):
                hidden = model(**_features(extractor, part, device), output_hidden_states=True).hidden_states
                if not -len(hidden) <= self.layer < len(hidden):
                    raise UserError(f"layer: '{self.model}' has {len(hidden)} hidden states, found layer {self.layer}")
                frames = hidden[self.layer][0].double().cpu().numpy()
                vectors.append(frames.mean(axis=0, keepdims=True) if self.pooling == "mean" else frames)
        return np.concatenate(vectors)

    def _parts(self) -> Any:
        if not hasattr(self, "_loaded"):
            from transformers import AutoModel

            device = models.device_of(self.device)
            model = models.pretrained(AutoModel, self.model, optional=("pooler.",))
            model = getattr(model, "encoder", model) if model.config.model_type == "whisper" else model
            self._loaded = model.eval().to(device), models.feature_extractor(self.model), device
        return self._loaded


def _segments(waveform: npt.NDArray[np.float32], seconds: float, rate: int) -> list[npt.NDArray[np.float32]]:
    shortest = round(_SHORTEST_SECONDS * rate)
    models.refuse_short(waveform, shortest, rate, "the model")
    return models.segments(waveform, round(seconds * rate), shortest)


def _features(extractor: Any, waveform: npt.NDArray[np.float32], device: Any) -> dict[str, Any]:
    features = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return {name: value.to(device) for name, value in features.items()}
