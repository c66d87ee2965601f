"""Contract tests that the author of a plugin runs on their own class, from pytest or with ``asdbench check``.

Example::

    def test_contract():
        asdbench.testing.check_detector(MyDetector, k=3)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import audio
from asdbench.blind import checked_scores, hidden_copies
from asdbench.clips import LABELS, ClipSet
from asdbench.errors import PluginError
from asdbench.generation import checked_waveform, json_values
from asdbench.plugins import Dataset, Detector, GeneratedClip, Generator, Plugin, Request
from asdbench.seeding import derive_rng
from asdbench.state import StateError, load_state, save_state

Check = tuple[str, Callable[[], None]]
"""What is checked, in words, and the check; it raises AssertionError."""


def check_detector(detector: type[Detector], **settings: Any) -> None:
    """Check that a detector keeps the contract.

    Args:
        detector: the class.
        **settings: its settings; choose small ones, the clips are few and short.

    Raises:
        AssertionError: says which part of the contract is broken.
    """
    _run(detector_checks(detector, settings))


def check_generator(generator: type[Generator], **settings: Any) -> None:
    """Check that a generator keeps the contract; see `check_detector`."""
    _run(generator_checks(generator, settings))


def check_dataset(dataset: type[Dataset], **settings: Any) -> None:
    """Check that a dataset keeps the contract; see `check_detector`."""
    _run(dataset_checks(dataset, settings))


def checks_for(plugin: type[Plugin], settings: dict[str, Any]) -> Iterator[Check]:
    """The checks for a plugin of any kind."""
    if issubclass(plugin, Detector):
        return detector_checks(plugin, settings)
    if issubclass(plugin, Generator):
        return generator_checks(plugin, settings)
    assert issubclass(plugin, Dataset)
    return dataset_checks(plugin, settings)


def example_clips(
    folder: Path, normal: int = 12, anomaly: int = 4, split: str = "train", seed: int = 0, sample_rate: int = 16000
) -> ClipSet:
    """Write a few short clips of an imaginary machine, of different lengths (0.5 to 0.9 s), and return them.

    Normal clips are a hum in noise; anomalous clips have a loud whistle besides.
    """
    rows = []
    for index in range(normal + anomaly):
        condition = "normal" if index < normal else "anomaly"
        domain = "source" if index % 3 else "target"
        rng = derive_rng(seed, "example", split, index)
        time = np.arange(int(rng.uniform(0.5, 0.9) * sample_rate)) / sample_rate
        wave = 0.1 * np.sin(2 * np.pi * rng.uniform(115, 125) * time) + 0.02 * rng.standard_normal(len(time))
        if condition == "anomaly":
            wave += 0.2 * np.sin(2 * np.pi * rng.uniform(2500, 3500) * time)
        clip_id = f"example/{split}/section_00_{domain}_{split}_{condition}_{index:04d}_vel_{index % 2}.wav"
        path = folder / clip_id
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, wave, sample_rate)
        labels = (clip_id, str(path), "example", "00", domain, split, condition, {"vel": str(index % 2)})
        rows.append(dict(zip(LABELS, labels, strict=True)))
    return ClipSet.from_files(rows, sample_rate)


def detector_checks(detector: type[Detector], settings: dict[str, Any]) -> Iterator[Check]:
    """The parts of a detector's contract; each may rely on those before it."""
    with tempfile.TemporaryDirectory(prefix="asdbench-") as name:
        folder = Path(name)
        train = example_clips(folder, anomaly=0)
        hidden = folder / "hidden"
        hidden.mkdir()
        test = hidden_copies(example_clips(folder, 6, 4, "test"), hidden)
        scores: dict[str, npt.NDArray[np.float64]] = {}

        def fitted(seed: int = 7) -> Detector:
            instance = detector(**settings)
            instance.seed = seed
            instance.fit(train)
            return instance

        def aligned() -> None:
            scores["all"] = checked_scores(fitted().score(test), len(test))

        def reproducible() -> None:
            _assert_close(scores["all"], fitted().score(test), "two fits with the same seed give different scores", 0.0)

        def restored() -> None:
            instance = fitted()
            for times in ("", " a second time"):  # who loads a detector may save it again
                state_folder = folder / f"state{times}"
                state_folder.mkdir()
                try:
                    save_state(instance.get_state(), state_folder)
                except StateError as error:
                    raise AssertionError(str(error)) from None
                instance = detector(**settings)
                instance.seed = 7
                instance.set_state(load_state(state_folder))
                _assert_close(scores["all"], instance.score(test), f"scores differ after save and load{times}", 0.0)

        def order_free() -> None:
            order = np.arange(len(test))[::-1]
            again = checked_scores(fitted().score(test.select(order)), len(test))
            _assert_close(scores["all"], again[order], "scores depend on the order of the clips")

        def batch_free() -> None:
            instance = fitted()
            parts = [checked_scores(instance.score(test.select([index])), 1)[0] for index in range(len(test))]
            _assert_close(scores["all"], np.array(parts), "scores depend on what is scored together")

        def telling() -> None:
            assert np.ptp(scores["all"]) > 0, "all clips have the same score"

        yield from _settings_checks(detector, settings)
        yield "fits on normal clips of any length and gives one finite score a clip", aligned
        yield "different clips have different scores", telling
        yield "the same seed gives the same scores", reproducible
        yield "scores are the same after save and load", restored
        yield "scores do not depend on the order of the clips", order_free
        yield "scores do not depend on what is scored together", batch_free


