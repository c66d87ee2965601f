"""Whole runs through the Python API."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import asdbench
from asdbench import plugins, runner
from asdbench.runner import IncompleteRunError


def run(spec, tmp_path, **options):
    options = {"workers": 0, "runs": tmp_path / "runs"} | options
    return asdbench.run(spec, **options)


def test_a_run_leaves_tables_that_follow_from_its_scores(spec_data, tmp_path):
    results = run(spec_data, tmp_path)
    files = {path.name for path in results.folder.iterdir()}
    assert {"spec.yaml", "scores.parquet", "metrics.parquet", "environment.json", "artefacts.json"} <= files
    assert {path.suffix for path in results.folder.iterdir()} >= {".csv", ".md", ".tex"}
    for row in results.gaps.itertuples():
        cell = results.scores[
            (results.scores["machine"] == row.machine)
            & (results.scores["detector"] == row.detector)
            & (results.scores["split"] == "test")
        ]
        normal = cell[(cell["source"] == "real") & (cell["condition"] == "normal")]
        original = cell[(cell["source"] == "real") & (cell["condition"] == "anomaly")]
        generated = cell[cell["source"] == row.generator]
        for anomalous, auc in ((original, row.auc_original), (generated, row.auc_generated)):
            both = pd.concat([normal, anomalous])
            assert auc == pytest.approx(roc_auc_score(both["condition"] == "anomaly", both["score"]), abs=1e-12)
    assert "Results" not in str(results)
    assert "knn" in str(results)


def test_a_run_can_be_loaded_and_says_the_same(spec_data, tmp_path):
    results = run(spec_data, tmp_path)
    for folder in (results.folder, tmp_path / "runs"):
        loaded = asdbench.load(folder)
        assert str(loaded) == str(results)
        pd.testing.assert_frame_equal(loaded.gaps, results.gaps)
        pd.testing.assert_frame_equal(loaded.scores, results.scores)


def test_a_second_run_computes_nothing(spec_data, tmp_path, monkeypatch):
    first = run(spec_data, tmp_path)
    monkeypatch.setattr("asdbench.runner.run_units", lambda *args: pytest.fail("something was computed"))
    assert str(run(spec_data, tmp_path)) == str(first)


def test_only_what_a_change_touches_is_computed(spec_data, tmp_path, monkeypatch):
    run(spec_data, tmp_path)
    ran = []
    run_units = runner.run_units
    monkeypatch.setattr(
        runner, "run_units", lambda units, *args: ran.extend(unit.label for unit in units) or run_units(units, *args)
    )
    spec_data["generators"]["effects"]["severity"] = 0.9
    run(spec_data, tmp_path)
    made = [
        f"{what} of {machine} with {who}, seed 0"
        for machine in ("fan", "pump")
        for what, who in (("generate clips", "effects"), ("score effects clips", "knn"))
    ]
    heard = [
        f"compare the sound of {whose} of effects by logmel_stats, seed 0" for whose in ("fan", "pump", "all machines")
    ]
    assert sorted(ran) == sorted(made + heard)


def test_a_changed_recording_is_noticed(spec_data, data_root, tmp_path):
    first = run(spec_data, tmp_path)
    path = sorted((data_root / "fan" / "test").glob("*anomaly*"))[0]
    asdbench.audio.write(path, np.random.default_rng(0).standard_normal(9000) * 0.3, 16000)
    second = run(spec_data, tmp_path)
    assert second.folder != first.folder
    changed = first.scores.merge(second.scores, on=["machine", "detector", "source", "clip_id"])
    changed = changed[changed["content_hash_x"] != changed["content_hash_y"]]
    assert set(changed["machine"]) <= {"fan"}


def test_tables_do_not_depend_on_workers(spec_data, tmp_path):
    spec_data["detectors"]["ae"] = {"use": "dcase_ae", "epochs": 2, "width": 16}
    texts = set()
    for workers in (0, 1, 2):
        results = run(
            spec_data, tmp_path, workers=workers, store=tmp_path / f"store{workers}", runs=tmp_path / str(workers)
        )
        texts.add((results.scores.to_csv(), str(results), (results.folder / "gaps_long.csv").read_text()))
    assert len(texts) == 1


def test_detectors_that_differ_in_scoring_share_one_fit(spec_data, tmp_path):
    for name in ("mse", "mahalanobis", "mahalanobis_frame"):
        spec_data["detectors"][name] = {"use": "dcase_ae", "epochs": 1, "width": 8, "score": name}
    spec_data["generators"] = {}
    results = run(spec_data, tmp_path)
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "runs" / ".store").rglob("artefact.json")]
    assert sum(m["stage"] == "fit" and m["plugin"]["use"] == "dcase_ae" for m in manifests) == 2  # one a machine
    means = results.scores.groupby("detector")["score"].mean()
    assert means.nunique() == 4


def test_generated_clips_have_a_provenance(spec_data, tmp_path):
    generated = run(spec_data, tmp_path).generated
    assert set(generated["generator"]) == {"effects", "real_holdout"}
    assert generated["condition"].eq("anomaly").all()
    for text in generated["provenance"]:
        assert json.loads(text)["host"]


def test_the_number_of_generated_clips_can_be_set(spec_data, tmp_path):
    spec_data["generated_clips"] = 7
    del spec_data["generators"]["real_holdout"]
    counts = run(spec_data, tmp_path).generated.groupby("machine").size()
    assert counts.to_dict() == {"fan": 7, "pump": 7}


def test_test_clips_hide_their_labels_from_detectors(spec_data, tmp_path):
    @plugins.detector("curious")
    class Curious(plugins.Detector):
        """Fails when it sees a label."""

        def fit(self, clips):
            self.domains_ = sorted(set(clips.frame["domain"]))

        def score(self, clips):
            assert set(clips.frame["condition"]) == set(clips.frame["domain"]) == {"unknown"}
            assert not any(clips.frame["attributes"])
            return np.arange(len(clips), dtype=float)

    spec_data["detectors"] = {"curious": {"use": "curious"}}
    assert len(run(spec_data, tmp_path, workers=None).scores)


def test_a_plugin_of_this_process_cannot_run_in_workers(spec_data, tmp_path):
    @plugins.detector("at_home")
    class AtHome(plugins.Detector):
        """Lives here only."""

    spec_data["detectors"] = {"home": {"use": "at_home"}}
    with pytest.raises(asdbench.UserError, match="'at_home' is known to this process only"):
        run(spec_data, tmp_path, workers=2)

    @plugins.embedding("ear_of_home")
    class Ear(plugins.Embedding):
        """Lives here only, too."""

    spec_data["detectors"] = {"heard": {"use": "embedding_knn", "embedding": "ear_of_home"}}
    with pytest.raises(asdbench.UserError, match="'ear_of_home' is known to this process only"):
        run(spec_data, tmp_path, workers=2)


BROKEN = '''
import os, signal, sys
import numpy as np
from asdbench import Detector, detector, setting

@detector("broken")
class Broken(Detector):
    """Breaks in one of several ways."""

    how: str = setting("raise")

    def fit(self, clips):
        self.n_ = len(clips)
        if self.how == "raise":
            raise ValueError("first line\\nsecond line")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "unsaved":
            self.thing_ = object()

    def score(self, clips):
        print("noise on standard output")
        scores = np.zeros(len(clips))
        return {"few": scores[:-1], "nan": scores * np.nan, "words": ["a"] * len(clips), "none": None}[self.how]
'''

WAYS = {
    "raise": "could not fit broken on fan, seed 0: ValueError: first line",
    "exit": "SystemExit: 3",
    "unsaved": "thing_: a object cannot be saved",
    "few": "array of shape (19,) for 20 clips, expected (20,)",
    "nan": "score() returned nan for 20 of 20 clips, expected finite numbers",
    "words": "score() returned list, expected an array of numbers",
    "none": "score() returned an array of shape () for 20 clips, expected (20,)",
    "die": "worker process was killed by signal 9",
}


@pytest.mark.parametrize("how", WAYS)
def test_a_plugin_that_breaks_takes_down_only_its_own_cells(spec_data, tmp_path, how):
    (tmp_path / "broken.py").write_text(BROKEN)
    spec_data["plugins"] = [str(tmp_path / "broken.py")]
    spec_data["detectors"]["broken"] = {"use": "broken", "how": how}
    spec_data["holdout"] = {"normal": 0, "anomaly": 0}
    del spec_data["generators"]
    with pytest.raises(IncompleteRunError) as error:
        run(spec_data, tmp_path, workers=1 if how == "die" else 0)
    assert WAYS[how] in str(error.value)
    results = error.value.results
    assert set(results.scores["detector"]) == {"knn"}
    assert {problem["detector"] for problem in results.problems} == {"broken"}
    metrics = results.metrics
    assert metrics[(metrics["detector"] == "knn") & (metrics["metric"] == "auc")]["value"].notna().all()
    assert str(asdbench.load(results.folder)) == str(results)


def test_problems_are_told_in_the_tables(spec_data, tmp_path):
    @plugins.generator("mute")
    class Mute(plugins.Generator):
        """Makes nothing."""

        def generate(self, request):
            raise ValueError("no voice")

    spec_data["generators"] = {"effects": {"use": "effects"}, "mute": {"use": "mute"}}
    with pytest.raises(IncompleteRunError, match=r"could not generate clips of fan with mute, seed 0: .*no voice"):
        run(spec_data, tmp_path)
    text = str(asdbench.load(tmp_path / "runs"))
    assert "could not generate clips of fan with mute" in text.replace("\n", " ").replace("  ", " ")


def test_a_hold_out_of_fewer_clips_than_are_needed_gives_out_those(spec_data, tmp_path):
    spec_data["holdout"] = {"anomaly": 1}
    results = run(spec_data, tmp_path)
    assert results.problems == []
    made = results.generated[results.generated["generator"] == "real_holdout"]
    assert made.groupby("machine").size().to_dict() == {"fan": 1, "pump": 1}


def test_a_machine_without_anomalies_still_gets_a_generated_set(spec_data, data_root, write_machine, tmp_path):
    write_machine(data_root, "valve", anomaly=0)
    del spec_data["generators"]["real_holdout"]
    results = run(spec_data, tmp_path)
    row = results.gaps[results.gaps["machine"] == "valve"].iloc[0]
    assert np.isnan(row["auc_original"])
    assert 0 <= row["auc_generated"] <= 1
    assert "no anomalous test clip" in row["reason"]
    assert "no anomalous test clip" in str(results)
    assert results.summary["n_machines"].max() == 2


def test_a_copy_of_a_test_clip_in_the_generated_set_is_an_error(spec_data, data_root, tmp_path):
    @plugins.generator("cheat")
    class Cheat(plugins.Generator):
        """Returns recordings of the test set."""

        def generate(self, request):
            files = sorted((data_root / "fan" / "test").glob("*anomaly*"))
            for row in request.rows.itertuples():
                path = files[int(self.rng(row.clip_id).integers(len(files)))]
                yield plugins.GeneratedClip(asdbench.audio.read(path), {"host": path.name})

    spec_data["generators"] = {"cheat": {"use": "cheat"}}
    spec_data["machines"] = ["fan"]
    with pytest.raises(
        asdbench.UserError, match=r"same audio has two roles: .*anomaly.*\(test set\) and .*generated by cheat"
    ):
        run(spec_data, tmp_path)


def test_what_a_generator_cannot_do_on_these_data_is_no_failure(spec_data, tmp_path):
    spec_data["holdout"] = {"anomaly": 0}
    results = run(spec_data, tmp_path)
    ceiling = results.gaps[results.gaps["generator"] == "real_holdout"]
    assert ceiling["auc_generated"].isna().all()
    assert ceiling["reason"].str.contains("is kept for generators").all()
    assert "is kept for generators" in " ".join(str(results).split())
    assert results.gaps.loc[results.gaps["generator"] == "effects", "gap"].notna().all()


def test_more_recordings_for_the_test_do_not_make_the_fit_anew(
    spec_data, data_root, write_machine, tmp_path, monkeypatch
):
    run(spec_data, tmp_path)
    write_machine(data_root, "fan", anomaly=8)
    ran = []
    run_units = runner.run_units
    monkeypatch.setattr(
        runner, "run_units", lambda units, *rest: ran.extend(unit.stage for unit in units) or run_units(units, *rest)
    )
    run(spec_data, tmp_path)
    assert "score" in ran
    assert "fit" not in ran


def test_recordings_that_change_while_it_runs_are_noticed(spec_data, data_root, tmp_path):
    target = sorted((data_root / "fan" / "train").iterdir())[0]

    @plugins.detector("meddler")
    class Meddler(plugins.Detector):
        """Rewrites a recording while it fits."""

        def fit(self, clips):
            asdbench.audio.write(target, 0.1 * clips.waveform(0), 16000)

        def score(self, clips):
            return np.zeros(len(clips))

    spec_data["detectors"] = {"meddler": {"use": "meddler"}}
    spec_data["machines"] = ["fan"]
    with pytest.raises(IncompleteRunError, match=f"{target}: the file changed while the benchmark ran"):
        run(spec_data, tmp_path)


TYPED_IN = """
from asdbench.plugins import Detector, detector
import numpy as np

