"""A detector taken out of a run is the one that gave the run's scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import asdbench
from asdbench import UserError, plugins, recordings
from asdbench.metrics.threshold import threshold
from asdbench.progress import Progress
from asdbench.spec import load_spec
from asdbench.store import Store


@pytest.fixture(scope="module")
def spec(tmp_path_factory, write_machine):
    root = tmp_path_factory.mktemp("data")
    for machine in ("fan", "pump"):
        write_machine(root, machine)
    return {
        "name": "small",
        "dataset": {"use": "dcase", "root": str(root)},
        "seeds": [0, 4],
        "detectors": {
            "knn": {"use": "logmel_knn", "k": 2},
            "ae": {"use": "dcase_ae", "epochs": 2, "width": 8, "bottleneck": 2, "score": "mahalanobis"},
        },
        "generators": {"effects": {"use": "effects"}},
        "embeddings": {},
        "statistics": {"resamples": 100},
    }


@pytest.fixture(scope="module")
def results(spec, tmp_path_factory):
    return asdbench.run(spec, runs=tmp_path_factory.mktemp("runs"), workers=0)


@pytest.fixture
def copied(results, tmp_path):
    """A copy of the run's folder, on the same store."""
    return Path(shutil.copytree(results.folder, tmp_path / "copied"))


def test_scores_are_those_of_the_run_to_the_last_digit(results, spec, tmp_path, monkeypatch):
    root = Path(spec["dataset"]["root"])
    monkeypatch.setattr(plugins.Detector, "fit", lambda *args: pytest.fail("something was fitted"))
    for detector, machine, seed in (("knn", "fan", 0), ("ae", "pump", 4)):
        exported = asdbench.export_detector(results, detector, machine, seed=seed)
        exported.save(tmp_path / detector)
        table = asdbench.load_detector(tmp_path / detector).score(root / machine)
        mine = results.scores.query(
            "machine == @machine and detector == @detector and source == 'real' and seed == @seed"
        )
        expected = mine.set_index("clip_id")["score"]
        found = table.assign(clip_id=f"{machine}/" + table["file"]).set_index("clip_id")["score"]
        assert len(expected) > 8
        pd.testing.assert_series_equal(found[expected.index], expected, check_exact=True)
        training = mine[mine["split"] == "train"]
        assert exported.record.threshold.value == threshold(training["score"], 0.9)
        assert exported.record.fitted.clips == len(training)
        assert exported.record.fitted.machine == machine
        assert (
            exported.record.detector.settings.items()
            >= {name: value for name, value in spec["detectors"][detector].items() if name != "use"}.items()
        )


