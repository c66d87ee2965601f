from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.conditioning.text import TextEncoder
from asdbench.generators.mimii_gen.training.batches import (
    CLIP_DRAWS,
    Batches,
    Clip,
    ahead,
    caption_states,
    collate,
    cut,
    timesteps_of_step,
)
from asdbench.generators.mimii_gen.training.examples import Draws, Example, examples_id, split_examples

TENSORS = ("codes", "keep", "noise", "timesteps", "clip_noise", "clip_timesteps", "drop")
SPACE: Any = SimpleNamespace(channels=16, height=8)


def example(number: int, machine: str = "fan", condition: str = "normal", caption: str | None = None) -> Example:
    return Example(f"hash{number:04d}", f"{number}.wav", machine, condition, caption or f"{condition} {machine}")


class Cache:
    """Codes whose values give the clip (codebook 0) and the frame (codebook 1)."""

    def __init__(self, lengths: Sequence[int], clip_dim: int = 0) -> None:
        self._lengths, self.codec = lengths, SimpleNamespace(clip_dim=clip_dim)

    def codes(self, content_hash: str) -> np.ndarray[Any, Any]:
        number = int(content_hash[4:])
        length = self._lengths[number]
        return np.stack([np.full(length, number), np.arange(length) + 1]).astype(np.uint16)


def make_batches(
    examples: Sequence[Example], lengths: Sequence[int], seed: int = 0, dropout: float = 0.0, **other: Any
) -> Batches:
    settings = {"num_frames": 12, "num_timesteps": 1000, "batch_size": 8, "captions": None} | other
    cache: Any = Cache(lengths, settings.pop("clip_dim", 0))
    return Batches(
        examples, Draws(examples, "none", seed), cache, SPACE, caption_dropout=dropout, seed=seed, **settings
    )


# -- which clips validate


def test_a_clip_stays_on_its_side_when_others_come_and_whatever_the_order() -> None:
    few = [example(number) for number in range(200)]
    many = few + [example(number) for number in range(200, 2000)]
    train, held_out = split_examples(many[::-1], 0.1)
    assert sorted(train + held_out) == many and 130 < len(held_out) < 270
    assert set(split_examples(few, 0.1)[1]) == set(held_out) & set(few)


def test_copies_of_a_clip_stay_together() -> None:
    clips = [example(number) for number in range(50)]
    copies = [Example(clip.content_hash, f"copy {clip.clip_id}", "fan", "normal", "other words") for clip in clips]
    train, held_out = split_examples(clips + copies, 0.3)
    assert not {clip.content_hash for clip in train} & {clip.content_hash for clip in held_out}


@pytest.mark.parametrize("share", [1e-9, 0.999])
def test_each_side_has_a_clip_where_there_are_two(share: float) -> None:
    for first in range(20):
        train, held_out = split_examples([example(first), example(first + 1)], share)
        assert len(train) == len(held_out) == 1
    assert split_examples([example(0)], share) == ([example(0)], [])


def test_no_share_holds_out_nothing_and_no_clips_are_an_error() -> None:
    assert split_examples([example(0), example(1)], 0.0)[1] == []
    with pytest.raises(UserError, match="no clips to train on"):
        split_examples([], 0.1)


def test_identity_of_examples_ignores_order_and_sees_captions() -> None:
    examples = [example(0), example(1)]
    assert examples_id(examples) == examples_id(examples[::-1])
    assert examples_id(examples) != examples_id([example(0), example(1, caption="other")])


# -- the order of draws


