from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.levels import (
    CONDITIONS,
    FILE,
    Group,
    LevelModel,
    kurtosis_of,
    motion_of,
    unit_bands,
    words_of,
)

DIM = 64


def fitted(n: int = 400, seed: int = 0) -> tuple[LevelModel, np.ndarray, list[str]]:
    """Levels of fans that are linear in the speed, with one large direction of remainder, and of valves."""
    random = np.random.default_rng(seed)
    speeds = random.integers(1, 4, n)
    tilt = np.linspace(-1, 1, DIM)
    levels = -5 + 0.5 * speeds[:, None] + 0.3 * random.standard_normal((n, 1)) * tilt
    levels = levels + 0.05 * random.standard_normal((n, DIM))
    captions = [f"This fan sounds normal at a speed of {speed}." for speed in speeds]
    groups = [("fan", "normal")] * n
    valves = -2 + 0.1 * random.standard_normal((20, DIM))
    return (
        LevelModel.fit(
            np.concatenate([levels, valves]),
            captions + ["An anomalous valve."] * 20,
            groups + [("valve", "anomalous")] * 20,
            ["1", "2", "3"],
            np.array([0.0] * n + [0.5] * 20),  # valves come and go
            np.full((n + 20, DIM), 3.0),
        ),
        levels,
        captions,
    )


def latents(frames: int = 40) -> torch.Tensor:
    noise = torch.randn(3, DIM, frames, generator=torch.Generator().manual_seed(1))
    loud = torch.exp(3 * torch.sin(torch.arange(frames) / 5))  # a dynamic range of 52 dB
    return (
        noise * torch.linspace(0.001, 2, DIM)[:, None] * torch.stack([torch.ones(frames), loud, loud.flip(0)])[:, None]
    )


STILL, MOVING = "A normal fan.", "An anomalous valve."


def test_join_undoes_split() -> None:
    model, given = fitted()[0], latents()
    for captions in ([STILL] * 3, [MOVING] * 3, [STILL, MOVING, STILL]):
        shapes, levels = model.split(given, captions)
        assert shapes.shape == (3, model.shape_dim, 40) and levels.shape == (3, DIM)
        error = (model.join(shapes, levels, captions) - given).abs().amax(dim=2)
        assert bool((error < 2e-3 * given.square().mean(dim=2).sqrt()).all())
        assert torch.allclose(levels, 0.5 * given.square().mean(dim=2).log(), atol=1e-5)
        for row, caption in enumerate(captions):
            assert bool(shapes[row, DIM:].any()) == (caption == MOVING)


def test_groups_of_bands_fill_the_frame_and_grow() -> None:
    edges = LevelModel(512, []).edges
    assert edges[0] == 0 and edges[-1] == 512
    widths = np.diff(edges)[:-1]
    assert widths.min() == 4 and (np.diff(widths) >= -1).all() and widths[-1] > 10


def test_a_level_is_met_exactly() -> None:
    model = fitted()[0]
    shapes, levels = model.split(latents(), [STILL] * 3)
    joined = model.join(0.5 * shapes, levels, [STILL] * 3)
    assert torch.allclose(joined.square().mean(dim=2), (2 * levels).exp(), rtol=1e-4)


def test_an_envelope_is_met_whatever_the_shape() -> None:
    model = fitted()[0]
    shapes, levels = model.split(latents(), [MOVING] * 3)
    shapes[:, :DIM] *= 1 + torch.rand(shapes[:, :DIM].shape, generator=torch.Generator().manual_seed(2))
    again, _ = model.split(model.join(shapes, levels, [MOVING] * 3), [MOVING] * 3)
    assert (again[:, DIM:] - shapes[:, DIM:]).abs().mean() < 0.1


def test_the_dynamic_range_of_what_moves_is_taken_out() -> None:
    model = fitted()[0]
    quiet = model.split(latents()[1:], [MOVING] * 2)[0][:, :DIM].square().mean(dim=1)
    assert quiet.min() > 0.9 and quiet.max() < 1.1
    assert model.split(latents()[1:], [STILL] * 2)[0][:, :DIM].square().mean(dim=1).min() < 1e-4


