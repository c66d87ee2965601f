from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.compact import training as module
from asdbench.generators.mimii_gen.compact.examples import Examples
from asdbench.generators.mimii_gen.compact.learning import learn_compact
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.compact.settings import CompactSettings
from asdbench.generators.mimii_gen.compact.training import Trained, train
from asdbench.generators.mimii_gen.training import notes

SETTINGS = CompactSettings(
    bands=16, clip_dim=4, frame_dim=2, width=8, seconds=0.256, batch_size=4, steps=6, save_every=2, log_every=1
)


@pytest.fixture(scope="module")
def examples(machine_clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return Examples(machine_clips, SETTINGS.spectra, tmp_path_factory.mktemp("spectra"))


@pytest.fixture(autouse=True)
def _few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are not about the calibration, which takes longer than their steps."""
    monkeypatch.setattr("asdbench.generators.mimii_gen.compact.calibration._CLIPS", 2)
    monkeypatch.setattr(notes, "_SECONDS_BETWEEN", 0.0)


def run(examples: Examples, work: Path, settings: CompactSettings = SETTINGS, **other: Any) -> Trained:
    arguments: dict[str, Any] = {"seed": 0, "device": torch.device("cpu"), "clips_id": "machines"} | other
    return train(examples, settings, work, **arguments)


def losses(trained: Trained) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in trained.history]


def same_weights(one: Trained, other: Trained) -> bool:
    theirs = other.network.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.network.state_dict().items())


def test_equal_seeds_give_equal_losses_and_weights_and_others_do_not(examples: Examples, tmp_path: Path) -> None:
    torch.manual_seed(4)  # the global state is of no influence
    one = run(examples, tmp_path / "a")
    torch.manual_seed(5)
    same, other = run(examples, tmp_path / "b"), run(examples, tmp_path / "c", seed=1)
    assert losses(one) == losses(same) and same_weights(one, same)
    assert losses(one) != losses(other)
    assert [row["step"] for row in one.history] == [1, 2, 3, 4, 5, 6]
    assert set(one.history[0]) == {"step", "nll", "frame_information", "clip_information", "lines", "seconds"}


@pytest.mark.parametrize("step", [3, 4])
def test_an_interrupted_training_ends_as_if_it_had_not_been(examples: Examples, tmp_path: Path, step: int) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done == step and note.startswith("nll"):
            raise KeyboardInterrupt

    whole = run(examples, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(examples, tmp_path / "parts", progress=stop)
    notes: list[str] = []
    again = run(examples, tmp_path / "parts", progress=lambda done, total, note: notes.append(note))
    assert any("going on from" in note and f"step-{step:08d}" in note for note in notes)
    assert losses(again) == losses(whole) and same_weights(again, whole)
    assert same_weights(run(examples, tmp_path / "parts"), whole)  # one that has ended is loaded


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(self: Any, *batch: Any) -> Any:
        if self.now.step == 5:
            raise KilledError
        return step(self, *batch)

    whole, step = run(examples, tmp_path / "whole"), module._Training._step
    with monkeypatch.context() as patch:
        patch.setattr(module._Training, "_step", die)
        with pytest.raises(KilledError):
            run(examples, tmp_path / "parts")
    assert sorted(path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()) == [
        "step-00000002",
        "step-00000004",
    ]
    again = run(examples, tmp_path / "parts")
    assert losses(again) == losses(whole) and same_weights(again, whole)


def test_a_codec_is_calibrated_once(examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(network: CompactNetwork, *others: Any) -> None:
        calls.append(len(calls))
        calibrate(network, *others)

    calibrate = module.calibrate
    monkeypatch.setattr(module, "calibrate", counted)
    first = run(examples, tmp_path)
    assert calls == [0] and not torch.equal(first.network.calibration, torch.ones(SETTINGS.bands))
    assert same_weights(run(examples, tmp_path), first) and calls == [0]
    (kept,) = tmp_path.glob("calibration-*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert same_weights(run(examples, tmp_path), first) and calls == [0, 1]  # a damaged one is made anew
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("checkpoints"))
    assert not same_weights(run(examples, other, seed=1), first) and calls == [0, 1, 2]  # of other weights


def test_another_training_in_the_same_folder_is_refused(examples: Examples, tmp_path: Path) -> None:
    run(examples, tmp_path)
    with pytest.raises(UserError, match=r"learning_rate 0\.0015, now 0\.0001"):
        run(examples, tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e-4))
    with pytest.raises(UserError, match="begun with other clips"):
        run(examples, tmp_path, clips_id="others")
    with pytest.raises(UserError, match="seed 0, now 1"):
        run(examples, tmp_path, seed=1)
    run(examples, tmp_path, dataclasses.replace(SETTINGS, save_every=1, log_every=3))


def test_a_loss_that_is_not_finite_stops_the_training(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: Examples, size: int, frames: int, *name: str | int) -> Any:
        chosen, segments = draw(self, size, frames, *name)
        return chosen, segments * float("nan") if name[-1] == 4 else segments

    draw = Examples.draw
    monkeypatch.setattr(Examples, "draw", poisoned)
    sentence = r"the loss is not finite at step 5 \(nll nan.*; the last good checkpoint is kept in .*step-00000004"
    with pytest.raises(UserError, match=sentence):
        run(examples, tmp_path)


def test_a_clip_that_is_shorter_than_a_segment_is_named(examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"00\.wav: the clip lasts 2\.200 s, shorter than the segments of 3\.008 s"):
        run(examples, tmp_path, dataclasses.replace(SETTINGS, seconds=3.0))


def test_the_loss_falls(examples: Examples, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=60, warmup_steps=5, learning_rate=5e-3, log_every=10, save_every=99)
    history = run(examples, tmp_path, settings).history
    assert history[-1]["nll"] < history[0]["nll"] - 0.1


def test_too_few_clips_are_counted(machine_clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a compact codec is trained on at least 8 clips, found 7"):
        learn_compact(
            machine_clips.select(range(7)),
            SETTINGS,
            work=tmp_path,
            cache=tmp_path,
            seed=0,
            device=torch.device("cpu"),
            weights="float32",
            progress=lambda done, total, note: None,
        )
