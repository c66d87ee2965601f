from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.compact.codec import CompactCodec, _quantized, _restored
from asdbench.generators.mimii_gen.compact.details import encode_details
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.latents.interface import codec_of, load_codec

SAMPLES = 35200


@pytest.fixture(scope="module")
def codec(compact_codec: Path) -> CompactCodec:
    return CompactCodec.load(str(compact_codec))


@pytest.fixture(scope="module")
def waveforms(machine_clips: ClipSet) -> torch.Tensor:
    return torch.from_numpy(np.stack([machine_clips.waveform(index) for index in range(4)]))


@pytest.fixture(scope="module")
def codes(codec: CompactCodec, waveforms: torch.Tensor) -> torch.Tensor:
    return codec.encode(waveforms)


def test_shapes(codec: CompactCodec, codes: torch.Tensor) -> None:
    frames = codec.num_frames(SAMPLES)
    assert frames == 35 and codec.hop_length == 1024 and codec.frame_rate == 15.625
    assert codec.dim == 2 * int(codec.model.active.sum()) + 9 and codec.num_codebooks == codec.dim + 9
    assert (codec.clip_dim, codec.conditioning_dim) == (9, 6)
    assert codes.shape == (4, codec.num_codebooks, frames) and codes.dtype == torch.int64
    latents = codec.latents(codes)
    assert latents.shape == (4, codec.dim, frames) and latents.dtype == torch.float32
    for samples in (SAMPLES, 35 * 1024 - 1, 1):
        decoded = codec.decode(latents[:1], samples)
        assert decoded.shape == (1, samples) and decoded.dtype == torch.float32 and bool(torch.isfinite(decoded).all())
    assert codec.decode(latents[:1]).shape == (1, 139 * 256)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("samples", [1, 255, 256, 1023, 1024, 35199])
def test_frames_of_any_length_hold_their_samples(codec: CompactCodec, samples: int) -> None:
    coded = codec.encode(torch.full((1, samples), 0.01))
    assert coded.shape[2] == codec.num_frames(samples)
    made = codec.decode(codec.latents(coded), samples)
    assert made.shape == (1, samples) and bool(torch.isfinite(made).all())


def test_codes_fit_16_bits_and_round_by_less_than_a_thousandth(codec: CompactCodec, codes: torch.Tensor) -> None:
    assert int(codes.min()) >= 0 and int(codes.max()) < codec.codebook_size == 2**16
    assert torch.equal(torch.from_numpy(codes.numpy().astype(np.uint16).astype(np.int64)), codes)
    every = torch.arange(2**16)
    assert torch.equal(_quantized(_restored(every)), every)
    values = torch.linspace(-16, 16, 100_001)
    assert float((_restored(_quantized(values)) - values).abs().max()) < 1e-3
    assert _restored(_quantized(torch.tensor([-99.0, 99.0]))).tolist() == [-16, 16]


def test_the_latents_are_what_the_encoder_gives(
    codec: CompactCodec, codes: torch.Tensor, machine_clips: ClipSet
) -> None:
    sound = machine_clips.waveform(1)
    decibels, lines = codec._analysis.analyse(sound)
    with torch.no_grad():
        frames = codec.model.normalized(torch.from_numpy(decibels.T[None].copy()))
        clip = codec.model.encode_clip(codec.model.features(frames, torch.from_numpy(lines.array()[None])))
        frame = codec.model.encode_frames(frames, clip.mean)
        power = codec.model.decode(frame.mean, clip.mean)
        details = encode_details(codec.model, torch.from_numpy(decibels.T[None].copy()), power)
    active = codec.model.active > 0
    whole = torch.cat([clip.mean, details], dim=1)[:, :, None].expand(-1, -1, 35)
    expected = torch.cat([frame.mean[:, active], frame.log_variance[:, active], whole], dim=1)
    torch.testing.assert_close(codec.latents(codes[1:2]), expected, rtol=0, atol=1e-3)


def test_noise_draws_the_clip_latent_from_what_the_encoder_gave(codec: CompactCodec, codes: torch.Tensor) -> None:
    noise = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    still, drawn = codec.latents(codes), codec.latents(codes, noise)
    assert torch.equal(still[:, :-9], drawn[:, :-9])
    deviation = (_restored(codes[:, codec.dim :]) / 2).exp()
    torch.testing.assert_close(drawn[:, -9:] - still[:, -9:], deviation * noise[:, :, None], rtol=1e-4, atol=1e-5)


