"""Sets of vectors, folders of short clips, and small models of transformers with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asdbench import audio
from asdbench.metrics.audio.vectors import EmbeddedClips
from asdbench.seeding import derive_rng


def _embedded(clips: int, per_clip: int, dim: int, seed: int, model: str = "m", scale: float = 1.0) -> EmbeddedClips:
    """Vectors of clips that differ from clip to clip more than within."""
    rng = derive_rng("embedded", seed)
    spread = scale / np.sqrt(1 + np.arange(dim))
    own = rng.standard_normal((clips, 1, dim)) * spread
    vectors = own + 0.3 * rng.standard_normal((clips, per_clip, dim)) * spread
    ids = tuple(f"{seed}/{index:03d}" for index in range(clips))
    return EmbeddedClips(model, ids, tuple(vectors), rng.standard_normal((clips, 5)))


@pytest.fixture(scope="session")
def embedded() -> Callable[..., EmbeddedClips]:
    return _embedded


def _clip(path: Path, *name: Any, rate: int = 16000, seconds: float = 0.5, tone: float = 300.0) -> Path:
    rng = derive_rng("audio metrics", *name)
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.05 * rng.standard_normal(len(time)) + 0.1 * np.sin(2 * np.pi * tone * time * rng.uniform(0.9, 1.1))
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, wave, rate)
    return path


@pytest.fixture
def write_clip() -> Callable[..., Path]:
    return _clip


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve real and twelve generated clips of half a second, the same kind of sound."""
    for side in ("real", "made"):
        for index in range(12):
            _clip(tmp_path / side / f"{side}_{index:02d}.wav", side, index)
    return tmp_path / "real", tmp_path / "made"


@pytest.fixture
def waveform() -> Callable[[int, int], np.ndarray]:
    """The clip that golden numbers were computed on: noise and a tone."""

    def wave(samples: int, rate: int) -> np.ndarray:
        noise = 0.1 * np.random.default_rng(1).standard_normal(samples)
        return (noise + 0.2 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.float32)

    return wave


@pytest.fixture(scope="session")
def tiny_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ClapModel without fusion, with feature extractor and a tokenizer of words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("clap")
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "fan", "valve", "sounds", "normal", "broken"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
    }
    sound = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "window_size": 4,
        "patch_stride": [4, 4],
        "enable_fusion": False,
    }
    ClapModel(ClapConfig(text_config=text, audio_config=sound, projection_dim=24)).eval().save_pretrained(folder)
    ClapFeatureExtractor(feature_size=16, sampling_rate=16000, max_length_s=2, hop_length=480).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small AST classifier of five classes."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_mel_bins=32,
        max_length=64,
        num_labels=5,
    )
    folder = tmp_path_factory.mktemp("ast")
    ASTForAudioClassification(config).eval().save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encodec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small EncodecModel at 16 kHz, 32 values for each 320 samples."""
    import torch
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16000,
        target_bandwidths=[2.4],
        num_filters=4,
        upsampling_ratios=[8, 5, 4, 2],
        codebook_size=64,
        hidden_size=32,
        num_lstm_layers=1,
    )
    folder = tmp_path_factory.mktemp("encodec")
    EncodecModel(config).eval().save_pretrained(folder)
    return folder