def test_without_balance_every_epoch_has_every_clip_once_in_another_order() -> None:
    draws = Draws([example(number) for number in range(30)], "none", seed=3)
    epochs = [[draws[place] for place in range(start, start + 30)] for start in (0, 30, 60)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [draws[place] for place in range(30)] != [
        Draws([example(n) for n in range(30)], "none", 4)[p] for p in range(30)
    ]


@pytest.mark.parametrize("balance", ["none", "condition", "caption"])
def test_a_draw_depends_on_its_place_alone(balance: Any) -> None:
    examples = [example(n, "fan" if n % 3 else "valve", "anomaly" if n % 5 == 0 else "normal") for n in range(40)]
    draws = Draws(examples, balance, seed=1)
    forwards = [draws[place] for place in range(300)]
    assert [Draws(examples, balance, seed=1)[place] for place in range(299, -1, -1)] == forwards[::-1]


def test_rare_anomalies_come_as_often_as_normal_clips_and_machines_equally() -> None:
    groups = {("fan", "normal"): 90, ("fan", "anomaly"): 7, ("valve", "normal"): 20, ("pump", "anomaly"): 3}
    labels = [label for label, count in groups.items() for _ in range(count)]
    examples = [example(number, *label) for number, label in enumerate(labels)]
    drawn = [Draws(examples, "condition", 0)[place] for place in range(3 * 2 * 630)]
    counts = Counter(labels[index] for index in drawn)
    assert counts == {
        ("fan", "normal"): 630,
        ("fan", "anomaly"): 630,
        ("valve", "normal"): 1260,
        ("pump", "anomaly"): 1260,
    }
    each = Counter(drawn)
    assert {each[index] for index, label in enumerate(labels) if label == ("fan", "normal")} == {7}
    assert {each[index] for index, label in enumerate(labels) if label == ("fan", "anomaly")} == {90}
    assert {labels[index][0] for index in drawn[:3]} == {"fan", "valve", "pump"}  # even within a batch


def test_captions_of_a_condition_come_equally_often() -> None:
    captions = ["fast"] * 8 + ["slow"] * 2 + ["worn"]
    conditions = ["normal"] * 10 + ["anomaly"]
    examples = [example(n, "fan", *pair) for n, pair in enumerate(zip(conditions, captions, strict=True))]
    draws = Draws(examples, "caption", 0)
    assert Counter(captions[draws[place]] for place in range(64)) == {"fast": 16, "slow": 16, "worn": 32}


# -- batches


def same(left: Any, right: Any) -> bool:
    return left.captions == right.captions and all(torch.equal(getattr(left, n), getattr(right, n)) for n in TENSORS)


@pytest.mark.parametrize("clip_dim", [0, 3])
def test_a_batch_is_its_parts_and_depends_on_seed_and_step_alone(clip_dim: int) -> None:
    examples = [example(number) for number in range(5)]
    batches = make_batches(examples, [30] * 5, dropout=0.5, clip_dim=clip_dim)
    whole = batches.make(7, range(8))
    again = make_batches(examples, [30] * 5, dropout=0.5, clip_dim=clip_dim)
    parts = [again.make(7, places) for places in (range(4), range(4, 8))]
    for name in TENSORS:
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))
    assert same(whole, batches.make(7, range(8)))
    assert not torch.equal(whole.noise, batches.make(8, range(8)).noise)
    assert not torch.equal(whole.noise, make_batches(examples, [30] * 5, seed=1).make(7, range(8)).noise)


def test_noise_is_standard_normal_and_its_own_for_each_example() -> None:
    batches = make_batches([example(0)], [12])
    noise = torch.cat([batches.make(step, range(8)).noise for step in range(20)])
    assert noise.shape == (160, 16, 8, 12) and noise.dtype == torch.float32
    assert abs(float(noise.mean())) < 4 / np.sqrt(noise.numel())
    assert abs(float(noise.std()) - 1) < 4 / np.sqrt(2 * noise.numel())
    correlation = torch.corrcoef(noise.reshape(160, -1)) - torch.eye(160)
    assert float(correlation.abs().max()) < 6 / np.sqrt(noise[0].numel())


def test_the_clip_latent_of_each_example_is_trained_at_levels_of_its_own_that_cover_the_range() -> None:
    batch = make_batches([example(0)], [12], clip_dim=3).make(0, range(8))
    assert batch.noise.shape == (8, 13, 8, 12)  # the rows of the clip latent are no part of the frames
    assert batch.clip_noise.shape == (8, 1 + CLIP_DRAWS, 3) and batch.clip_timesteps.shape == (8, CLIP_DRAWS)
    gaps = np.diff(np.sort(batch.clip_timesteps.numpy(), axis=1), axis=1)
    assert gaps.min() >= 1000 // CLIP_DRAWS - 1 and gaps.max() <= 1000 // CLIP_DRAWS + 1
    assert len({tuple(row) for row in batch.clip_timesteps.tolist()}) > 1
    assert len(batch.clip_noise.unique()) == batch.clip_noise.numel()