def test_a_fit_on_the_clips_of_the_benchmark_is_the_fit_of_the_run(results, spec, tmp_path):
    exported = asdbench.export_detector(results.folder, "ae", "fan", seed=4)
    loaded = load_spec(spec)
    clips = recordings.normal_of_benchmark(loaded, "fan", Store(tmp_path / "store"), Progress(quiet=True))
    fitted = asdbench.fit(loaded.detectors["ae"], clips, seed=4)
    assert fitted.record == exported.record
    for name, folder in (("one", tmp_path / "one"), ("other", tmp_path / "other")):
        (exported if name == "one" else fitted).save(folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_the_newest_run_and_its_first_seed_are_the_defaults(results):
    first = asdbench.export_detector(results, "knn", "fan", seed=0)
    assert asdbench.export_detector(results.folder.parents[1], "knn", "fan").record == first.record


def test_what_the_run_does_not_have_is_named(results, tmp_path):
    for arguments, options, words in (
        (("kn", "fan"), {}, "the run has no detector 'kn'; did you mean 'knn'"),
        (("knn", "fun"), {}, "the run has no machine 'fun'; did you mean 'fan'"),
        (("knn",), {}, "the run has 2 machines; name one of fan, pump"),
        (("knn", "fan"), {"seed": 1}, "the run has no seed 1; known: 0, 4"),
    ):
        with pytest.raises(UserError, match=words):
            asdbench.export_detector(results, *arguments, **options)
    with pytest.raises(UserError, match="no such folder, expected one that `asdbench run` wrote"):
        asdbench.export_detector(tmp_path / "absent", "knn", "fan")


def test_a_run_whose_store_or_files_are_gone_says_what_to_do(copied, tmp_path):
    artefacts = copied / "artefacts.json"
    saved = json.loads(artefacts.read_text())
    older = saved | {"scores": [{k: v for k, v in use.items() if not k.startswith("fit")} for use in saved["scores"]]}
    artefacts.write_text(json.dumps({name: value for name, value in older.items() if name != "detectors"}))
    with pytest.raises(UserError, match="does not say where its fits are; run the benchmark again"):
        asdbench.export_detector(copied, "knn", "fan")
    artefacts.write_text("{")
    with pytest.raises(UserError, match=r"the run cannot be read .*run the benchmark again to restore it"):
        asdbench.export_detector(copied, "knn", "fan")
    artefacts.write_text(json.dumps(saved | {"store": str(tmp_path / "gone")}))
    with pytest.raises(UserError, match=r"there is no fit of knn on fan, seed 0 in the store .*gone; run the"):
        asdbench.export_detector(copied, "knn", "fan")


def test_a_detector_of_another_version_is_refused(results, monkeypatch):
    monkeypatch.setattr(plugins.detectors.get("logmel_knn"), "version", "9")
    with pytest.raises(UserError, match=r"'knn' was fitted with version 1 of 'logmel_knn', found version 9"):
        asdbench.export_detector(results, "knn", "fan")


def test_a_detector_that_failed_in_the_run_is_not_there(spec, tmp_path):
    path = tmp_path / "failing.py"
    path.write_text(
        "from asdbench import Detector, UserError, detector\n"
        "@detector('failing')\n"
        "class Failing(Detector):\n"
        "    '''Fails.'''\n"
        "    def fit(self, clips): raise UserError('too few clips')\n"
    )
    spec = spec | {"detectors": {"failing": {"use": "failing"}}, "machines": ["fan"], "seeds": [0]}
    with pytest.raises(asdbench.UserError) as caught:
        asdbench.run(spec, runs=tmp_path / "runs", workers=0, plugin_files=[path])
    run = caught.value.results
    with pytest.raises(UserError, match=r"no fit of failing on fan, seed 0 in the store .*: too few clips"):
        asdbench.export_detector(run, "failing", "fan")
    plugins.load_files([])


def test_plugin_files_are_those_of_the_run_unless_others_are_given(copied, results, tmp_path):
    spec = yaml.safe_load((copied / "spec.yaml").read_text())
    (copied / "spec.yaml").write_text(yaml.safe_dump(spec | {"plugins": [str(tmp_path / "gone.py")]}))
    with pytest.raises(UserError, match=r"copied: plugin file .*gone\.py does not exist"):
        asdbench.export_detector(copied, "knn", "fan")
    (tmp_path / "moved.py").write_text("")
    exported = asdbench.export_detector(copied, "knn", "fan", plugin_files=[tmp_path / "moved.py"])
    assert exported.record == asdbench.export_detector(results, "knn", "fan").record


def test_the_threshold_is_set_as_in_the_run_unless_another_rule_is_given(copied, results):
    spec = yaml.safe_load((copied / "spec.yaml").read_text())
    (copied / "spec.yaml").write_text(yaml.safe_dump(spec | {"threshold": {"method": "empirical", "quantile": 0.5}}))
    scores = results.scores.query("machine == 'fan' and detector == 'knn' and seed == 0 and split == 'train'")["score"]
    assert asdbench.export_detector(copied, "knn", "fan").record.threshold.value == scores.median()
    rule = asdbench.ThresholdRule("gamma", 0.8)
    assert asdbench.export_detector(copied, "knn", "fan", rule=rule).record.threshold.value == threshold(scores, 0.8)


@pytest.mark.parametrize("damage", ["scores", "no scores", "spec"])
def test_a_damaged_run_says_what_to_do(copied, damage):
    if damage == "spec":
        content = yaml.safe_load((copied / "spec.yaml").read_text())
        del content["holdout"]
        (copied / "spec.yaml").write_text(yaml.safe_dump(content))
    elif damage == "scores":
        (copied / "scores.parquet").write_bytes(b"PA")
    else:
        (copied / "scores.parquet").unlink()
    with pytest.raises(UserError, match=r"the run cannot be read .*; run the benchmark again to restore it"):
        asdbench.export_detector(copied, "knn", "fan")
