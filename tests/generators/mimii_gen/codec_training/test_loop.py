from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.codec_training import loop
from asdbench.generators.mimii_gen.codec_training.loop import train
from asdbench.generators.mimii_gen.codec_training.settings import CodecSettings
from asdbench.generators.mimii_gen.codec_training.sound import Sound
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.training import notes

SETTINGS = CodecSettings(
    filters=4,
    causal=True,
    start="random",
    codebooks=4,
    codebook_size=16,
    seconds=0.128,
    batch_size=2,
    steps=6,
    learning_rate=1e-3,
    warmup_steps=2,
    adversarial_after=2,
    discriminator_below=100.0,
    discriminator_filters=2,
    save_every=2,
    log_every=1,
)


@pytest.fixture
def sound(make_clips):
    return Sound(make_clips(8000, 8000, 8000, 8000), SETTINGS.sample_rate, SETTINGS.segment_samples)


def run(sound: Sound, work: Path, settings: CodecSettings = SETTINGS, **other: Any) -> Any:
    arguments: dict[str, Any] = {"seed": 0, "device": torch.device("cpu"), "clips_id": "tones"} | other
    return train(sound, settings, work, **arguments)


def losses(trained):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in trained.history]


def same_weights(one, other):
    theirs = other.model.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.model.state_dict().items())


