"""`asdbench train codec` from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import soundfile
import torch
from click.testing import CliRunner

from asdbench import UserError, plugins
from asdbench.cli import main
from asdbench.generators.mimii_gen.codec_training.settings import CodecSettings
from asdbench.generators.mimii_gen.compact import training
from asdbench.generators.mimii_gen.compact.codec import CompactCodec
from asdbench.generators.mimii_gen.compact.settings import CompactSettings
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.interface import load_codec
from asdbench.generators.mimii_gen.record import codec_clips

SMALL = {
    "start": "random",
    "causal": "true",
    "filters": 4,
    "codebooks": 3,
    "codebook_size": 8,
    "seconds": 0.128,
    "batch_size": 2,
    "steps": 4,
    "adversarial_after": 2,
    "discriminator_filters": 2,
    "log_every": 1,
}


def words(data, out="codec", **changes):
    found = ["train", "codec", "--data", data, "--out", out]
    for name, value in (SMALL | changes).items():
        found += ["--set", f"{name}={value}"]
    return found


TINY = {
    "preset": "compact",
    "bands": 16,
    "clip_dim": 4,
    "detail_dim": 2,
    "frame_dim": 2,
    "width": 8,
    "seconds": 0.256,
    "batch_size": 2,
    "steps": 4,
    "log_every": 1,
}


def compact_words(data, out="compact", **changes):
    found = ["train", "codec", "--data", data, "--out", out]
    for name, value in (TINY | changes).items():
        found += ["--set", f"{name}={value}"]
    return found


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command line in this process, in `tmp_path`: torch takes seconds to load."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *line: CliRunner().invoke(main, [str(word) for word in line])
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def refusal(command):
    def refused(*line):
        done = command(*line)
        assert done.exit_code == 2, done.output
        errors = [row for row in done.stderr.splitlines() if row.startswith("asdbench: error: ")]
        assert len(errors) == 1, done.stderr
        return errors[0]

    return refused


def losses(folder):
    return pd.read_csv(folder / "losses.csv").drop(columns="seconds")


def test_the_command_writes_a_codec_and_the_same_command_again_the_same(data_root, command, refusal, tmp_path):
    done = command(*words(data_root, weights="float16"))
    assert done.exit_code == 0, done.output
    assert "codec: the model; use it with `--set codec=codec --set bandwidth=null`" in done.stdout
    folder = tmp_path / "codec"
    codec = Codec.load(str(folder), None)
    assert (codec.sample_rate, codec.frame_rate, codec.num_codebooks) == (16000, 125, 3)
    waveforms = 0.1 * torch.randn(1, 1280, generator=torch.Generator().manual_seed(0))
    decoded = codec.decode(codec.latents(codec.encode(waveforms)))
    assert decoded.shape == waveforms.shape
    assert bool(torch.isfinite(decoded).all())
    about = json.loads((folder / "training.json").read_text())
    assert about["settings"]["steps"] == about["steps"] == 4
    assert about["bandwidth"] == 3 * 3 * 125 / 1000
    clips = pd.read_csv(folder / "training_clips.csv", dtype=str)
    assert len(clips) == about["clips"] == 40
    assert set(clips["machine"]) == {"fan", "pump"}
    first = losses(folder)
    assert list(first["step"]) == [1, 2, 3, 4]
    weights = (folder / "model.safetensors").read_bytes()
    assert command(*words(data_root, weights="float16")).exit_code == 0
    assert (folder / "model.safetensors").read_bytes() == weights
    pd.testing.assert_frame_equal(losses(folder), first)
    assert "begun with other settings: steps 4, now 5" in refusal(*words(data_root, steps=5))


def test_a_killed_training_goes_on(data_root, command, tmp_path):
    line = list(map(str, words(data_root, steps=30, save_every=1)))
    process = subprocess.Popen(
        [sys.executable, "-m", "asdbench", *line], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    checkpoints = tmp_path / "codec" / "training" / "checkpoints"
    while not list(checkpoints.glob("step-*")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "codec" / "config.json").exists()
    done = command(*words(data_root, steps=30, save_every=30))
    assert done.exit_code == 0, done.output
    assert "going on from" in done.stderr
    assert list(losses(tmp_path / "codec")["step"]) == list(range(1, 31))


def test_what_cannot_be_trained_is_said_in_one_sentence(data_root, refusal, tmp_path):
    (tmp_path / "empty" / "normal").mkdir(parents=True)
    sentence = refusal(*words(tmp_path / "empty"), "--dataset", "folder")
    assert "empty" in sentence
    sentence = refusal(*words(data_root, seconds=2))
    assert "the clip lasts 0.500 s, shorter than the segments of 2.000 s" in sentence
    assert "codebooks=0" in refusal(*words(data_root, codebooks=0))
    (tmp_path / "taken").mkdir()
    soundfile.write(tmp_path / "taken" / "mine.wav", [0.0, 0.1], 16000)
    assert "holds other files" in refusal(*words(data_root, "taken"))
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.wav"]
    assert "either --data (a folder) or --spec" in refusal("train", "codec", "--out", "codec")
    assert "nothing named 'codek' to train; did you mean 'codec'?" in refusal("train", "codek")
    assert "did you mean 'steps'" in refusal(*words(data_root), "--set", "step=1")
    assert not (tmp_path / "codec" / "config.json").exists()


def test_the_part_is_listed_with_its_settings_and_torch_is_not_needed_for_it(command):
    shown = command("list", "codec").stdout
    assert shown.startswith("part codec")
    for name in plugins.parts.get("codec").setting_names():
        assert f"\n  {name} (" in shown
    assert "\n  codec " in command("list").stdout.split("parts:")[1]
    assert "codec" in command("train", "--help").stdout
    code = "import sys; from asdbench import plugins; plugins.parts.get('codec')(); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_preset_compact_writes_a_compact_codec_and_the_same_command_again_the_same(
    data_root, command, refusal, tmp_path
):
    done = command(*compact_words(data_root, weights="float16"))
    assert done.exit_code == 0, done.output
    assert "compact: the model; use it with `--set codec=compact` for mimii_gen\n" in done.stdout
    folder = tmp_path / "compact"
    codec = load_codec(str(folder), 24.0)
    assert isinstance(codec, CompactCodec)
    assert (codec.sample_rate, codec.frame_rate, codec.clip_dim) == (16000, 16000 / 1024, 6)
    waveforms = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    decoded = codec.decode(codec.latents(codec.encode(waveforms)), 8000)
    assert decoded.shape == waveforms.shape
    assert bool(torch.isfinite(decoded).all())
    about = json.loads((folder / "training.json").read_text())
    assert about["settings"]["steps"] == about["steps"] == 4
    assert about["settings"]["sample_rate"] == 16000 and about["settings"]["learning_rate"] == 1.5e-3
    assert about["clip_latent"] == 6 and 1 <= about["frame_latent"] <= 2
    clips = pd.read_csv(folder / "training_clips.csv", dtype=str)
    assert len(clips) == about["clips"] == 40
    pd.testing.assert_frame_equal(codec_clips(str(folder)), clips)
    first = losses(folder)
    assert list(first["step"]) == [1, 2, 3, 4]
    weights = next(folder.glob("*.safetensors")).read_bytes()
    assert command(*compact_words(data_root, weights="float16")).exit_code == 0
    assert next(folder.glob("*.safetensors")).read_bytes() == weights
    pd.testing.assert_frame_equal(losses(folder), first)
    assert "begun with other settings: steps 4, now 5" in refusal(*compact_words(data_root, steps=5))


def test_a_codec_in_half_precision_is_the_one_that_a_training_used(data_root, command, tmp_path):
    assert command(*compact_words(data_root, "whole")).exit_code == 0
    assert command(*compact_words(data_root, "half", weights="float16")).exit_code == 0
    whole, half = (load_codec(str(tmp_path / name), None) for name in ("whole", "half"))
    assert whole.identity != half.identity
    assert CompactCodec(whole.model.half().float()).identity == half.identity


def test_an_interrupted_training_of_a_compact_codec_ends_with_equal_bytes(data_root, command, tmp_path, monkeypatch):
    assert command(*compact_words(data_root, "whole")).exit_code == 0

    def interrupt(self, *arguments):
        if self.now.step == 2:
            raise KeyboardInterrupt
        return step(self, *arguments)

    step = training._Training._step
    with monkeypatch.context() as patch:
        patch.setattr(training._Training, "_step", interrupt)
        assert command(*compact_words(data_root, "parts", save_every=1)).exit_code != 0
    assert not (tmp_path / "parts" / "config.json").exists()
    assert command(*compact_words(data_root, "parts", save_every=1)).exit_code == 0
    first, second = (next((tmp_path / name).glob("*.safetensors")).read_bytes() for name in ("whole", "parts"))
    assert first == second
    pd.testing.assert_frame_equal(losses(tmp_path / "whole"), losses(tmp_path / "parts"))


def test_what_a_compact_codec_cannot_be_trained_on_is_said_in_one_sentence(write_machine, refusal, tmp_path):
    write_machine(tmp_path / "few", "fan", train=5, normal=1, anomaly=1)
    sentence = refusal(*compact_words(tmp_path / "few"))
    assert "a compact codec is trained on at least 8 clips, found 7" in sentence
    write_machine(tmp_path / "short", "fan", train=9, normal=1, anomaly=1)
    sentence = refusal(*compact_words(tmp_path / "short", seconds=2))
    assert "the clip lasts 0.500 s, shorter than the segments of 1.984 s" in sentence


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codebooks": 4}, "codebooks is a setting of presets 16k and 24k only"),
        ({"ratios": (8, 4, 4)}, "ratios is a setting of presets"),
        ({"causal": False}, "causal is a setting of presets"),
        ({"mel_weight": 2.0}, "mel_weight is a setting of presets"),
        ({"discriminator_filters": 4}, "discriminator_filters is a setting of presets"),
        ({"width": 12}, "width is 12, expected a multiple of 8"),
        ({"seconds": 0.1, "sample_rate": 16000}, r"seconds is 0\.1, expected at least 0\.256 s"),
        ({"bands": 512}, "bands is 512, expected so few that each has a bin"),
        ({"bands": 64, "detail_dim": 65}, "detail_dim is 65, expected 0 to 64, the number of bands"),
    ],
)
def test_settings_that_a_compact_codec_does_not_have_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        plugins.parts.get("codec")(preset="compact", **settings)


@pytest.mark.parametrize(
    "name", ["bands", "clip_dim", "detail_dim", "frame_dim", "width", "clip_weight", "frame_weight"]
)
@pytest.mark.parametrize("preset", ["16k", "24k"])
def test_settings_of_a_compact_codec_are_refused_for_an_encodec(preset, name):
    with pytest.raises(UserError, match=f"{name} is a setting of preset compact only, found preset {preset}"):
        plugins.parts.get("codec")(preset=preset, **{name: 24})


def test_the_defaults_are_those_of_the_presets():
    part = plugins.parts.get("codec")
    assert part().resolved() == CodecSettings()
    assert part(preset="compact").resolved_compact(16000) == CompactSettings()
    assert [CompactSettings(bands=bands).details for bands in (128, 32)] == [96, 24]
    assert part(preset="compact").resolved_compact(8000) == CompactSettings(sample_rate=8000)
    assert part(preset="compact", sample_rate=12000, steps=7).resolved_compact(8000) == CompactSettings(
        sample_rate=12000, steps=7
    )


@pytest.mark.parametrize("settings", [{"preset": "24k", "start": "lapped"}, {"causal": True}, {"codebook_size": 48}])
def test_settings_that_do_not_fit_together_are_refused_when_they_are_given(settings):
    with pytest.raises(UserError, match=r"lapped|codebook_size"):
        plugins.parts.get("codec")(**settings)


def test_a_launcher_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        plugins.parts.get("codec")().train(None)