@detector("typed_in")
class TypedIn(Detector):
    'Level.'
    def fit(self, clips): self.n_ = 1
    def score(self, clips): return np.array([SIGN * w.std() for w in clips.waveforms()])
"""


def test_a_plugin_that_is_typed_in_again_differently_is_run_again(spec_data, tmp_path):
    spec_data["detectors"] = {"level": {"use": "typed_in"}}
    sums = []
    for sign in ("+1", "-1", "-1"):
        exec(TYPED_IN.replace("SIGN", sign), {"__name__": "notebook"})
        sums.append(run(spec_data, tmp_path).scores["score"].sum())
    assert sums[0] == -sums[1]
    assert sums[1] == sums[2]


def test_results_load_from_another_folder(spec_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = asdbench.run(spec_data, workers=0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = asdbench.load(results.folder)
    assert str(loaded) == str(results)
    pd.testing.assert_frame_equal(loaded.generated, results.generated, check_dtype=False)
    assert set(loaded.generated["section"]) == {"00"}


def test_a_negative_number_of_workers_is_refused(spec_data, tmp_path):
    with pytest.raises(asdbench.UserError, match="workers: found -1"):
        run(spec_data, tmp_path, workers=-1)


PARENT = """
import os, signal, time
from asdbench import Detector, detector