def test_timesteps_cover_the_range_in_every_step_and_are_uniform_over_steps() -> None:
    steps = np.stack([timesteps_of_step(0, step, 8, 1000) for step in range(4000)])
    assert steps.min() == 0 and steps.max() == 999
    gaps = np.diff(np.sort(steps, axis=1), axis=1)
    assert gaps.min() >= 124 and gaps.max() <= 126  # strata, up to rounding
    counts = np.histogram(steps[:, 3], bins=10, range=(0, 1000))[0]  # of one place of the batch
    assert np.all(np.abs(counts - 400) < 5 * np.sqrt(400 * 0.9))


def test_windows_of_longer_clips_begin_everywhere_and_shorter_clips_are_padded() -> None:
    examples = [example(0), example(1), example(2)]
    batches = make_batches(examples, [15, 12, 5])
    starts: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for step in range(40):
        batch = batches.make(step, range(8))
        assert batch.codes.shape == (8, 2, 12) and batch.codes.dtype == torch.int64
        for codes, keep in zip(batch.codes, batch.keep, strict=True):
            number, frames = int(codes[0, 0]), codes[1]
            length = int(keep.sum())
            assert length == min(12, [15, 12, 5][number])
            assert torch.equal(keep, torch.arange(12) < length)
            assert torch.equal(frames[:length], frames[0] + torch.arange(length)) and not codes[:, length:].any()
            starts[number].add(int(frames[0]) - 1)
    assert starts == {0: {0, 1, 2, 3}, 1: {0}, 2: {0}}


def test_captions_are_dropped_at_their_rate() -> None:
    examples = [example(0)]
    for rate, low, high in ((0.0, 0, 0), (0.1, 50, 114), (1.0, 800, 800)):
        batches = make_batches(examples, [12], dropout=rate)
        assert low <= sum(int(batches.make(step, range(8)).drop.sum()) for step in range(100)) <= high


def test_states_of_captions_in_a_batch_are_those_of_the_encoder(tiny_t5: Path) -> None:
    text = TextEncoder.load(str(tiny_t5))
    captions = ["a fan", "the anomalous sound of a valve with a fault", "a fan"]
    codes, noise = np.zeros((2, 3), np.int64), np.zeros((1, 1, 3), np.float32)
    still = np.zeros((2, 0), np.float32), np.zeros(1, np.int64)
    clips = [Clip(codes, 3, noise, 0, *still, False, caption) for caption in captions]
    found: Any = collate(clips, caption_states(text, captions))
    expected = text.encode(captions)
    assert torch.equal(found.embeddings.states, expected.states)
    assert torch.equal(found.embeddings.mask, expected.mask)


def test_cut() -> None:
    codes = np.arange(10, dtype=np.uint16).reshape(2, 5)
    window, length = cut(codes, 3, 1)
    assert window.tolist() == [[1, 2, 3], [6, 7, 8]] and length == 3 and window.dtype == np.int64
    window, length = cut(codes, 7, 0)
    assert window.tolist() == [[0, 1, 2, 3, 4, 0, 0], [5, 6, 7, 8, 9, 0, 0]] and length == 5


# -- making ahead


def test_ahead_keeps_the_order_and_makes_no_more_than_asked() -> None:
    made: list[int] = []

    def make(job: int) -> int:
        made.append(job)
        assert threading.current_thread() is not threading.main_thread()
        return job * job

    results = ahead(make, itertools.count(), depth=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.close()
    assert made == list(range(len(made))) and len(made) <= 7
    assert list(ahead(make, range(3), depth=5)) == [0, 1, 4]


def test_several_threads_keep_the_order() -> None:
    together = threading.Barrier(3, timeout=30)

    def make(job: int) -> int:
        together.wait()  # broken unless three are made at once
        return job * job

    assert list(ahead(make, range(9), depth=6, threads=3)) == [job * job for job in range(9)]


def test_what_fails_ahead_is_raised_where_it_is_used() -> None:
    def make(job: int) -> float:
        return 1 / (2 - job)

    results = ahead(make, range(5))
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