class Stop:
    """Presses Ctrl-C when a number of steps is done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, note: str) -> None:
        if done == self.step and "SNR" in note:
            raise KeyboardInterrupt


def stopped(sound, work, step, monkeypatch, settings=SETTINGS):
    monkeypatch.setattr(notes, "_SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(sound, work, settings, progress=Stop(step))


def test_equal_seeds_give_equal_losses_and_weights_and_others_do_not(sound, tmp_path):
    one, same, other = (run(sound, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert losses(one) == losses(same)
    assert same_weights(one, same)
    assert losses(one) != losses(other)
    assert [row["step"] for row in one.history] == [1, 2, 3, 4, 5, 6]
    assert "adversarial" not in one.history[1]
    assert {"waveform", "mel", "adversarial", "feature", "commitment", "snr"} <= set(one.history[2])
    assert any("discriminator" in row for row in one.history)


@pytest.mark.parametrize("step", [3, 4])
def test_an_interrupted_training_ends_as_if_it_had_not_been(sound, tmp_path, monkeypatch, step):
    whole = run(sound, tmp_path / "whole")
    stopped(sound, tmp_path / "parts", step, monkeypatch)
    again = run(sound, tmp_path / "parts")
    assert losses(again) == losses(whole)
    assert same_weights(again, whole)


def test_a_killed_training_goes_on_from_its_last_checkpoint(sound, tmp_path, monkeypatch):
    whole = run(sound, tmp_path / "whole")

    class KilledError(BaseException):
        pass

    def die(self, real, original=loop._Training._step):
        if self.now.step == 5:
            raise KilledError
        return original(self, real)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "_step", die)
        with pytest.raises(KilledError):
            run(sound, tmp_path / "parts")
    kept = sorted(path.name for path in (tmp_path / "parts" / "checkpoints").iterdir())
    assert kept == ["step-00000002", "step-00000004"]
    again = run(sound, tmp_path / "parts")
    assert losses(again) == losses(whole)
    assert same_weights(again, whole)


def test_an_interruption_within_a_step_saves_no_half_step(sound, tmp_path, monkeypatch):
    def interrupt(self, *arguments, **options):
        if self.now.step == 3:
            raise KeyboardInterrupt
        return _train_discriminator(self, *arguments, **options)

    _train_discriminator = loop._Training._train_discriminator
    settings = dataclasses.replace(SETTINGS, discriminator_share=1.0)
    whole = run(sound, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "_train_discriminator", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(sound, tmp_path / "parts", settings)
    assert [path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()] == ["step-00000002"]
    assert losses(run(sound, tmp_path / "parts", settings)) == losses(whole)


def test_another_training_in_the_same_folder_is_refused(sound, tmp_path):
    run(sound, tmp_path)
    changed = dataclasses.replace(SETTINGS, learning_rate=1e-4)
    with pytest.raises(UserError, match=r"learning_rate 0\.001, now 0\.0001"):
        run(sound, tmp_path, changed)
    with pytest.raises(UserError, match="begun with other clips"):
        run(sound, tmp_path, clips_id="others")
    with pytest.raises(UserError, match="seed 0, now 1"):
        run(sound, tmp_path, seed=1)
    run(sound, tmp_path, dataclasses.replace(SETTINGS, save_every=1, log_every=3))


def test_a_loss_that_is_not_finite_stops_the_training(sound, tmp_path, monkeypatch):
    def poisoned(self, *name):
        batch = original(self, *name)
        return batch * float("nan") if name == ("step", 4) else batch

    original = loop._Training._batch
    monkeypatch.setattr(loop._Training, "_batch", poisoned)
    sentence = r"waveform is not finite \(nan\) at step 5; the last good checkpoint is kept in .*step-00000004"
    with pytest.raises(UserError, match=sentence):
        run(sound, tmp_path)


def test_a_codec_of_tones_learns_and_round_trips_through_its_folder(sound, tmp_path):
    settings = dataclasses.replace(
        SETTINGS, steps=80, adversarial_after=70, batch_size=4, learning_rate=3e-3, log_every=20, save_every=200
    )
    trained = run(sound, tmp_path / "work", settings)
    first, last = trained.history[0], trained.history[-1]
    assert last["mel"] < 0.7 * first["mel"]
    assert last["snr"] > first["snr"] + 1
    trained.model.save_pretrained(tmp_path / "codec")
    codec = Codec.load(str(tmp_path / "codec"), None)
    assert (codec.sample_rate, codec.hop_length, codec.num_codebooks, codec.causal) == (16000, 128, 4, True)
    waveform = sound.batch(1, "unheard")
    codes = codec.encode(waveform)
    decoded = codec.decode(codec.latents(codes), waveform.shape[1])
    level = float(decoded.square().mean().sqrt() / waveform.square().mean().sqrt())
    assert 0.3 < level < 2  # at the level of the clips: the gain is in the weights
    with torch.no_grad():
        same = trained.model.decoder(trained.model.quantizer.decode(codes.transpose(0, 1)))[:, 0]
    torch.testing.assert_close(decoded, same, rtol=1e-4, atol=1e-6)


def test_a_discriminator_that_hears_nothing_has_no_say(sound, tmp_path):
    """Its losses count in steps before which its moving average, which begins at 2, is below the limit."""
    settings = dataclasses.replace(
        SETTINGS, steps=30, adversarial_after=3, discriminator_below=1.7, discriminator_share=1.0,
        discriminator_learning_rate=0.01, learning_rate=1e-5, discriminator_filters=8,
    )  # fmt: skip
    history = run(sound, tmp_path, settings).history
    average, counted = 2.0, 0
    for row in history:
        counts = row["step"] > 3 and average < 1.7
        assert ("adversarial" in row) == ("feature" in row) == counts
        assert ("discriminator" in row) == (row["step"] > 3)
        average = 0.9 * average + 0.1 * row.get("discriminator", average)
        counted += counts
    assert 0 < counted < 26


def test_while_it_has_no_say_the_codec_learns_as_without_it(sound, tmp_path):
    deaf = dataclasses.replace(SETTINGS, discriminator_below=1e-3)
    without = dataclasses.replace(SETTINGS, adversarial_weight=0.0, feature_weight=0.0)
    one, other = run(sound, tmp_path / "deaf", deaf), run(sound, tmp_path / "without", without)
    assert same_weights(one, other)
    assert any("discriminator" in row for row in one.history)
    assert not any("discriminator" in row for row in other.history)


@pytest.mark.parametrize("offset", [-2, -1, 2])
def test_the_average_that_decides_whether_it_counts_survives_an_interruption(sound, tmp_path, monkeypatch, offset):
    settings = dataclasses.replace(
        SETTINGS, steps=16, discriminator_below=1.9, discriminator_learning_rate=0.005, discriminator_filters=8
    )
    whole = run(sound, tmp_path / "whole", settings)
    first = next(row["step"] for row in whole.history if "adversarial" in row)
    trained_before = [row for row in whole.history if row["step"] <= first + offset and "discriminator" in row]
    assert trained_before and first + offset < settings.steps  # the average is on its way when the training stops
    stopped(sound, tmp_path / "parts", first + offset, monkeypatch, settings)
    again = run(sound, tmp_path / "parts", settings)
    assert losses(again) == losses(whole)
    assert same_weights(again, whole)


def test_a_lapped_start_begins_where_others_do_not_arrive(sound, tmp_path):
    usual = dataclasses.replace(SETTINGS, codebooks=16, batch_size=8, adversarial_after=9, steps=1)
    lapped = dataclasses.replace(usual, start="lapped", causal=False, filters=32)
    assert run(sound, tmp_path / "random", usual).history[0]["snr"] < 1
    assert run(sound, tmp_path / "lapped", lapped).history[0]["snr"] > 4