def generator_checks(generator: type[Generator], settings: dict[str, Any]) -> Iterator[Check]:
    """The parts of a generator's contract; each may rely on those before it."""
    with tempfile.TemporaryDirectory(prefix="asdbench-") as name:
        folder = Path(name)
        pool = example_clips(folder, 12, 8, "test")
        wanted = example_clips(folder, 0, 4, "test", seed=1).frame.drop(columns=["path", "content_hash"])
        made: dict[str, list[GeneratedClip]] = {}

        def make(rows: Any, seed: int = 7) -> list[GeneratedClip]:
            instance = generator(**settings)
            instance.seed = seed
            return list(instance.generate(Request(rows.reset_index(drop=True), pool, 16000)))

        def aligned() -> None:
            made["all"] = make(wanted)
            assert len(made["all"]) == len(wanted), f"{len(made['all'])} clips made, {len(wanted)} asked for"
            for index, clip in enumerate(made["all"]):
                checked_waveform(clip, index, 16000)

        def explained() -> None:
            for clip in made["all"]:
                assert clip.provenance, "a clip has no provenance"
                try:
                    json_values(clip.provenance)
                except PluginError as error:
                    raise AssertionError(str(error)) from None

        def reproducible() -> None:
            _assert_same(made["all"], make(wanted), "the same seed gives other clips")

        def row_free() -> None:
            if generator.independent_rows:
                _assert_same(made["all"][1:3], make(wanted.iloc[1:3]), "a clip depends on what is made beside it")

        def seeded() -> None:
            differs = any(
                len(a.waveform) != len(b.waveform) or not np.array_equal(a.waveform, b.waveform)
                for a, b in zip(made["all"], make(wanted, seed=8), strict=True)
            )
            assert differs, "another seed gives the same clips"

        yield from _settings_checks(generator, settings)
        yield "makes one finite mono clip for each row", aligned
        yield "each clip has a provenance of JSON values", explained
        yield "the same seed gives the same clips", reproducible
        yield "another seed gives other clips", seeded
        yield "a clip does not depend on what is made beside it", row_free


def dataset_checks(dataset: type[Dataset], settings: dict[str, Any]) -> Iterator[Check]:
    """The parts of a dataset's contract; each may rely on those before it."""
    with tempfile.TemporaryDirectory(prefix="asdbench-") as name:
        instance = dataset(**settings)
        sets: dict[str, ClipSet] = {}

        def machines() -> None:
            names = instance.machines()
            assert names, "machines() returned nothing"
            assert names == sorted(set(names)), f"machines() returned {names}, expected sorted names"

        def clips() -> None:
            for machine in instance.machines():
                folder = Path(name) / "first" / machine
                folder.mkdir(parents=True)
                table = instance.clips(machine, folder)
                sets[machine] = ClipSet.from_files(table, instance.sample_rate, instance.channel)
                assert (sets[machine].frame["machine"] == machine).all(), "clips of another machine are listed"

        def repeatable() -> None:
            for machine, before in sets.items():
                folder = Path(name) / "second" / machine
                folder.mkdir(parents=True)
                table = dataset(**settings).clips(machine, folder)
                again = ClipSet.from_files(table, instance.sample_rate, instance.channel)
                assert list(again.frame["clip_id"]) == list(before.frame["clip_id"]), "the order of clips changes"
                assert list(again.frame["content_hash"]) == list(before.frame["content_hash"]), "the audio changes"

        yield from _settings_checks(dataset, settings)
        yield "machines are sorted names", machines
        yield "clips have all labels and readable audio", clips
        yield "a second listing gives the same clips", repeatable


def _settings_checks(plugin: type[Plugin], settings: dict[str, Any]) -> Iterator[Check]:
    def round_trip() -> None:
        before = plugin(**settings).settings()
        after = plugin(**before).settings()
        assert after == before, f"settings change when they are stored: {before} becomes {after}"

    def documented() -> None:
        assert plugin.summary(), "the class has no docstring; its first line is shown by `asdbench list`"

    yield "has a docstring", documented
    yield "settings survive being stored", round_trip


def _run(checks: Iterator[Check]) -> None:
    for what, check in checks:
        try:
            check()
        except PluginError as error:
            raise AssertionError(f"{what}: {error}") from error


def _assert_close(expected: Any, found: Any, message: str, tolerance: float = 1e-6) -> None:
    expected, found = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    # Libraries choose other kernels for other batch sizes; the scale of the differences is that of single precision.
    allowed = tolerance * np.maximum(np.abs(expected), np.abs(expected).max(initial=0.0))
    difference = np.abs(expected - found)
    assert (difference <= allowed).all(), f"{message} (by up to {difference.max():.3g})"


def _assert_same(expected: list[GeneratedClip], found: list[GeneratedClip], message: str) -> None:
    assert len(expected) == len(found), f"{message} ({len(found)} instead of {len(expected)})"
    for first, second in zip(expected, found, strict=True):
        assert len(first.waveform) == len(second.waveform), f"{message} (lengths differ)"
        _assert_close(first.waveform, second.waveform, message, 1e-5)
