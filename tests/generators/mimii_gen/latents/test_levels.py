from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.levels import CONDITIONS, FILE, LevelModel, motion_of, unit_bands, words_of

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
    assert torch.allclose(loaded.draw(captions, range(400)), model.draw(captions, range(400)), atol=1e-4)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model = fitted()[0]
    model.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (b"", whole[:-100], whole.replace(b'"F32","shape":[2,64]', b'"F32","shape":[1,64]')):
        (tmp_path / FILE).write_bytes(damaged)
        if damaged != whole:
            with pytest.raises(UserError, match="expected the levels of a trained generator"):
                LevelModel.load(tmp_path / FILE)


def test_a_codec_of_other_width_is_refused() -> None:
    with pytest.raises(UserError, match="100 values a frame, expected a multiple of 16"):
        LevelModel(100, [])
