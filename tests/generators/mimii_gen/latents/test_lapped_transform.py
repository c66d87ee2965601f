from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.interface import load_codec
from asdbench.generators.mimii_gen.latents.lapped_transform import LappedTransform, from_dict


def sound(num_samples: int, batch: int = 2, scale: float = 0.1) -> torch.Tensor:
    return scale * torch.randn(batch, num_samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bands", [2, 16, 128, 512])
@pytest.mark.parametrize("extra", [0, 1, -1])
def test_reconstruction_is_perfect_for_any_length(bands: int, extra: int) -> None:
    codec = LappedTransform(bands)
    for frames in (1, 2, 7):
        waveforms = sound(frames * bands + extra)
        latents = codec.transform(waveforms)
        assert latents.shape == (2, bands, codec.num_frames(waveforms.shape[1]))
        back = codec.decode(latents, waveforms.shape[1])
        assert back.shape == waveforms.shape
        assert float((back - waveforms).abs().max()) < 1e-6


def test_energy_is_kept() -> None:
    codec, waveforms = LappedTransform(64), sound(64 * 20)
    assert codec.transform(waveforms).square().sum().item() == pytest.approx(waveforms.square().sum().item(), rel=1e-6)


def test_the_transform_is_orthogonal() -> None:
    codec = LappedTransform(8)
    rows = codec.transform(torch.eye(24)).reshape(24, -1)  # of each unit impulse
    assert torch.allclose(rows @ rows.T, torch.eye(24), atol=1e-6)


def test_the_window_satisfies_princen_and_bradley() -> None:
    window = LappedTransform(128).window.double()
    assert torch.allclose(window[:128] ** 2 + window[128:] ** 2, torch.ones(128, dtype=torch.float64), atol=1e-6)
    assert torch.equal(window, window.flip(0))


def test_coefficients_are_those_of_the_formula() -> None:
    size, frames = 16, 6
    waveform = sound(size * frames, 1)
    found = LappedTransform(size).transform(waveform)[0]
    x = waveform[0].double().numpy()
    for frame in range(1, frames - 1):
        for band in range(size):
            total = 0.0
            for n in range(2 * size):
                window = math.sin(math.pi / (2 * size) * (n + 0.5))
                angle = math.pi / size * (n + 0.5 + size / 2) * (band + 0.5)
                total += window * x[frame * size - size // 2 + n] * math.cos(angle)
            assert found[band, frame].item() == pytest.approx(math.sqrt(2 / size) * total, abs=1e-6)


def test_a_tone_lies_in_its_band() -> None:
    codec = LappedTransform(128)
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000)[None]  # the middle of band 16 of 62.5 Hz each
    power = codec.transform(tone)[0, :, 2:-2].square().mean(dim=1)
    assert power[15:17].sum() / power.sum() > 0.99


@pytest.mark.parametrize("scale", [1e-4, 1e-3, 0.1, 0.9])
def test_codes_lose_nothing_that_is_heard(scale: float) -> None:
    codec, waveforms = LappedTransform(128), sound(16000, 1, scale / 3)
    codes = codec.encode(waveforms)
    assert codes.dtype == torch.int64 and codes.shape == (1, 128, 125)
    assert int(codes.min()) >= 0 and int(codes.max()) < 2**16 == codec.codebook_size
    error = codec.decode(codec.latents(codes), 16000) - waveforms
    assert 10 * math.log10(float(waveforms.square().sum() / error.square().sum())) > 60


def test_silence_is_coded_as_silence() -> None:
    codec = LappedTransform(128)
    assert not codec.latents(codec.encode(torch.zeros(1, 1000))).any()


def test_the_contract_of_a_codec() -> None:
    codec = LappedTransform(128)
    assert (codec.dim, codec.num_codebooks, codec.hop_length, codec.frame_rate) == (128, 128, 128, 125.0)
    assert [codec.num_frames(n) for n in (1, 128, 129, 160000)] == [1, 1, 2, 1250]
    assert codec.calibrated([np.ones(4, np.float32)]) is codec
    slow = codec.resample(np.ones(2400, np.float32), 24000)
    assert len(slow) == 1600
    same = np.ones(5, np.float32)
    assert codec.resample(same, 16000) is same
    with pytest.raises(ValueError, match="expected latents of shape"):
        codec.decode(torch.zeros(1, 64, 3))
    with pytest.raises(ValueError, match="hold 384 samples, 385 were asked for"):
        codec.decode(torch.zeros(1, 128, 3), 385)
    with pytest.raises(ValueError, match="expected codes of shape"):
        codec.latents(torch.zeros(1, 64, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected waveforms of shape"):
        codec.encode(torch.zeros(1, 0))


def test_identity_is_of_bands_and_rate() -> None:
    assert len({LappedTransform(*made).identity for made in ((128,), (512,), (128, 8000))}) == 3
    codec = LappedTransform(512, 8000)
    assert from_dict(codec.to_dict()).identity == codec.identity


def test_one_function_loads_all_codecs(tiny_codec: Path) -> None:
    assert load_codec("mdct", None).dim == 128
    assert load_codec("mdct:512", 24.0).dim == 512
    assert isinstance(load_codec(str(tiny_codec), 9.6), Codec)


@pytest.mark.parametrize(
    ("name", "message"),
    [("mdct:", "expected mdct:BANDS"), ("mdct:x", "expected mdct:BANDS"), ("mdct:7", "7 bands, expected an even")],
)
def test_what_is_no_transform_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_codec(name, None)


@pytest.mark.parametrize(
    "data", [None, {}, {"bands": 4}, {"bands": 4.0, "sample_rate": 1}, {"bands": 3, "sample_rate": 1}]
)
def test_what_describes_no_transform_is_refused(data: object) -> None:
    with pytest.raises(UserError, match="lapped"):
        from_dict(data)