@detector("parent")
class Parent(Detector):
    'Leaves a child that holds the pipes.'
    def fit(self, clips):
        if os.fork() == 0:
            time.sleep(300)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_dies_and_leaves_a_child_does_not_stop_the_run(spec_data, tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    spec_data["detectors"]["parent"] = {"use": "parent"}
    spec_data["plugins"] = [str(tmp_path / "parent.py")]
    spec_data["generators"] = {}
    with pytest.raises(IncompleteRunError, match="worker process was killed by signal 9"):
        run(spec_data, tmp_path, workers=1)


@pytest.mark.parametrize("name", ["spec.yaml", "scores.parquet", "generated_clips.csv", "problems.json"])
@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b"{}"])
def test_a_damaged_run_is_named_and_made_whole_by_the_same_command(spec_data, tmp_path, name, content):
    del spec_data["generators"]["effects"]
    spec_data["machines"] = ["fan"]
    results = run(spec_data, tmp_path)
    (results.folder / name).write_bytes(content)
    if (name, content) != ("problems.json", b"{}"):  # no problems either
        with pytest.raises(asdbench.UserError, match="the run cannot be read"):
            asdbench.load(results.folder)
    assert str(run(spec_data, tmp_path)) == str(results)
    assert str(asdbench.load(results.folder)) == str(results)


