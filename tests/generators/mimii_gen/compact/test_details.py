from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from asdbench.generators.mimii_gen.compact.details import encode_details, measure_details
from asdbench.generators.mimii_gen.compact.network import CompactNetwork, Power, excess

BANDS, FRAMES, BLOCKS, CLIPS = 16, 80, 10, 400
DEVIATIONS = (2.0, 1.0, 0.5)
"""Of three orthogonal patterns over the bands, in dB, times the square root of 8 bands."""


def patterns() -> np.ndarray:
    """Three orthonormal patterns, shape (3, bands)."""
    return np.linalg.qr(np.random.default_rng(1).standard_normal((BANDS, 3)))[0].T


def network(dim: int = 4) -> CompactNetwork:
    return CompactNetwork(bands=BANDS, clip_dim=4, frame_dim=2, width=8, detail_dim=dim).eval()


def power(frames: int = FRAMES) -> Power:
    """That of white noise of 0 dB in bands of one bin each: exponentially distributed."""
    return Power(torch.zeros(1, BANDS, frames), torch.zeros(1, BANDS, frames))


def clips(count: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, list[torch.Tensor]]:
    """True values of the patterns, shape (count, 3), and decibels: a constant, the patterns and independent blocks."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((count, 3))
    left = 0.3 + (values * DEVIATIONS) @ patterns()
    blocks = np.repeat(noise * random.standard_normal((count, BANDS, BLOCKS)), FRAMES // BLOCKS, axis=2)
    mean = -(np.euler_gamma * 10 / np.log(10))  # of the log of an exponential variable, in dB
    return values, list(torch.from_numpy((left[:, :, None] + blocks + mean).astype(np.float32))[:, None])


def measured(noise: float = 1.0, dim: int = 4, count: int = CLIPS) -> CompactNetwork:
    found = network(dim)
    measure_details(found, (excess(one, power()) for one in clips(count, 0, noise)[1]))
    return found


def test_the_excess_is_measured_from_the_mean_of_the_log_of_a_gamma_variable() -> None:
    shape = 2.5
    drawn = np.random.default_rng(0).gamma(shape, 3.0 / shape, size=(BANDS, 20000))
    decibels = torch.from_numpy(10 * np.log10(drawn).astype(np.float32))[None]
    known = Power(torch.full((1, BANDS, 20000), 10 * np.log10(3.0)), torch.full((1, BANDS, 20000), np.log(shape)))
    assert float(excess(decibels, known).mean()) == pytest.approx(0.0, abs=0.02)


def test_the_patterns_are_found_with_their_deviations_and_without_the_noise() -> None:
    found = measured(noise=3.0)
    torch.testing.assert_close(found.detail_mean, torch.full((BANDS,), 0.3), rtol=0, atol=0.2)
    basis = found.detail_basis.double().numpy()
    covariance = (patterns().T * np.square(DEVIATIONS)) @ patterns()
    largest = np.linalg.eigvalsh(covariance)[-1]
    # Noise of the mean has the variance 9 / 10 in each band; it must not be among what was found.
    assert np.linalg.norm(basis.T @ basis - covariance, 2) < 0.2 * largest
    assert np.square(basis).sum(axis=1)[:2] == pytest.approx(np.square(DEVIATIONS[:2]), rel=0.25)


def test_what_is_coded_is_the_best_linear_estimate() -> None:
    found = measured()
    values, decibels = clips(300, 7)
    coded = encode_details(found, torch.cat(decibels), Power(*(part.expand(300, -1, -1) for part in power()))).numpy()
    for place, deviation in enumerate(DEVIATIONS):
        share = deviation**2 / (deviation**2 + 0.1)  # Wiener: signal over signal and noise, the noise of ten blocks
        assert np.square(coded[:, place]).mean() == pytest.approx(share, rel=0.25)
    lines = LinearRegression().fit(coded, values)
    left = [0.1 / (0.1 + deviation**2) for deviation in DEVIATIONS]
    assert 1 - lines.score(coded, values) == pytest.approx(np.mean(left), rel=0.35)


def test_details_bring_the_static_level_back() -> None:
    found = measured(noise=0.1)
    _, decibels = clips(20, 9, noise=0.1)
    latents, clip = torch.zeros(1, 2, FRAMES // 4), torch.zeros(1, 4)
    for one in decibels:
        coded = encode_details(found, one, power())
        with torch.no_grad():
            added = found.decode(latents, clip, coded).decibels - found.decode(latents, clip).decibels
        missing = excess(one, power()).mean(dim=2)
        assert float((missing - added[:, :, 0]).abs().max()) < 0.2 < float(missing.abs().max())


@pytest.mark.parametrize(("count", "used"), [(3, 0), (8, 2), (15, 3)])
def test_few_clips_measure_few_details_and_the_others_say_nothing(count: int, used: int) -> None:
    found = measured(count=count)
    assert int((found.detail_basis != 0).any(dim=1).sum()) == used
    coded = encode_details(found, clips(1, 3)[1][0], power())
    assert torch.equal(coded[:, used:], torch.zeros(1, 4 - used)) and bool(torch.isfinite(coded).all())


@pytest.mark.parametrize("frames", [1, 15])
def test_a_clip_of_one_block_tells_nothing_certain(frames: int) -> None:
    coded = encode_details(measured(), torch.zeros(1, BANDS, frames), power(16))
    assert torch.equal(coded, torch.zeros(1, 4))
    short = network()
    measure_details(short, [torch.ones(1, BANDS, frames)] * 8)
    assert not short.detail_basis.any() and torch.equal(short.detail_mean, torch.ones(BANDS))
