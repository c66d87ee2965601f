from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.space import STD_FLOOR, LatentSpace, LatentStatistics


def _clips(dim: int, count: int = 5, seed: int = 0, centre: float = 0.0) -> list[torch.Tensor]:
    """Latents of clips of unequal length; the values of a frame differ in mean and spread."""
    rng = np.random.default_rng(seed)
    mean, std = centre + rng.normal(0, 2, (dim, 1)), np.geomspace(0.01, 3, dim)[:, None]
    return [
        torch.from_numpy((mean + std * rng.standard_normal((dim, 10 + 7 * n))).astype(np.float32)) for n in range(count)
    ]


def _statistics(clips: list[torch.Tensor], dim: int) -> LatentStatistics:
    statistics = LatentStatistics(dim)
    for clip in clips:
        statistics.update(clip)
    return statistics


def test_the_paper_normalises_by_16_means_over_clips_values_and_time() -> None:
    clips = _clips(128)
    everything = torch.cat(clips, dim=1).double().numpy()
    space = _statistics(clips, 128).space(16, "channel", "id")
    channels = everything.reshape(16, 8, -1)
    np.testing.assert_allclose(space.mean, np.repeat(channels.mean(axis=(1, 2)), 8), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(space.std, np.repeat(channels.std(axis=(1, 2)), 8), rtol=1e-12)
    normalised = space.to_unet(torch.cat(clips, dim=1)[None])
    assert normalised.shape == (1, 16, 8, everything.shape[1]) and space.height == 8
    np.testing.assert_allclose(normalised.double().mean(dim=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.double().std(dim=(0, 2, 3), correction=0), 1, rtol=1e-5)


def test_each_value_may_have_its_own_mean() -> None:
    clips = _clips(24)
    everything = torch.cat(clips, dim=1).double().numpy()
    space = _statistics(clips, 24).space(4, "dimension", "id")
    np.testing.assert_allclose(space.mean, everything.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(space.std, everything.std(axis=1), rtol=1e-12)
    normalised = space.to_unet(torch.cat(clips, dim=1)[None]).reshape(24, -1)
    np.testing.assert_allclose(normalised.double().std(dim=1, correction=0), 1, rtol=1e-5)


def test_without_normalisation_values_stay() -> None:
    clips = _clips(24)
    space = _statistics(clips, 24).space(4, "none", "id")
    assert torch.equal(space.to_unet(clips[0][None]), clips[0].reshape(1, 4, 6, -1))


def test_statistics_hold_where_the_mean_is_far_above_the_spread() -> None:
    """The sum of squares minus the squared mean would have lost everything."""
    rng = np.random.default_rng(0)
    clips = [torch.from_numpy(1e6 + 1e-2 * rng.standard_normal((8, 50 + n))) for n in range(20)]
    everything = torch.cat(clips, dim=1).numpy()
    statistics = _statistics(clips, 8)
    np.testing.assert_allclose(statistics.mean, everything.mean(axis=1), rtol=1e-12)
    # 1e6 is kept to 1.2e-10, which limits what any method can know of a spread of 1e-2.
    np.testing.assert_allclose(statistics.variance, everything.var(axis=1), rtol=1e-8)
    naive = np.square(everything).mean(axis=1) - np.square(everything.mean(axis=1))
    assert np.abs(naive / everything.var(axis=1) - 1).max() > 0.1

    moderate = _clips(16, centre=1000.0)
    joined = torch.cat(moderate, dim=1).double().numpy()
    np.testing.assert_allclose(_statistics(moderate, 16).variance, joined.var(axis=1), rtol=1e-12)


@given(st.permutations(range(5)), st.integers(0, 5))
def test_neither_order_nor_grouping_matters(order: list[int], cut: int) -> None:
    clips = _clips(8)
    plain = _statistics(clips, 8)
    merged = _statistics([clips[n] for n in order[:cut]], 8)
    merged.merge(_statistics([clips[n] for n in order[cut:]], 8))
    assert merged.count == plain.count == sum(clip.shape[1] for clip in clips)
    np.testing.assert_allclose(merged.mean, plain.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.variance, plain.variance, rtol=1e-12)


def test_batches_and_single_clips_count_alike() -> None:
    batch = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    together, apart = LatentStatistics(8), _statistics(list(batch), 8)
    together.update(batch)
    np.testing.assert_allclose(together.mean, apart.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(together.variance, apart.variance, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 2, 16, 128])
def test_layout_is_undone_exactly(channels: int) -> None:
    space = LatentSpace(128, channels, "none", (0.0,) * 128, (1.0,) * 128, "id")
    latents = torch.randn(2, 128, 75, generator=torch.Generator().manual_seed(0))
    x = space.to_unet(latents)
    assert x.shape == (2, channels, 128 // channels, 75)
    assert torch.equal(space.from_unet(x), latents)
    height = 128 // channels
    assert torch.equal(x[:, -1, 0], latents[:, 128 - height])  # a channel takes consecutive values of a frame


@pytest.mark.parametrize("normalization", ["channel", "dimension", "none"])
def test_normalisation_is_undone(normalization: str) -> None:
    clips = _clips(128)
    space = _statistics(clips, 128).space(16, normalization, "id")  # type: ignore[arg-type]
    for clip in clips:
        back = space.from_unet(space.to_unet(clip[None]))
        assert back.dtype == torch.float32
        assert float((back - clip).abs().max()) <= 1e-6 * float(clip.abs().max())
    assert space.from_unet(space.to_unet(clips[0][None]).bfloat16()).dtype == torch.float32


def test_values_that_hardly_vary_are_not_blown_up() -> None:
    clip = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    clip[1] = 0.5
    clip[2] *= 1e-6
    space = _statistics([clip], 4).space(2, "dimension", "id")
    floor = STD_FLOOR * max(space.std)
    assert space.std[1] == space.std[2] == floor and space.std[0] > floor and space.std[3] > floor
    assert float(space.to_unet(clip[None])[0, 1, 0].abs().max()) < 0.1
    with pytest.raises(UserError, match=r"never vary \(10 frames\)"):
        _statistics([torch.ones(4, 10)], 4).space(2, "channel", "id")
    with pytest.raises(UserError, match=r"never vary \(0 frames\)"):
        LatentStatistics(4).space(2, "dimension", "id")


def test_json_keeps_every_digit() -> None:
    space = _statistics(_clips(128), 128).space(16, "dimension", "id")
    again = LatentSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space
    with pytest.raises(UserError, match="latent_space has the fields"):
        LatentSpace.from_dict({"dim": 128})
    for name, value in (
        ("mean", ["a"]),
        ("std", ["1.5"]),
        ("mean", None),
        ("mean", [10**400] * 128),
        ("dim", "128"),
        ("dim", True),
        ("channels", 16.5),
        ("channels", 12),
        ("normalization", ["none"]),
        ("normalization", "max"),
        ("codec", None),
    ):
        with pytest.raises(UserError, match=f"latent_space: {name} is"):
            LatentSpace.from_dict(space.to_dict() | {name: value})
    with pytest.raises(UserError, match="127 means"):
        LatentSpace.from_dict(space.to_dict() | {"mean": [0.0] * 127})
    with pytest.raises(UserError, match="standard deviation that is not"):
        LatentSpace.from_dict(space.to_dict() | {"std": [0.0] * 128})


def test_settings_that_do_not_fit_are_refused() -> None:
    statistics = _statistics(_clips(128), 128)
    with pytest.raises(UserError, match="channels is 12, expected a number that divides the 128"):
        statistics.space(12, "channel", "id")
    with pytest.raises(UserError, match="did you mean 'channel'"):
        statistics.space(16, "channels", "id")  # type: ignore[arg-type]
    space = statistics.space(16, "channel", "id")
    with pytest.raises(ValueError, match="expected latents of shape"):
        space.to_unet(torch.zeros(1, 64, 5))
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        space.from_unet(torch.zeros(1, 8, 16, 5))
    with pytest.raises(ValueError, match="expected latents of shape"):
        statistics.update(torch.zeros(5, 127))
    with pytest.raises(UserError, match="NaN"):
        statistics.update(torch.full((128, 2), torch.nan))


def test_another_codec_is_refused(tiny_codec: Path) -> None:
    codec = Codec.load(str(tiny_codec), 9.6)
    space = LatentSpace(128, 16, "none", (0.0,) * 128, (1.0,) * 128, codec.identity)
    space.require(codec)
    with pytest.raises(UserError, match=r"trained with another codec.* at 2\.4 kbps and gain 1"):
        space.require(Codec.load(str(tiny_codec), 2.4))