def generator_that(how):
    @plugins.generator(f"generator_{how}")
    class Bad(plugins.Generator):
        """Breaks the contract in one of several ways."""

        def generate(self, request):
            wave = np.random.default_rng(0).standard_normal(8000) * 0.1
            made = {
                "few": [wave] * (len(request.rows) - 1),
                "many": [wave] * (len(request.rows) + 1),
                "nan": [wave * np.nan] * len(request.rows),
                "stereo": [np.stack([wave, wave])] * len(request.rows),
                "silent": [wave * 0] * len(request.rows),
            }
            for index, one in enumerate(made[how]):
                yield plugins.GeneratedClip(one + index * 1e-3 * (one != 0).all(), {"index": index})

    return f"generator_{how}"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("few", "the generator made 2 clips, 3 were asked for"),
        ("many", "the generator made more clips than the 3 that were asked for"),
        ("nan", "generated clip 0: the clip holds NaN"),
        ("stereo", "generated clip 0 has shape (2, 8000)"),
        ("silent", "generated clip 0: the clip is silent"),
    ],
)
def test_a_generator_that_breaks_its_contract_is_told(spec_data, tmp_path, how, words):
    spec_data["generators"] = {"bad": {"use": generator_that(how)}}
    with pytest.raises(IncompleteRunError) as error:
        run(spec_data, tmp_path)
    assert words in str(error.value)
    assert error.value.results.gaps["auc_original"].notna().all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", "'dataset_raises' failed: ValueError: no luck"),
        ("columns", "the table of clips lacks the columns"),
        ("words", "condition is 'broken', expected one of"),
        ("nothing", "'dataset_nothing' failed: TypeError"),
    ],
)
def test_a_dataset_that_breaks_its_contract_is_told(spec_data, data_root, tmp_path, how, words):
    @plugins.dataset(f"dataset_{how}")
    class Bad(plugins.Dataset):
        """Breaks the contract in one of several ways."""

        def machines(self):
            return ["fan"]

        def clips(self, machine, folder):
            table = plugins.datasets.get("dcase")(root=str(data_root)).clips(machine, folder)
            if how == "raises":
                raise ValueError("no luck")
            return {
                "columns": table.drop(columns="section"),
                "words": table.assign(condition="broken"),
                "nothing": None,
            }[how]

    spec_data["dataset"] = {"use": f"dataset_{how}"}
    with pytest.raises(asdbench.UserError) as error:
        run(spec_data, tmp_path)
    assert words in str(error.value)
    assert "spec: dataset" in str(error.value)


