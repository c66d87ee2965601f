"""Embeddings against other implementations: librosa, transformers, and numbers of torchvggish and hear21passt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asdbench import UserError
from asdbench.metrics.audio.embedding import embedding_of
from asdbench.metrics.audio.embeddings import passt, vggish
from asdbench.metrics.audio.embeddings.encodec import Encodec
from asdbench.metrics.audio.embeddings.logmel_stats import LogmelStats
from asdbench.metrics.audio.embeddings.transformers_audio import AudioClassifier, TransformersAudio

Wave = Callable[[int, int], np.ndarray]


def save_weights(path: Path, shapes: dict[str, tuple[int, ...]], scale: float) -> str:
    """Weights from a fixed stream, in the order of names; the original programs gave the golden numbers with them."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    save_file(
        {name: (scale * rng.standard_normal(shape)).astype(np.float32) for name, shape in sorted(shapes.items())}, path
    )
    return str(path)


@pytest.fixture(scope="module")
def vggish_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    network = vggish.build_network(hidden=32)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return save_weights(tmp_path_factory.mktemp("vggish") / "vggish.safetensors", shapes, 0.03)


@pytest.fixture(scope="module")
def passt_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    width, classes = 128, 7
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "dist_token": (1, 1, width),
        "new_pos_embed": (1, 2, width),
        "freq_new_pos_embed": (1, width, 12, 1),
        "time_new_pos_embed": (1, width, 1, 99),
        "patch_embed.proj.weight": (width, 1, 16, 16),
        "patch_embed.proj.bias": (width,),
        "head.1.weight": (classes, width),
        "head.1.bias": (classes,),
        "head_dist.weight": (classes, width),
        "head_dist.bias": (classes,),
    }
    layers = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    for block in ("blocks.0.", "blocks.1."):
        for layer, shape in layers.items():
            shapes |= {f"{block}{layer}.weight": shape, f"{block}{layer}.bias": shape[:1]}
    for norm in ("blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm", "head.0"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return save_weights(tmp_path_factory.mktemp("passt") / "passt.safetensors", shapes, 0.1)


def test_vggish_gives_the_numbers_of_torchvggish(vggish_weights: str, waveform: Wave) -> None:
    found = vggish.Vggish(weights=vggish_weights, device="cpu").embed(waveform(32000, 16000))
    golden = [[-0.00435042, 0.017982, -0.04930306, -0.00420092], [-0.00426084, 0.01807303, -0.04959191, -0.00492631]]
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found[:, :4], golden, atol=1e-6)
    with_relu = vggish.Vggish(weights=vggish_weights, device="cpu", activation=True).embed(waveform(32000, 16000))
    np.testing.assert_array_equal(with_relu, np.maximum(found, 0))


