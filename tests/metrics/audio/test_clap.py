"""CLAP: deterministic, without fusion, with a control; on a small random model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asdbench import UserError
from asdbench.metrics.audio import clap_score
from asdbench.metrics.audio.embeddings.clap import Clap
from asdbench.metrics.audio.vectors import EmbeddedClips


def test_audio_and_text_are_those_of_the_model(tiny_clap: Path, waveform: Callable[[int, int], np.ndarray]) -> None:
    import torch
    from transformers import ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    embedding, wave = Clap(model=str(tiny_clap), device="cpu"), waveform(32000, 16000)
    model, extractor = ClapModel.from_pretrained(tiny_clap).eval(), ClapFeatureExtractor.from_pretrained(tiny_clap)
    features = extractor([wave], sampling_rate=16000, truncation="rand_trunc", return_tensors="pt")["input_features"]
    tokens = PreTrainedTokenizerFast.from_pretrained(tiny_clap)(["a fan sounds normal"], return_tensors="pt")
    with torch.inference_mode():
        output = model(input_ids=tokens["input_ids"], input_features=features)
    np.testing.assert_allclose(embedding.embed(wave), output.audio_embeds.numpy(), atol=1e-6)
    captions = embedding.embed_captions(["a fan sounds normal"])
    np.testing.assert_allclose(captions, output.text_embeds.numpy(), atol=1e-6)
    assert (embedding.sample_rate, embedding.dim) == (16000, 24)


def test_long_and_short_clips_are_deterministic(tiny_clap: Path, waveform: Callable[[int, int], np.ndarray]) -> None:
    embedding = Clap(model=str(tiny_clap), device="cpu")
    long = waveform(16000 * 5 + 1, 16000)
    first = embedding.embed(long)
    np.random.default_rng()
    np.random.seed(99)  # noqa: NPY002 - the extractor draws from this one
    assert np.array_equal(embedding.embed(long), first)
    assert first.shape == (3, 24)  # two of 2 s, and the second that is left
    assert np.array_equal(embedding.embed(long[:32000])[0], first[0])
    assert embedding.embed(long[:5000]).shape == (1, 24)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1)


def test_captions_do_not_depend_on_their_batch(tiny_clap: Path) -> None:
    embedding = Clap(model=str(tiny_clap), device="cpu")
    texts = ["a fan", "a valve sounds broken", "normal"] * 30
    together = embedding.embed_captions(texts)
    alone = np.concatenate([embedding.embed_captions([text]) for text in texts[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=1e-6)
    assert embedding.embed_captions(["fan " * 500]).shape == (1, 24)


def test_a_checkpoint_with_fusion_is_refused(tiny_clap: Path, tmp_path: Path) -> None:
    from transformers import ClapConfig, ClapModel

    config = ClapConfig.from_pretrained(tiny_clap)
    config.audio_config.enable_fusion = True
    ClapModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="CLAP with fusion"):
        Clap(model=str(tmp_path), device="cpu").dim  # noqa: B018


def test_shuffled_captions_are_the_mean_over_all_shuffles() -> None:
    rng = np.random.default_rng(0)
    cosines, own = rng.standard_normal((5, 3)), [0, 1, 1, 2, 0]
    draws = []
    for _ in range(40000):
        picks = [rng.choice([other for other in range(5) if own[other] != own[row]]) for row in range(5)]
        draws.append([cosines[row, own[pick]] for row, pick in enumerate(picks)])
        if len(draws) > 3000:
            break
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - clap_score.shuffled_scores(cosines, own)) < 5 * error).all()
    assert np.isnan(clap_score.shuffled_scores(cosines, [1] * 5)).all()


def test_scores_of_clips_that_are_their_captions() -> None:
    captions = np.eye(3)
    clips = EmbeddedClips(
        "m",
        ("a", "b", "c"),
        tuple(np.array([[2.0, 0, 0], [4.0, 0, 0]]) * 1 if i == 0 else 3 * np.eye(3)[i : i + 1] for i in range(3)),
    )
    cosines = clap_score.similarities(clips, captions)
    np.testing.assert_allclose(clap_score.own_scores(cosines, [0, 1, 2]), 1)
    np.testing.assert_allclose(clap_score.shuffled_scores(cosines, [0, 1, 2]), 0)


def test_difference_is_paired_by_caption() -> None:
    real, made = np.array([0.5, 0.7, 0.1]), np.array([0.4, 0.2, 0.9])
    difference, counts = clap_score.paired_difference(real, ["x", "x", "y"], made, ["x", "y", "z"])
    np.testing.assert_allclose(difference, [0.4 - 0.6, 0.2 - 0.1])
    np.testing.assert_allclose(counts, [1, 1])
    assert len(clap_score.paired_difference(real, ["x", "x", "y"], made, ["z"] * 3)[0]) == 0
