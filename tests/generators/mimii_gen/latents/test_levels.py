from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.lapped_transform import LappedTransform
from asdbench.generators.mimii_gen.latents.levels import (
    CONDITIONS,
    FILE,
    Group,
    LevelModel,
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
            [np.zeros(0)] * (n + 20),
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
    left, spread = _remainders(estimated=False)
    assert left < 0.85 and spread == pytest.approx(1, abs=0.08)


def test_the_remainder_of_estimates_is_drawn_as_it_is() -> None:
    left, spread = _remainders(estimated=True)
    assert left < 0.85 and spread == pytest.approx(left, rel=0.02)


def _remainders(estimated: bool) -> tuple[float, float]:
    """Deviation of what a fit to white noise of unit power leaves, and of what is drawn."""
    random = np.random.default_rng(3)
    words = [f"w{number}" for number in range(40)]
    told = [frozenset(random.choice(words, 4, replace=False)) for _ in range(80)]
    noise = random.standard_normal((80, DIM))
    group = Group.fit(("fan",), noise, told, words, False, [], estimated=estimated)
    left = noise - group.mean - np.array([group.features(clip) - group.centre for clip in told]) @ group.slopes
    drawn = group.scores @ group.directions
    return float(left.std()), float(np.sqrt(np.square(drawn).mean(axis=0) + np.square(group.rest)).mean())


def test_a_remainder_is_that_of_clips_with_the_same_words() -> None:
    random = np.random.default_rng(4)
    told = [frozenset([word]) for word in ("steady", "erratic") * 60]
    size = np.array([0.1 if "steady" in clip else 1.0 for clip in told])
    levels = size[:, None] * random.standard_normal((120, 1)) * np.ones(DIM) + (size[:, None] == 1) * 0.5
    group = Group.fit(("fan",), levels, told, ("steady", "erratic"), False, [])
    for word, wanted in (("steady", 0.1), ("erratic", 1.0)):
        drawn = np.stack([group.draw(frozenset([word]), random) for _ in range(400)]).mean(axis=1)
        assert drawn.std() == pytest.approx(wanted, rel=0.25)
        assert drawn.mean() == pytest.approx(0.5 * (word == "erratic"), abs=0.25)


def test_tones_are_put_into_bands_that_stand_out_of_sounds_that_do_not_come_and_go() -> None:
    levels = np.zeros((40, DIM)) + 0.01 * np.random.default_rng(5).standard_normal((40, DIM))
    levels[:, 20] = 3.0
    groups = [("fan", "normal")] * 20 + [("valve", "anomalous")] * 20
    shares = [np.array([share]) for share in np.linspace(0.7, 0.92, 40)]
    motion = np.array([0.0] * 20 + [0.5] * 20)
    model = LevelModel.fit(levels, [STILL] * 20 + [MOVING] * 20, groups, ["x"], motion, shares)
    captions = [STILL, MOVING]
    drawn = model.draw(captions, [0, 1])
    shapes = torch.zeros(2, model.shape_dim, 400)
    shapes[:, :DIM] = torch.randn(2, DIM, 400, generator=torch.Generator().manual_seed(6))
    made = model.add_tones(shapes, drawn, captions, [0, 1], LappedTransform(DIM))
    assert torch.equal(made[1], shapes[1])
    far = [band for band in range(DIM) if abs(band - 20) > 8]
    unit = shapes[0, far] / shapes[0, far].std(dim=1, keepdim=True)
    assert torch.allclose(made[0, far, 2:-2], unit[:, 2:-2], atol=0.2)  # the window ends abruptly at both ends
    tone, noise = (float(each[0, 20].pow(4).mean() / each[0, 20].square().mean() ** 2) for each in (made, shapes))
    assert tone < 2.5 < noise  # the kurtosis of a cosine is 1.5, of noise 3
    assert torch.equal(model.add_tones(shapes[:1], drawn[:1], [STILL], [0], LappedTransform(DIM))[0], made[0])
    without = model.add_tones(shapes[:1], drawn[:1], [STILL], [0], LappedTransform(DIM), 0.0)
    assert torch.equal(without, shapes[:1])
    joined = model.join(made, drawn, captions)
    assert torch.allclose(unit_bands(joined)[1], drawn, atol=1e-3)


def damaged(bases: dict[tuple[str, ...], tuple[str, ...]]) -> tuple[LevelModel, list[str]]:
    """Fans whose level follows the speed, and damaged ones, with a line in one band, the stronger the severer."""
    random = np.random.default_rng(7)
    severity = {"slight": 0.4, "severe": 1.6}
    captions, groups, levels = [], [], []
    for number in range(400):
        speed, word = random.integers(1, 4), ("slight", "severe")[number % 2]
        anomalous = number % 4 >= 2
        level = -5 + 0.5 * speed + 0.15 * random.standard_normal(DIM)
        level[10 * speed] += 0.5 * np.log(1 + severity[word]) * anomalous
        captions.append(f"A {f'fan with a {word} fault sounds anomalous' if anomalous else 'normal fan'} at {speed}.")
        groups.append(("fan", "anomalous" if anomalous else "normal"))
        levels.append(level)
    vocabulary, nothing = ["1", "2", "3", "slight", "severe"], [np.zeros(0)] * 400
    model = LevelModel.fit(
        np.array(levels), captions, groups, vocabulary, np.zeros(400), nothing, bases=bases, scaling=severity
    )
    return model, captions


def test_anomalies_add_power_to_normal_clips_and_more_of_it_the_severer_they_are() -> None:
    model, _ = damaged({("fan", "anomalous"): ("fan", "normal"), ("fan", "normal"): ("fan", "normal")})
    for speed in (1, 2, 3):
        normal, slight, severe = (
            model.draw([f"{told} at {speed}." for told in (text,) * 300], range(300)).numpy().mean(axis=0)
            for text in ("A normal fan", "A fan with a slight fault is anomalous", "A severe anomalous fan")
        )
        assert normal == pytest.approx(np.full(DIM, -5 + 0.5 * speed), abs=0.1)
        wanted = [0.5 * np.log(1 + power) for power in (0.4, 1.6)]
        assert [(level - normal)[10 * speed] for level in (slight, severe)] == pytest.approx(wanted, abs=0.12)
        others = [band for band in range(DIM) if band != 10 * speed]
        assert np.abs((severe - normal)[others]).max() < 0.15


def test_anomalies_whose_normal_clips_are_unknown_are_told_by_themselves() -> None:
    model, captions = damaged({("fan", "anomalous"): ("pump", "normal")})
    told = [caption for caption in captions if "severe" in caption]
    assert all(group["names"] and "base" not in group for group in json.loads(model._words())["groups"])
    assert torch.isfinite(model.draw(told, range(len(told)))).all()


SPEEDS, SEVERITIES = ("1", "2", "3"), ("slight", "moderate", "severe")
NORMAL, ANOMALOUS = ("fan", "normal"), ("fan", "anomalous")
USUAL = -5.0
"""Level of the clips of `graded`."""


def graded(
    gains: Sequence[float],
    *,
    noise: float | np.ndarray = 0.15,
    words: Sequence[str] = SEVERITIES,
    values: Sequence[str] = (),
    silent: int = 0,
    scaling: Iterable[str] | None = None,
) -> tuple[LevelModel, list[str]]:
    """Fans at three speeds, and damaged ones, with a gain in dB of some bands that depend on speed, by severity.

    Args:
        gains: of each severity.
        noise: deviation of the level.
        words: for severities.
        values: of a load that changes nothing.
        silent: normal clips that are silent.
        scaling: see `LevelModel.fit`.
    """
    random = np.random.default_rng(11)
    captions, groups, levels = [], [], []
    for number in range(800):
        speed, anomalous, place = random.integers(3), number >= 400, random.integers(len(words))
        level = USUAL + noise * random.standard_normal(DIM)
        if anomalous:
            level[bands_of(speed)] += gains[place] * np.log(10) / 20
        elif number < silent:
            level[:] = -18
        load = f"of load {random.choice(values)}" if values else ""
        captions.append(caption(speed, words[place] if anomalous else None, load))
        groups.append(ANOMALOUS if anomalous else NORMAL)
        levels.append(level)
    model = LevelModel.fit(
        np.array(levels),
        captions,
        groups,
        [*SPEEDS, *words, *values],
        np.zeros(800),
        [np.zeros(0)] * 800,
        bases={ANOMALOUS: NORMAL},
        scaling=words if scaling is None else scaling,
    )
    return model, captions


def bands_of(speed: int) -> slice:
    return slice(20 * speed + 2, 20 * speed + 6)


def caption(speed: int, severity: str | None, load: str = "") -> str:
    state = "that is normal" if severity is None else f"with a {severity} fault that is anomalous"
    return f"A fan {load} {state} at {SPEEDS[speed]}"


def gains_of(model: LevelModel, words: Sequence[str] = SEVERITIES, load: str = "") -> np.ndarray:
    """Gain in dB where the fault is heard, shape (speeds, severities)."""
    group = model._group("fan anomalous")
    above = [
        [group.expected(words_of(caption(speed, word, load)))[bands_of(speed)].mean() - USUAL for word in words]
        for speed in range(3)
    ]
    return np.array(above) * 20 / np.log(10)


@pytest.mark.parametrize("gains", [(8, 12, 18), (4, 8, 12), (-4, -10, -14), (0.4, 1.1, 2.0)])
def test_faults_are_as_strong_as_they_were(gains: tuple[float, ...]) -> None:
    found = gains_of(graded(gains)[0])
    assert np.abs(found - gains).max() < (1 if abs(gains[0]) > 1 else 0.3)
    assert (np.abs(np.diff(found, axis=1)) > 0.3).all()


def test_faults_that_take_away_equally_much_are_equal() -> None:
    assert gains_of(graded((-10, -10, -10))[0]) == pytest.approx(np.full((3, 3), -10.0), abs=0.5)


def test_what_weak_faults_leave_is_not_fitted_to_noise() -> None:
    """Of the many words and pairs hardly any slope is left where power explains all."""
    model, _ = graded((0.4, 1.1, 2.0), values=[f"v{number}" for number in range(8)])
    group = model._group("fan anomalous")
    assert len(group.words) > 10 and len(group.pairs) > 30
    assert np.abs(group.slopes).max() < 0.05


def test_a_silent_clip_does_not_drown_severity() -> None:
    found = gains_of(graded((0.8, 1.5, 3.0), silent=1)[0])
    assert (np.diff(found, axis=1) > 0.3).all()


def test_variance_is_that_of_usual_clips() -> None:
    levels = USUAL + 0.2 * np.random.default_rng(15).standard_normal((200, DIM))
    levels[0] = -18
    group = Group.fit(("fan",), levels, [frozenset()] * 200, [], False, [])
    assert group.variance.mean() == pytest.approx(0.04, rel=0.1)


def test_normal_clips_that_vary_in_some_bands_leave_severity_in_order() -> None:
    noise = np.full(DIM, 0.1)
    for speed in range(3):
        noise[bands_of(speed)] = 0.8
    found = gains_of(graded((2, 5, 8), noise=noise)[0])
    assert (np.diff(found.mean(axis=0)) > 1).all()


def test_nothing_is_added_where_anomalies_are_as_normal_clips_are() -> None:
    model, _ = graded((0, 0, 0), noise=0.5)
    above = model._group("fan anomalous").above
    assert above is not None
    base, added = above
    assert base.variance == pytest.approx(np.full(DIM, 0.25), rel=0.4)
    assert added.constant.mean() == pytest.approx(0, abs=0.03)


def test_severity_of_two_words_is_a_phrase() -> None:
    words = ("barely audible", "audible", "severe")  # the first is not half of it
    model, _ = graded((0.5, 2.0, 2.0), words=words, scaling=("barely audible", "severe"))
    above = model._group("fan anomalous").above
    assert above is not None and above[1].scaling == (("audible", "barely"), ("severe",))
    found = gains_of(model, words)
    assert (found[:, 1] > found[:, 0] + 0.7).all()
    assert found[:, 1] == pytest.approx(found[:, 2], abs=0.6)


def test_remainders_are_those_of_the_severity() -> None:
    random = np.random.default_rng(12)
    told = [frozenset([word]) for word in ("slight", "severe") * 100]
    size = np.array([0.1 if "slight" in clip else 0.6 for clip in told])
    normal = Group.fit(("fan",), 0.1 * random.standard_normal((200, DIM)), [frozenset()] * 200, [], False, [])
    levels = size[:, None] * random.standard_normal((200, 1)) * np.ones(DIM)
    scaling = [("slight",), ("severe",)]
    group = Group.fit(("fan",), levels, told, ("slight", "severe"), False, [], base=normal, scaling=scaling)
    for word, wanted in (("slight", 0.1), ("severe", 0.6)):
        drawn = np.stack([group.draw(frozenset([word]), random) for _ in range(400)]).mean(axis=1)
        assert drawn.std() == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_remainders_of_anomalies_are_those_of_new_clips(strength: float) -> None:
    """Whether power explains the words' effect, or the regression of what that leaves."""
    random = np.random.default_rng(13)
    words = [f"w{number}" for number in range(40)]
    told = [frozenset(random.choice(words, 4, replace=False)) for _ in range(100)]
    has = np.array([[word in clip for word in words] for clip in told])
    normal = Group.fit(("fan",), 0.2 * random.standard_normal((2000, DIM)), [frozenset()] * 2000, [], False, [])
    effects = strength * random.standard_normal((40, DIM))
    levels = has @ effects + 0.2 * random.standard_normal((100, DIM))
    group = Group.fit(("fan",), levels, told, words, False, [], base=normal)
    new = [frozenset(random.choice(words, 4, replace=False)) for _ in range(400)]
    truth = np.array([[word in clip for word in words] for clip in new]) @ effects
    error = truth + 0.2 * random.standard_normal((400, DIM)) - np.array([group.expected(clip) for clip in new])
    drawn = np.sqrt((np.square(group.scores @ group.directions).mean(axis=0) + np.square(group.rest)).mean())
    assert 0.8 < drawn / error.std() < 1.05  # the error of the fit is not in it


def test_few_clips_vary_less_about_their_own_mean() -> None:
    levels = np.random.default_rng(14).standard_normal((4, DIM))
    group = Group.fit(("fan",), levels, [frozenset()] * 4, [], False, [])
    power = np.square(group.scores @ group.directions).mean(axis=0) + np.square(group.rest)
    assert power == pytest.approx(levels.var(axis=0, ddof=1), rel=1e-3)


def test_added_power_is_saved(tmp_path: Path) -> None:
    model, captions = damaged({("fan", "anomalous"): ("fan", "normal")})
    model.save(tmp_path)
    loaded = LevelModel.load(tmp_path / FILE)
    assert loaded.identity == model.identity
    assert torch.allclose(loaded.draw(captions, range(400)), model.draw(captions, range(400)), atol=2e-2)
    file = (tmp_path / FILE).read_bytes()
    for wrong in (
        file.replace(b'base\\": [\\"fan', b'base\\": [\\"fen'),
        file.replace(b'[[\\"severe', b'[[\\"s\\"], [\\"v'),
    ):
        assert wrong != file
        (tmp_path / FILE).write_bytes(wrong)
        with pytest.raises(UserError, match="expected the levels of a trained generator"):
            LevelModel.load(tmp_path / FILE)


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