def test_motion_tells_noise_from_what_comes_and_goes() -> None:
    noise = torch.randn(1, 512, 300, generator=torch.Generator().manual_seed(0))
    assert motion_of(unit_bands(noise)[0]) < 0.01
    assert motion_of(unit_bands(noise * (1 + 4 * (torch.arange(300) % 50 < 5)))[0]) > 0.5


def test_padding_counts_for_nothing() -> None:
    model, given = fitted()[0], latents()
    padded = torch.nn.functional.pad(given, (0, 10), value=100.0)
    keep = torch.arange(50)[None].expand(3, -1) < 40
    shapes, levels = model.split(padded, [MOVING] * 3, keep)
    expected, right = model.split(given, [MOVING] * 3)
    assert torch.allclose(levels, right, atol=1e-5)
    assert torch.allclose(shapes[..., :40], expected, atol=1e-3)
    assert torch.isfinite(shapes).all()


def test_drawn_levels_have_mean_and_covariance_of_the_training() -> None:
    model, levels, captions = fitted()
    drawn = model.draw(captions, range(len(captions))).numpy()
    assert np.abs(drawn.mean(axis=0) - levels.mean(axis=0)).max() < 0.08
    for speed in "123":
        rows = [row for row, caption in enumerate(captions) if caption.endswith(f"{speed}.")]
        assert drawn[rows].mean() == pytest.approx(-5 + 0.5 * int(speed), abs=0.03)
        ends = drawn[rows][:, [0, -1]]
        assert np.corrcoef(ends.T)[0, 1] < -0.9  # the direction that was large
        assert ends.std(axis=0) == pytest.approx([0.3, 0.3], rel=0.2)


def test_the_remainder_of_new_clips_is_drawn_and_not_the_smaller_one_of_the_clips_that_were_fitted_to() -> None:
    random = np.random.default_rng(3)
    words = [f"w{number}" for number in range(40)]
    told = [frozenset(random.choice(words, 4, replace=False)) for _ in range(80)]
    noise = random.standard_normal((80, DIM))
    group = Group.fit(("fan",), noise, told, words, False, np.full((80, DIM), 3.0))
    left = noise - group.mean - np.array([group.features(clip) - group.centre for clip in told]) @ group.slopes
    drawn = group.scores @ group.directions
    spread = np.sqrt(np.square(drawn).mean(axis=0) + np.square(group.rest)).mean()
    assert left.std() < 0.85 and spread == pytest.approx(1, abs=0.08)


def test_a_remainder_is_that_of_clips_with_the_same_words() -> None:
    random = np.random.default_rng(4)
    told = [frozenset([word]) for word in ("steady", "erratic") * 60]
    size = np.array([0.1 if "steady" in clip else 1.0 for clip in told])
    levels = size[:, None] * random.standard_normal((120, 1)) * np.ones(DIM) + (size[:, None] == 1) * 0.5
    group = Group.fit(("fan",), levels, told, ("steady", "erratic"), False, np.full((120, DIM), 3.0))
    for word, wanted in (("steady", 0.1), ("erratic", 1.0)):
        drawn = np.stack([group.draw(frozenset([word]), random) for _ in range(400)]).mean(axis=1)
        assert drawn.std() == pytest.approx(wanted, rel=0.25)
        assert drawn.mean() == pytest.approx(0.5 * (word == "erratic"), abs=0.25)


def tonal(share: float) -> LevelModel:
    """A model of fans whose band 20 has nothing but a tone of so large a share of its power."""
    levels = np.zeros((30, DIM)) + 0.01 * np.random.default_rng(5).standard_normal((30, DIM))
    levels[:, 20] = -0.5 * np.log(1 - share)
    kurtosis = np.full((30, DIM), 3.0)
    kurtosis[:, 20] = 3 - 1.5 * share**2
    groups = [("fan", "normal")] * 30
    return LevelModel.fit(levels, [STILL] * 30, groups, ["x"], np.zeros(30), kurtosis)


