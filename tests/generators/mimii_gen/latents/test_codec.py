from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from asdbench import UserError
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.pretrained.hub import quiet


def _model(seed: int = 0, trained: bool = True, **settings: Any) -> EncodecModel:
    """A random EnCodec; "trained" fills the codebooks, finer from one to the next."""
    torch.manual_seed(seed)
    model = EncodecModel(EncodecConfig(**settings)).eval()
    for index, layer in enumerate(model.quantizer.layers if trained else []):
        layer.codebook.embed.normal_(0.0, 0.1 * 0.9**index)
    return model


def _sound(batch: int, num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, num_samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def published() -> Codec:
    """The full size of the published 24 kHz model, with random weights."""
    return Codec(_model(), 24.0)


CONFIGURATIONS: dict[str, tuple[dict[str, Any], int, int, float]] = {  # settings, codebooks, hop, frame rate
    "16 kHz": ({"sampling_rate": 16000, "codebook_size": 2048, "target_bandwidths": [2.2]}, 4, 320, 50.0),
    "24 kHz": ({}, 32, 320, 75.0),
    "32 kHz": (
        {
            "sampling_rate": 32000,
            "upsampling_ratios": [8, 5, 4, 4],
            "codebook_size": 2048,
            "target_bandwidths": [2.2],
            "use_causal_conv": False,
            "use_conv_shortcut": False,
        },
        4,
        640,
        50.0,
    ),
    "48 kHz": (
        {
            "sampling_rate": 48000,
            "audio_channels": 2,
            "normalize": True,
            "chunk_length_s": 1.0,
            "overlap": 0.01,
            "norm_type": "time_group_norm",
            "use_causal_conv": False,
            "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        },
        16,
        320,
        150.0,
    ),
}


def test_all_32_codebooks_are_used_unless_asked_otherwise(tmp_path: Path) -> None:
    """The model's own default is its lowest bandwidth: 2 of the 32 codebooks."""
    with quiet():
        _model(num_filters=4).save_pretrained(tmp_path)
    assert EncodecConfig().target_bandwidths[0] == 1.5
    assert Codec.load(str(tmp_path)).num_codebooks == 32
    assert Codec.load(str(tmp_path), MimiiGen().bandwidth).num_codebooks == 32
    assert Codec.load(str(tmp_path)).encode(_sound(1, 3200)).shape == (1, 32, 10)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_give_the_codebooks_and_lengths_of_their_arithmetic(name: str) -> None:
    settings, codebooks, hop, frame_rate = CONFIGURATIONS[name]
    codec = Codec(_model(num_filters=4, **settings), None)
    assert (codec.num_codebooks, codec.hop_length, codec.frame_rate) == (codebooks, hop, frame_rate)
    assert codec.causal == (name in ("16 kHz", "24 kHz"))
    seconds = int(1.3 * codec.sample_rate)  # longer than a chunk of the 48 kHz model
    for num_samples in (seconds - seconds % hop, seconds - seconds % hop + 1, 5 * hop - 1):
        codes = codec.encode(_sound(2, num_samples))
        assert codes.shape == (2, codebooks, math.ceil(num_samples / hop)) and codes.dtype == torch.int64
        latents = codec.latents(codes)
        assert latents.shape == (2, 128, math.ceil(num_samples / hop))
        assert codec.decode(latents, num_samples).shape == (2, num_samples)
        assert codec.decode(latents).shape == (2, math.ceil(num_samples / hop) * hop)


def test_a_clip_of_the_paper_has_the_shape_of_the_paper() -> None:
    codec = Codec(_model(num_filters=4), 24.0)
    waveform = codec.resample(_sound(1, 160000)[0].numpy(), 16000)
    assert waveform.shape == (240000,) and waveform.dtype == np.float32
    codes = codec.encode(torch.from_numpy(waveform)[None])
    assert codes.shape == (1, 32, 750)
    assert codec.latents(codes).shape == (1, 128, 750)


def test_frames_count_what_is_begun(published: Codec) -> None:
    assert [published.num_frames(n) for n in (240000, 240001, 239680)] == [750, 751, 749]
    for num_samples, frames in ((3200, 10), (3201, 11), (2880, 9)):
        assert published.encode(_sound(1, num_samples)).shape[2] == published.num_frames(num_samples) == frames


def test_the_bandwidth_of_the_library_is_not_ours(published: Codec) -> None:
    sound = _sound(1, 3200)
    default = published.model.encode(sound[:, None]).audio_codes
    assert default.shape[2] == 2  # 1.5 kbps
    ours = published.encode(sound)
    assert published.num_codebooks == ours.shape[1] == 32
    assert torch.equal(ours[:, :2], default[0])
    with torch.no_grad():
        full = published.model.encode(sound[:, None], bandwidth=24.0).audio_codes[0]
    assert torch.equal(ours, full)
    assert Codec(published.model, None).bandwidth == 24.0


def test_a_bandwidth_that_the_model_lacks_is_refused(tiny_codec: Path) -> None:
    with pytest.raises(UserError, match=r"bandwidth is 24 kbps, which codec .* does not have, .* 2\.4, 9\.6"):
        Codec.load(str(tiny_codec), 24.0)
    assert Codec.load(str(tiny_codec), 2.4).num_codebooks == 8
    codec = Codec.load(str(tiny_codec), None)
    assert (codec.bandwidth, codec.num_codebooks, codec.codebook_size, codec.sample_rate) == (9.6, 32, 64, 16000)


def test_decoding_latents_is_decoding_codes(published: Codec) -> None:
    codes = published.encode(_sound(2, 6400))
    latents = published.latents(codes)
    words = [layer.codebook.embed[codes[:, k]] for k, layer in enumerate(published.model.quantizer.layers)]
    torch.testing.assert_close(latents, torch.stack(words).double().sum(0).float().transpose(1, 2))
    with torch.no_grad():
        expected = published.model.decode(codes[None], [None]).audio_values[:, 0]
    assert torch.equal(published.decode(latents), expected)
    assert torch.equal(published.decode(latents, 6001), expected[:, :6001])


def test_wrong_shapes_are_refused(published: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"expected codes of shape \(batch, 32, T\)"):
        published.latents(torch.zeros(1, 2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"expected waveforms of shape"):
        published.encode(torch.zeros(100))
    with pytest.raises(ValueError, match="10 frames hold 3200 samples, 3201"):
        published.decode(torch.zeros(1, 128, 10), 3201)
    monkeypatch.setattr(published, "num_codebooks", 31)
    with pytest.raises(RuntimeError, match=r"codes of shape \(1, 32, 10\), expected \(1, 31, 10\)"):
        published.encode(_sound(1, 3200))


def test_padding_the_end_leaves_the_frames_of_a_causal_codec(published: Codec) -> None:
    sound = _sound(1, 4800)
    padded = torch.nn.functional.pad(sound, (0, 3333))
    with torch.no_grad():
        short, long = (published.model.encoder(wave[:, None]) for wave in (sound, padded))
    torch.testing.assert_close(long[..., :15], short, atol=1e-6, rtol=0)
    assert torch.equal(published.encode(padded)[..., :15], published.encode(sound))


def test_padding_changes_the_frames_of_other_codecs() -> None:
    codec = Codec(_model(num_filters=4, **CONFIGURATIONS["48 kHz"][0]), 24.0)
    assert not codec.causal
    sound = _sound(1, 4800)
    padded = codec.encode(torch.nn.functional.pad(sound, (0, 3333)))[..., :15]
    assert not torch.equal(padded, codec.encode(sound))


def test_the_stereo_model_takes_and_gives_mono() -> None:
    codec = Codec(_model(num_filters=4, **CONFIGURATIONS["48 kHz"][0]), 24.0, gain=0.05)
    sound = _sound(2, 60000)  # longer than a chunk of one second
    codes = codec.encode(sound)
    with torch.no_grad():
        stereo = (sound / 0.05)[:, None].repeat(1, 2, 1)
        expected = codec.model.quantizer.encode(codec.model.encoder(stereo), 24.0).transpose(0, 1)
        both = codec.model.decoder(codec.latents(codes))
    assert torch.equal(codes, expected)
    assert both.shape[1] == 2 and not torch.equal(both[:, 0], both[:, 1])
    assert torch.equal(codec.decode(codec.latents(codes), 60000), ((both[:, 0] + both[:, 1]) / 2 * 0.05)[:, :60000])


def test_gain_scales_what_goes_in_and_what_comes_out(tiny_codec: Path) -> None:
    plain, quarter = Codec.load(str(tiny_codec), None), Codec.load(str(tiny_codec), None, gain=0.25)
    sound = _sound(1, 3200)
    codes = plain.encode(sound)
    assert torch.equal(quarter.encode(0.25 * sound), codes)
    assert torch.equal(quarter.decode(quarter.latents(codes)), 0.25 * plain.decode(plain.latents(codes)))
    for gain in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="the gain is"):
            Codec(plain.model, None, gain=gain)


def test_calibration_brings_clips_to_unit_rms_where_the_model_was_trained_so(published: Codec) -> None:
    normalising = Codec(_model(num_filters=4, **CONFIGURATIONS["48 kHz"][0]), 24.0, "mine")
    clips = [level * np.sin(np.arange(48000) / 7).astype(np.float32) for level in (0.01, 0.02, 5.0)]
    calibrated = normalising.calibrated(clips)
    assert calibrated.gain == pytest.approx(0.02 / math.sqrt(2), rel=1e-3)
    assert (calibrated.bandwidth, calibrated.name) == (24.0, "mine")
    # The library's own scale for the middle clip.
    scale = normalising.model.encode(torch.from_numpy(clips[1]).repeat(1, 2, 1), bandwidth=24.0).audio_scales[0]
    assert calibrated.gain == pytest.approx(float(scale), rel=1e-5)
    assert published.calibrated(clips) is published
    with pytest.raises(UserError, match="median RMS of 0 clips is 0"):
        normalising.calibrated([])
    with pytest.raises(UserError, match="median RMS of 1 clips is 0"):
        normalising.calibrated([np.zeros(100, np.float32)])


def test_levels_are_those_of_the_network(published: Codec) -> None:
    """Nothing is normalised on the way: a louder latent gives what the decoder makes of it, beyond full scale too."""
    latents = 40 * torch.randn(1, 128, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(published.decode(latents), published.model.decoder(latents)[:, 0])
    quiet_codes, loud_codes = (published.encode(level * _sound(1, 3200)) for level in (0.01, 10.0))
    assert not torch.equal(quiet_codes, loud_codes)


def test_resampling_keeps_level_and_pitch(published: Codec) -> None:
    time = np.arange(16000) / 16000
    tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    resampled = published.resample(tone, 16000)
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)
    assert resampled.shape == (24000,) and resampled.dtype == np.float32
    assert np.abs(resampled - expected)[1000:-1000].max() < 1e-3
    assert published.resample(tone, 24000) is tone


def test_identity_is_of_what_decides_the_latents(tiny_codec: Path, tmp_path: Path) -> None:
    codec = Codec.load(str(tiny_codec), None)
    with quiet():
        codec.model.save_pretrained(tmp_path)
    assert Codec.load(str(tmp_path), 9.6).identity == codec.identity
    others = [Codec.load(str(tiny_codec), 2.4), Codec.load(str(tiny_codec), 9.6, gain=2.0)]
    for name in ("decoder.layers.0.conv.bias", "quantizer.layers.31.codebook.embed"):
        model = EncodecModel.from_pretrained(tiny_codec)
        model.state_dict()[name].view(-1)[0].add_(1e-3)
        others.append(Codec(model, 9.6))
    padded = EncodecModel.from_pretrained(tiny_codec, pad_mode="constant")
    others.append(Codec(padded, 9.6))
    identities = {codec.identity, *(other.identity for other in others)}
    assert len(identities) == 6


def test_untrained_codebooks_are_refused() -> None:
    with pytest.raises(UserError, match="codebooks are all zero: the codec was never trained"):
        Codec(_model(trained=False, num_filters=4), 24.0)
    half = _model(num_filters=4)
    half.quantizer.layers[31].codebook.embed.zero_()
    assert Codec(half, 12.0).num_codebooks == 16
    with pytest.raises(UserError, match="never trained"):
        Codec(half, 24.0)


def test_too_few_codebooks_for_the_bandwidth_are_refused() -> None:
    model = _model(num_filters=4, target_bandwidths=[24.0, 6.0])  # the library counts by the last: 8 codebooks
    with pytest.raises(UserError, match="24 kbps take 32 codebooks, the model has 8"):
        Codec(model, None)


def test_the_model_is_frozen_and_outputs_can_be_trained_on(tiny_codec: Path) -> None:
    model = EncodecModel.from_pretrained(tiny_codec).half().train()
    codec = Codec(model, None)
    assert not codec.model.training and not any(p.requires_grad for p in codec.model.parameters())
    latents = codec.latents(codec.encode(_sound(1, 3200)))
    weight = torch.ones(128, 128, requires_grad=True)
    (weight @ latents).square().mean().backward()
    assert weight.grad is not None and latents.dtype == torch.float32