def test_what_is_decoded_depends_on_latents_and_seed_alone(codec: CompactCodec, codes: torch.Tensor) -> None:
    latents = codec.latents(codes)
    together = codec.decode(latents, SAMPLES, [7, 8, 9, 10])
    torch.manual_seed(99)
    for index, seed in ((0, 7), (2, 9)):
        assert torch.equal(codec.decode(latents[index : index + 1], SAMPLES, [seed])[0], together[index])
    assert not torch.equal(codec.decode(latents[:1], SAMPLES, [8])[0], together[0])
    assert torch.equal(codec.decode(latents[:2], SAMPLES), codec.decode(latents[:2], SAMPLES, [0, 1]))
    with pytest.raises(ValueError, match="shorter"):
        codec.decode(latents, SAMPLES, [1])


def test_a_clip_is_coded_as_it_is_alone(codec: CompactCodec, codes: torch.Tensor, waveforms: torch.Tensor) -> None:
    for index in range(4):
        alone = codec.encode(waveforms[index : index + 1])[0]
        assert int((alone - codes[index]).abs().max()) <= 1  # other sums of other batches: half a step at most


def test_of_the_clip_latent_the_mean_over_the_frames_counts(codec: CompactCodec, codes: torch.Tensor) -> None:
    latents = codec.latents(codes[:1])
    uneven = latents.clone()
    uneven[:, -9:] += torch.linspace(-1, 1, latents.shape[2])
    near = codec.decode(uneven, 4096) - codec.decode(latents, 4096)
    assert float(near.abs().max()) < 1e-3 * float(codec.decode(latents, 4096).std())


def test_a_clip_comes_back_with_its_level_and_its_spectrum(
    codec: CompactCodec, codes: torch.Tensor, waveforms: torch.Tensor
) -> None:
    decoded = codec.decode(codec.latents(codes), SAMPLES)
    for real, made in zip(waveforms.numpy(), decoded.numpy(), strict=True):
        away = codec.spectra.decibels(made).mean(axis=0) - codec.spectra.decibels(real).mean(axis=0)
        assert np.abs(away).mean() < 2


def test_the_identity_is_that_of_the_weights(codec: CompactCodec, compact_codec: Path, tmp_path: Path) -> None:
    codec.model.save_pretrained(tmp_path)
    loaded = load_codec(str(tmp_path), 24.0)
    assert isinstance(loaded, CompactCodec) and loaded.identity == codec.identity and loaded.name == str(tmp_path)
    assert codec_of(loaded.model, None, 1.0).identity == codec.identity
    for name in ("calibration", "leave.bias", "detail_basis"):
        changed = CompactNetwork.from_pretrained(compact_codec)
        changed.state_dict()[name][0] += 1e-3
        assert CompactCodec(changed).identity != codec.identity


def test_a_network_that_was_never_trained_is_refused(compact_codec: Path) -> None:
    with pytest.raises(UserError, match=r"codec: .* the codec was never trained"):
        CompactCodec(CompactNetwork(bands=32))
    nothing = CompactNetwork.from_pretrained(compact_codec)
    nothing.active.zero_()
    with pytest.raises(UserError, match="codec 'mine': no frame latent is active"):
        CompactCodec(nothing, "mine")


def test_wrong_shapes_are_named(codec: CompactCodec, codes: torch.Tensor) -> None:
    for wrong in (torch.zeros(100), torch.zeros(1, 1, 100), torch.zeros(2, 0)):
        with pytest.raises(ValueError, match=r"expected waveforms of shape \(batch, num_samples\), found"):
            codec.encode(wrong)
    with pytest.raises(ValueError, match=rf"expected codes of shape \(batch, {codec.num_codebooks}, T\)"):
        codec.latents(codes[:, 1:])
    latents = codec.latents(codes)
    with pytest.raises(ValueError, match=rf"expected latents of shape \(batch, {codec.dim}, T\)"):
        codec.decode(latents[:, 1:])
    with pytest.raises(ValueError, match="35 frames hold 35839 samples, 35840 were asked for"):
        codec.decode(latents, 35840)
    with pytest.raises(ValueError, match="0 were asked for"):
        codec.decode(latents, 0)


def test_other_rates_are_resampled_and_the_level_is_kept(codec: CompactCodec) -> None:
    time = np.arange(22050) / 22050
    tone = (0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    found = codec.resample(tone, 22050)
    expected = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert found.dtype == np.float32 and abs(len(found) - 16000) <= 1
    np.testing.assert_allclose(found[1000:-1000], expected[1000 : len(found) - 1000], atol=1e-3)
    assert codec.resample(tone, 16000) is tone
    assert codec.calibrated([tone]) is codec