def test_the_front_end_of_vggish_equals_librosa(waveform: Wave) -> None:
    import librosa
    from transformers.audio_utils import mel_filter_bank

    wave = waveform(16000 * 3, 16000)
    # librosa puts the window of 400 in the middle of 512 samples: it begins 56 samples late.
    padded = np.pad(wave.astype(np.float64), (56, 512))
    magnitude = np.abs(librosa.stft(padded, n_fft=512, hop_length=160, win_length=400, center=False)).T
    filters = mel_filter_bank(
        257, 64, 125.0, 7500.0, 16000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    expected = np.log(magnitude @ filters + 0.01)[: 96 * 3]
    np.testing.assert_allclose(vggish.log_mel_examples(wave).reshape(-1, 64), expected, atol=1e-4)


def test_passt_gives_the_numbers_of_hear21passt(passt_weights: str, waveform: Wave) -> None:
    embedding = passt.Passt(weights=passt_weights, device="cpu")
    vectors, logits = embedding.embed_with_logits(waveform(64000, 32000))
    golden = [[0.05461338, 0.07173258, 0.1233216, -0.15524417, -0.19647665, 0.09787303, -0.19543502]]
    np.testing.assert_allclose(logits, golden, atol=2e-5)
    np.testing.assert_allclose(vectors[0, :4], [-0.21543962, 0.06823263, 0.00266316, 0.02513065], atol=2e-5)
    assert embedding.dim == 128


def test_passt_cuts_long_clips_and_never_pads(passt_weights: str, waveform: Wave) -> None:
    embedding, wave = passt.Passt(weights=passt_weights, device="cpu"), waveform(330000, 32000)
    both = embedding.embed_with_logits(wave)
    assert both[0].shape == (2, 128) and both[1].shape == (2, 7)
    np.testing.assert_allclose(embedding.embed(wave[320000:])[0], both[0][1])
    assert len(embedding.logits(wave[:322000])) == 1  # an end of 0.06 s is ignored
    with pytest.raises(UserError, match=r"0\.10 s, PaSST needs at least 0\.15 s"):
        embedding.embed(wave[:3200])


def test_log_mel_statistics_are_what_they_say(waveform: Wave) -> None:
    from asdbench import LogmelSettings, logmel

    embedding, wave = LogmelStats(), waveform(16000 * 3, 16000)
    vectors = embedding.embed(wave)
    mel = (logmel(wave, LogmelSettings(n_mels=64))[:31] + 50) / 20
    assert vectors.shape == (3, embedding.dim)
    np.testing.assert_allclose(vectors[0], np.r_[mel.mean(axis=0), mel.std(axis=0)], rtol=1e-4, atol=1e-6)
    assert embedding.embed(wave[:8000]).shape == (1, 128)
    assert np.isfinite(embedding.embed(np.zeros(16000, dtype=np.float32))).all()


def test_a_classifier_gives_its_logits_and_what_its_last_layer_reads(tiny_ast: Path, waveform: Wave) -> None:
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    wave, embedding = waveform(8000, 16000), AudioClassifier(model=str(tiny_ast), device="cpu")
    model, extractor = (
        ASTForAudioClassification.from_pretrained(tiny_ast).eval(),
        ASTFeatureExtractor.from_pretrained(tiny_ast),
    )
    with torch.inference_mode():
        values = extractor(wave, sampling_rate=16000, return_tensors="pt")["input_values"]
        pooled = model.audio_spectrogram_transformer(values).pooler_output
        logits, read = model(values).logits, model.classifier.layernorm(pooled)
    vectors, found = embedding.embed_with_logits(wave)
    np.testing.assert_allclose(found, logits.numpy(), atol=1e-6)
    np.testing.assert_allclose(vectors, read.numpy(), atol=1e-6)
    assert (embedding.dim, embedding.sample_rate) == (32, 16000)


def test_hidden_states_of_any_encoder(tiny_wav2vec2: Path, waveform: Wave) -> None:
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    wave = waveform(8000, 16000)
    model = Wav2Vec2Model.from_pretrained(tiny_wav2vec2).eval()
    values = Wav2Vec2FeatureExtractor.from_pretrained(tiny_wav2vec2)(wave, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**values, output_hidden_states=True).hidden_states
    for layer in (-1, 0):
        found = TransformersAudio(model=str(tiny_wav2vec2), layer=layer, pooling="frames", device="cpu").embed(wave)
        np.testing.assert_allclose(found, hidden[layer][0].numpy(), atol=1e-6)
    mean = TransformersAudio(model=str(tiny_wav2vec2), device="cpu").embed(wave)
    np.testing.assert_allclose(mean[0], hidden[-1][0].numpy().mean(axis=0), atol=1e-6)
    with pytest.raises(UserError, match="3 hidden states, found layer 7"):
        TransformersAudio(model=str(tiny_wav2vec2), layer=7, device="cpu").embed(wave)


def test_encodec_gives_the_latents_before_they_are_quantised(tiny_encodec: Path, waveform: Wave) -> None:
    import torch
    from transformers import EncodecModel

    wave, embedding = waveform(16000, 16000), Encodec(model=str(tiny_encodec), device="cpu")
    with torch.inference_mode():
        expected = EncodecModel.from_pretrained(tiny_encodec).eval().encoder(torch.from_numpy(wave)[None, None])[0].T
    np.testing.assert_allclose(embedding.embed(wave), expected.numpy(), atol=1e-6)
    assert embedding.embed(wave).shape == (50, embedding.dim)


def test_what_cannot_be_loaded_is_said_in_a_sentence(tmp_path: Path, tiny_wav2vec2: Path, passt_weights: str) -> None:
    (tmp_path / "weights.pt").write_bytes(b"\x80\x02")
    cases: list[tuple[Any, str]] = [
        (lambda: vggish.Vggish(weights=str(tmp_path / "none.safetensors"))._network(), "does not exist"),
        (lambda: vggish.Vggish(weights=str(tmp_path / "weights.pt"))._network(), "expected a .safetensors file"),
        (lambda: vggish.Vggish(weights=passt_weights)._network(), "lacks the tensor 'features.0.weight'"),
        (lambda: Encodec(model=str(tiny_wav2vec2)).dim, "type 'wav2vec2', expected 'encodec'"),
        (lambda: TransformersAudio(model="./absent").dim, "no such folder"),
        (lambda: AudioClassifier(model=str(tiny_wav2vec2)).dim, "have no classifier.bias"),
        (lambda: embedding_of("vgish"), "did you mean 'vggish'"),
        (lambda: embedding_of("vggish"), "'vggish': weights"),
        (lambda: embedding_of("logmel_stats", {"band": 3}), "did you mean 'bands'"),
    ]
    for work, words in cases:
        with pytest.raises(UserError, match=words.replace("(", r"\(")) as caught:
            work()
        assert "\n" not in str(caught.value)


def test_a_short_clip_has_no_vggish(vggish_weights: str) -> None:
    with pytest.raises(UserError, match=r"0\.50 s, VGGish needs at least 0\.97 s"):
        vggish.Vggish(weights=vggish_weights, device="cpu").embed(np.ones(8000, dtype=np.float32))


def test_embeddings_are_listed_without_heavy_imports() -> None:
    code = (
        "import sys; from asdbench.listing import overview; text = overview()\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; print(text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    part = done.stdout.partition("embeddings:\n")[2].partition("metrics:")[0]
    installed = sorted(entry.name for entry in entry_points(group="asdbench.embeddings"))
    assert [line.split()[0] for line in part.splitlines()] == installed
    assert "cannot be used" not in part


def test_the_example_of_the_docs_is_an_embedding() -> None:
    page = (Path(__file__).parents[3] / "docs" / "audio-metrics.md").read_text(encoding="utf-8")
    code = next(part for part in page.split("```python\n") if "class Level" in part).partition("```")[0]
    exec(code, {"__name__": "docs"})
    level = embedding_of("level")
    assert (level.sample_rate, level.dim) == (16000, 1)
    assert np.asarray(level.embed(np.ones(9, dtype=np.float32))).shape == (1, 1)
