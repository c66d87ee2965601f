"""Generators that learn: from the command line and within a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import get_args

import pytest
import sklearn.metrics
from click.testing import CliRunner

import asdbench
from asdbench import cli, plugins
from asdbench.cli.options import EXPOSURES
from asdbench.runner import IncompleteRunError
from asdbench.spec import Exposure


@pytest.fixture
def learning_spec(spec_data, learner):
    spec_data["generators"] = {"learner": {"use": "learner"}}
    spec_data["plugins"] = [str(learner)]
    spec_data["seeds"] = [0, 1]
    spec_data["controls"] = "none"
    return spec_data


def run(spec, tmp_path, **options):
    return asdbench.run(spec, runs=tmp_path / "runs", **{"workers": 0} | options)


def models(tmp_path, exposure="same-machine"):
    found = []
    for path in (tmp_path / "runs" / ".store" / "artefacts").glob("*/*/model.json"):
        found.append(json.loads(path.read_text()))
    return found


def test_a_run_trains_one_model_a_seed_on_the_pools_of_all_machines(learning_spec, tmp_path):
    results = run(learning_spec, tmp_path, workers=2)
    assert results.gaps["gap"].notna().all()
    trained = models(tmp_path)
    assert len(trained) == 2
    assert len({model["seed"] for model in trained}) == 2
    tested = set(results.scores.query("source == 'real'")["content_hash"])
    for model in trained:
        assert {clip["machine"] for clip in model["clips"]} == {"fan", "pump"}
        assert {clip["condition"] for clip in model["clips"]} == {"normal", "anomaly"}
        assert not {clip["content_hash"] for clip in model["clips"]} & tested
    assert not list((tmp_path / "runs" / ".store" / "work").iterdir())


def test_a_setting_of_sampling_only_does_not_train_again(learning_spec, tmp_path):
    run(learning_spec, tmp_path)
    learning_spec["generators"]["loud"] = {"use": "learner", "loudness": 2.0}
    results = run(learning_spec, tmp_path)
    assert len(models(tmp_path)) == 2
    levels = results.generated.groupby("generator")["provenance"].apply(lambda p: json.loads(p.iloc[0])["level"])
    assert levels["loud"] == pytest.approx(2 * levels["learner"])
    learning_spec["generators"]["learner"]["steps"] = 4
    run(learning_spec, tmp_path)
    assert len(models(tmp_path)) == 4


def test_other_machines_trains_a_model_for_each_machine_without_its_anomalies(learning_spec, tmp_path):
    learning_spec |= {"exposure": "other-machines", "seeds": [0]}
    assert run(learning_spec, tmp_path).gaps["gap"].notna().all()
    anomalies = sorted(
        sorted({clip["machine"] for clip in model["clips"] if clip["condition"] == "anomaly"})
        for model in models(tmp_path)
    )
    assert anomalies == [["fan"], ["pump"]]


def test_exposure_none_trains_on_normal_clips_only(learning_spec, tmp_path):
    learning_spec |= {"exposure": "none", "seeds": [0]}
    run(learning_spec, tmp_path)
    (model,) = models(tmp_path)
    assert {clip["condition"] for clip in model["clips"]} == {"normal"}


def test_controls_come_with_a_generator_that_learns(learning_spec, tmp_path):
    learning_spec |= {"controls": "auto", "seeds": [0, 1]}
    results = run(learning_spec, tmp_path)
    assert len(models(tmp_path)) == 2
    assert set(results.gaps["generator"]) == {"learner", "real_holdout", "normal_holdout"}
    controls = results.comparison.controls
    assert len(controls) == 2 * 4
    assert controls["auc"].between(0, 1).all()
    assert (controls["auc_low"] <= controls["auc"]).all()
    assert (controls["n_seeds"] == 2).all()
    chance = controls["control"].isin(["codec, normal", "generated normal"])
    assert (controls.loc[chance, "expected"] == 0.5).all()
    real = results.gaps.groupby("machine")["auc_original"].first()
    assert (controls.loc[~chance, "expected"].to_numpy() == real[controls.loc[~chance, "machine"]].to_numpy()).all()
    made = results.generated.groupby(["generator", "condition"]).size()
    assert made["learner", "normal"] == made["learner.codec", "normal"] > 0
    assert "generated normal" in str(results)
    again = asdbench.load(results.folder)
    assert str(again) == str(results)
    for row in controls[controls["control"] == "generated normal"].itertuples():
        values = []
        for _, mine in results.scores.query("machine == @row.machine and split == 'test'").groupby("seed"):
            real_normal = mine.query("source == 'real' and condition == 'normal'")["score"]
            posing = mine.query("source == 'learner' and condition == 'normal'")["score"]
            labels = [0] * len(real_normal) + [1] * len(posing)
            values.append(sklearn.metrics.roc_auc_score(labels, [*real_normal, *posing]))
        assert row.auc == pytest.approx(sum(values) / 2)


def test_controls_can_be_had_for_every_generator_or_none(spec_data, tmp_path):
    spec_data["generators"] = {"effects": {"use": "effects"}}
    assert run(spec_data | {"controls": "none"}, tmp_path).comparison.controls.empty
    assert run(spec_data, tmp_path).comparison.controls.empty
    every = run(spec_data | {"controls": "all"}, tmp_path)
    found = every.comparison.controls.set_index("control")["reason"]
    assert (found["generated normal"] == "").all()
    assert (found["codec, normal"] == "no scores of effects.codec clips").all()


def test_a_training_that_stops_goes_on_where_it_stopped(learning_spec, tmp_path):
    learning_spec["seeds"] = [0]
    stop = tmp_path / "runs" / ".store" / "work" / "stop"
    stop.parent.mkdir(parents=True)
    stop.touch()
    with pytest.raises(IncompleteRunError, match="could not train learner, seed 0: stopped at step 0"):
        run(learning_spec, tmp_path)
    (work,) = [path for path in stop.parent.iterdir() if path.is_dir()]
    (work / "step-0").touch()  # what it had done before
    stop.unlink()
    run(learning_spec, tmp_path)
    assert [model["resumed_at"] for model in models(tmp_path)] == [1]
    assert not list(stop.parent.iterdir())


def test_progress_of_a_training_is_shown(learning_spec, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("asdbench.progress._SECONDS_BETWEEN_LINES", 0.0)
    for workers in (0, 1):
        run(learning_spec, tmp_path / str(workers), workers=workers, quiet=False)
        assert "train learner, seed 0: 1 of 3, loss 1.0" in capfd.readouterr().err


def train(command, tmp_path, *words):
    learner = tmp_path / "learner.py"
    return command("train", "generator", "learner", "--plugin", learner, "--out", "model", *words)


def test_train_on_a_folder_then_generate_and_run_with_the_model(
    learner, data_root, asdbench_command, learning_spec, write_spec, tmp_path, refusal
):
    done = train(asdbench_command, tmp_path, "--data", data_root, "--set", "steps=5")
    assert done.returncode == 0, done.stderr
    assert "step" in done.stderr
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    assert len(model["clips"]) == 40
    made = asdbench_command(
        "generate", "learner", "clips", "--plugin", learner, "--set", "checkpoint=model", "--count", 3
    )
    assert made.returncode == 0, made.stderr
    assert len(list((tmp_path / "clips").glob("*/test/*.wav"))) == 2 * 2 * 3
    # It has learnt from every clip, so from test clips as well.
    learning_spec["generators"]["learner"]["checkpoint"] = str(tmp_path / "model")
    sentence = refusal("run", write_spec(learning_spec))
    assert "the model has learnt from 6 of the 6 clips that this benchmark tests on, the first is" in sentence


def test_train_on_the_pool_of_a_benchmark(learning_spec, write_spec, asdbench_command, tmp_path, refusal):
    spec = write_spec(learning_spec)
    assert train(asdbench_command, tmp_path, "--spec", spec).returncode == 0
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    assert len(model["clips"]) == 12
    learning_spec["generators"]["learner"]["checkpoint"] = str(tmp_path / "model")
    done = asdbench_command("run", write_spec(learning_spec))
    assert done.returncode == 0, done.stderr
    assert "train learner" not in asdbench_command("plan", spec, "--all").stdout
    hidden = write_spec(learning_spec | {"exposure": "none"})
    assert "has learnt from 6 anomalous clips" in refusal("run", hidden)


def test_an_interrupted_training_of_the_command_line_goes_on(learner, data_root, asdbench_command, tmp_path, refusal):
    (tmp_path / "stop").touch()
    words = ("train", "generator", "learner", "--plugin", learner, "--out", "model", "--data", data_root)
    assert "stopped at step 0" in refusal(*words)
    (tmp_path / "model" / "training" / "step-0").touch()
    (tmp_path / "stop").unlink()
    assert asdbench_command(*words).returncode == 0
    assert json.loads((tmp_path / "model" / "model.json").read_text())["resumed_at"] == 1
    assert not list((tmp_path / "model" / "training").glob("writing-*"))
    # The same command again has nothing left to do.
    assert asdbench_command(*words).returncode == 0
    assert json.loads((tmp_path / "model" / "model.json").read_text())["resumed_at"] == 3


def test_exposure_of_a_folder(learner, data_root, asdbench_command, tmp_path):
    anomalies = {}
    for name, words in {"none": (), "other-machines": ("--for", "fan"), "same-machine": ()}.items():
        command = ("train", "generator", "learner", "--plugin", learner, "--data", data_root, "--out", name)
        assert asdbench_command(*command, "--exposure", name, *words).returncode == 0
        clips = json.loads((tmp_path / name / "model.json").read_text())["clips"]
        anomalies[name] = {clip["machine"] for clip in clips if clip["condition"] == "anomaly"}
    assert anomalies == {"none": set(), "other-machines": {"pump"}, "same-machine": {"fan", "pump"}}
    assert get_args(Exposure) == EXPOSURES


def test_what_cannot_be_trained_is_said_in_one_sentence(
    learner, data_root, learning_spec, write_spec, refusal, tmp_path
):
    spec = write_spec(learning_spec)
    out = ("--out", "model")
    plugin = ("--plugin", learner)
    assert "either --data" in refusal("train", "generator", "learner", *plugin, *out)
    assert "either --data" in refusal("train", "generator", "learner", "--data", data_root, "--spec", spec, *out)
    assert "does not learn" in refusal("train", "generator", "effects", "--data", data_root, *out)
    assert "did you mean 'learner'" in refusal("train", "generator", "lerner", "--spec", spec, *out)
    assert "name a finished model" in refusal(
        "train", "generator", "learner", *plugin, "--data", data_root, *out, "--set", "checkpoint=x"
    )
    assert "did you mean 'steps'" in refusal(
        "train", "generator", "learner", *plugin, "--data", data_root, *out, "--set", "step=1"
    )
    assert "there is no machine 'pmp'" in refusal(
        "train", "generator", "learner", *plugin, "--data", data_root, *out, "--machines", "pmp"
    )
    assert "takes one model for all" in refusal("train", "generator", "learner", "--spec", spec, *out, "--for", "fan")
    assert "--exposure is for --data" in refusal(
        "train", "generator", "learner", "--spec", spec, *out, "--exposure", "none"
    )
    others = write_spec(learning_spec | {"exposure": "other-machines"}, "others.yaml")
    assert "name it with --for" in refusal("train", "generator", "learner", "--spec", others, *out)
    assert "did you mean 'fan'" in refusal("train", "generator", "learner", "--spec", others, *out, "--for", "fen")
    assert not (tmp_path / "model").exists()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "letter.txt").touch()
    assert "holds other files" in refusal("train", "generator", "learner", *plugin, "--data", data_root, *out)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["letter.txt"]


def test_what_a_killed_training_left_half_written_is_removed(learner, data_root, asdbench_command, tmp_path):
    left = tmp_path / "model" / "training" / "writing-0123"
    left.mkdir(parents=True)
    assert train(asdbench_command, tmp_path, "--data", data_root).returncode == 0
    assert not left.exists()


def test_a_request_to_stop_is_an_interruption(learner, data_root, tmp_path):
    slow = learner.read_text().replace("training.progress(", "__import__('time').sleep(1); training.progress(")
    learner.write_text(slow)
    line = [sys.executable, "-m", "asdbench", "train", "generator", "learner", "--plugin", learner, "--data", data_root]
    process = subprocess.Popen(
        [*map(str, line), "--out", "model", "--set", "steps=100"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("model/training/step-*")):
        assert process.poll() is None
    process.terminate()
    assert "the same command continues" in process.communicate()[1]
    assert process.returncode == 130


def test_a_generator_that_needs_training_is_not_checked_without_a_model(learner, refusal):
    assert "has to be trained before it is checked" in refusal("check", learner)


def test_a_benchmark_with_a_model_that_says_nothing_is_refused(learning_spec, write_spec, refusal):
    learning_spec["generators"]["learner"]["forgets"] = True
    assert "does not say which clips it has learnt from" in refusal("run", write_spec(learning_spec))


@pytest.fixture
def toy_part(monkeypatch, tmp_path):
    """A registered part, a command line in this process, and what the part was given."""
    given = []

    class Toy(asdbench.Part):
        """Remembers what it was trained on."""

        usage = "look at `{out}`"
        size: int = asdbench.setting(3, ge=1)

        def train(self, training):
            given.append((self.seed, self.size, training))
            (training.out / "toy.json").write_text("{}")

    monkeypatch.setattr(plugins.parts, "_registered", dict(plugins.parts._registered))
    asdbench.part("toy")(Toy)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def command(*words):
        done = CliRunner().invoke(cli.main, ["train", "toy", "--out", "model", *map(str, words)])
        return done, given

    yield command
    signal.signal(signal.SIGTERM, before)


def test_a_part_is_trained_by_its_name(toy_part, data_root, tmp_path):
    done, given = toy_part("--data", data_root, "--set", "size=5", "--seed", 7, "--exposure", "none")
    assert done.exit_code == 0, done.output
    assert "model: the model; look at `model`" in done.stdout
    ((seed, size, training),) = given
    assert (seed, size, training.exposure) == (7, 5, "none")
    assert set(training.clips.frame["condition"]) == {"normal"}
    assert set(training.clips.frame["machine"]) == {"fan", "pump"}
    assert (tmp_path / "model" / "toy.json").is_file()


def test_a_part_of_a_benchmark_hears_what_is_kept_for_generators(toy_part, spec_data, write_spec):
    done, given = toy_part("--spec", write_spec(spec_data | {"exposure": "other-machines"}), "--for", "fan")
    assert done.exit_code == 0, done.output
    clips = given[0][2].clips.frame
    assert given[0][2].exposure == "other-machines"
    assert set(clips.loc[clips["condition"] == "anomaly", "machine"]) == {"pump"}
    assert (clips["split"] == "test").all()


def test_what_a_part_cannot_be_trained_on_is_said(toy_part, spec_data, write_spec, data_root):
    spec = write_spec(spec_data)
    for words, sentence in (
        ((), "give either --data"),
        (("--spec", spec, "--exposure", "none"), "--exposure is for --data"),
        (("--data", data_root, "--set", "size=0"), "size=0"),
        (("--data", data_root, "--for", "fan"), "takes one model for all"),
    ):
        done, given = toy_part(*words)
        assert done.exit_code == 2
        assert sentence in done.stderr
        assert not given