def test_a_metric_that_raises_is_told_and_the_others_stand(spec_data, tmp_path):
    @plugins.metric("unlucky")
    def unlucky(is_anomaly, score, domain):
        """Raises."""
        raise ValueError("no luck")

    spec_data["metrics"] = ["auc", "unlucky"]
    with pytest.raises(IncompleteRunError, match=r"the metric unlucky failed: ValueError: no luck \(on fan with knn\)"):
        run(spec_data, tmp_path)
    metrics = asdbench.load(tmp_path / "runs").metrics
    assert metrics.loc[metrics["metric"] == "auc", "value"].notna().all()


def test_looking_at_a_run_imports_no_plugin_file(spec_data, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import asdbench\n\n\n@asdbench.metric('half')\ndef half(is_anomaly, score, domain):\n    return 0.5\n"
    )
    results = run(spec_data | {"plugins": [str(plugin)], "metrics": ["auc", "half"]}, tmp_path)
    plugins.metrics.forget_files()
    plugin.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    loaded = asdbench.load(results.folder)
    assert not (tmp_path / "ran").exists()
    assert set(loaded.metrics.loc[loaded.metrics["metric"] == "half", "value"]) == {0.5}
    pd.testing.assert_frame_equal(loaded.metrics, results.metrics, check_dtype=False)
    assert str(loaded) == str(results)


def test_generated_clips_are_named_after_what_they_are(spec_data, tmp_path):
    for row in run(spec_data, tmp_path).generated.itertuples():
        attributes = "".join(f"_{key}_{value}" for key, value in json.loads(row.attributes).items())
        assert row.clip_id.endswith(f"{attributes}.wav")
        assert row.file.endswith(row.clip_id)