@pytest.mark.parametrize(("share", "wanted"), [(0.9, np.pi / 2), (0.5, 3 - 2 * 0.25)])
def test_bands_that_stand_out_as_tones_vary_less_than_noise(share: float, wanted: float) -> None:
    model = tonal(share)
    levels = torch.from_numpy(model.draw([STILL], [0]).numpy())
    shapes = torch.zeros(1, model.shape_dim, 20_000)
    shapes[:, :DIM] = torch.randn(1, DIM, 20_000, generator=torch.Generator().manual_seed(6))
    joined = model.join(shapes, levels, [STILL])
    found = kurtosis_of(unit_bands(joined)[0])[0]
    assert found[20] == pytest.approx(wanted, abs=0.1)
    assert np.delete(found, 20) == pytest.approx(np.full(DIM - 1, 3.0), abs=0.25)
    again, level = model.split(joined, [STILL])
    assert torch.allclose(level, levels, atol=1e-4)
    assert torch.allclose(again[:, 20] / again[:, 20].std(), shapes[:, 20] / shapes[:, 20].std(), atol=0.02)
    rejoined = model.join(again, level, [STILL])
    assert torch.allclose(rejoined, joined, rtol=1e-3, atol=1e-4)


def test_tones_beside_silence_and_padding_can_be_split_and_joined() -> None:
    model, given = tonal(0.9), latents()[:1]
    given[:, 20] = 3 * torch.sin(torch.arange(40) * 1.1)
    given[:, 30], given[:, :, 5] = 0.0, 0.0
    shapes, levels = model.split(given, [STILL])
    assert torch.isfinite(shapes).all()
    error = (model.join(shapes, levels, [STILL]) - given).abs().amax(dim=2)
    assert bool((error <= 2e-3 * given.square().mean(dim=2).sqrt() + 1e-7).all())
    padded = torch.nn.functional.pad(given, (0, 10), value=100.0)
    kept, _ = model.split(padded, [STILL], torch.arange(50)[None] < 40)
    assert torch.allclose(kept[..., :40], shapes, atol=1e-3)


def test_bands_that_stand_out_and_are_noise_stay_noise() -> None:
    levels = np.zeros((30, DIM))
    levels[:, 20] = 1.0
    group = Group.fit(("fan",), levels, [frozenset("x")] * 30, ["x"], False, np.full((30, DIM), 3.0))
    assert group.exponents(levels[0]) == pytest.approx(np.ones(DIM), abs=1e-6)


def test_a_level_depends_on_caption_and_seed_alone() -> None:
    model, _, captions = fitted()
    both = model.draw(captions[:2], [7, 8])
    assert torch.equal(model.draw(captions[1:2], [8])[0], both[1])
    assert not torch.equal(model.draw(captions[:1], [8])[0], both[0])
    assert torch.equal(model.draw(["valve anomalous"], [7]), model.draw(["An ANOMALOUS valve, speed 3."], [7]))


def test_what_the_network_is_told_is_standard() -> None:
    model, levels, captions = fitted()
    told = model.conditions(torch.from_numpy(levels), captions)
    assert told.shape == (len(levels), CONDITIONS) and told.dtype == torch.float32
    assert torch.allclose(told.mean(dim=0), torch.zeros(CONDITIONS), atol=1e-3)
    assert torch.allclose(told.std(dim=0), torch.ones(CONDITIONS), atol=1e-2)


def test_a_caption_of_no_known_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"'An anomalous fan\.' tells of no machine .* fan normal; valve anomalous"):
        fitted()[0].draw(["An anomalous fan."], [0])


def test_numbers_and_names_are_words() -> None:
    assert words_of("At 0.05, amid m-n W: 1.5.") == {"at", "0.05", "amid", "m-n", "w", "1.5"}


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, _, captions = fitted()
    model.save(tmp_path)
    loaded = LevelModel.load(tmp_path / FILE)
    assert loaded.identity == model.identity != fitted(seed=1)[0].identity
    assert torch.allclose(loaded.draw(captions, range(400)), model.draw(captions, range(400)), atol=2e-2)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model = fitted()[0]
    model.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    other_shape = whole.replace(b'"F16","shape":[3,64]', b'"F16","shape":[64,3]')
    assert other_shape != whole
    for damaged in (b"", whole[:-100], other_shape):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(UserError, match="expected the levels of a trained generator"):
            LevelModel.load(tmp_path / FILE)


def test_a_codec_of_other_width_is_refused() -> None:
    with pytest.raises(UserError, match="100 values a frame, expected a multiple of 16"):
        LevelModel(100, [])
