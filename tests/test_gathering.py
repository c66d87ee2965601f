"""What a run knows of its clips beside their scores: audio quality, nearest training clips, costs, counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import asdbench
from asdbench import ClipSet, plugins
from asdbench.compare.heard import COST_COLUMNS, QUALITY_COLUMNS, ROLE_COLUMNS, Heard
from asdbench.compare.memorisation import NEAREST_COLUMNS
from asdbench.execute.examining import RESAMPLES
from asdbench.fingerprinting import Fingerprints, fingerprint, fingerprints, nearest
from asdbench.metrics.audio.quality import POOLED, Options, quality
from asdbench.report import clip_tables
from asdbench.runner import IncompleteRunError, Results
from asdbench.seeding import derive_seed

TABLES = ("quality", "nearest", "costs", "roles")


def run(spec: dict[str, Any], folder: Path, **options: Any) -> Results:
    return asdbench.run(spec, **({"workers": 0, "runs": folder / "runs"} | options))


@pytest.fixture
def spec(spec_data: dict[str, Any]) -> dict[str, Any]:
    return spec_data | {
        "controls": "all",
        "seeds": [0, 1],
        "generators": {"effects": {"use": "effects"}},
        "statistics": {"resamples": 100},
    }


def real_clips(results: Results, data_root: Path) -> ClipSet:
    """Real test clips of a run, read from the data set itself."""
    dataset = plugins.datasets.get("dcase")(root=str(data_root))
    everything = ClipSet.from_files(pd.concat([dataset.clips(name, Path()) for name in ("fan", "pump")]))
    scores = results.scores
    tested = set(scores.loc[(scores["source"] == "real") & (scores["split"] == "test"), "clip_id"])
    return everything.select(everything.frame["clip_id"].isin(tested).to_numpy())


def made_clips(results: Results, generator: str, seed: int, store: Path) -> ClipSet:
    """Generated clips of a run, read from its store by the table of generated clips."""
    own = results.generated[(results.generated["generator"] == generator) & (results.generated["seed"] == seed)]
    rows = own.assign(path=[str(store / file) for file in own["file"]], split="test", attributes=[{}] * len(own))
    labels = ["clip_id", "path", "machine", "section", "domain", "split", "condition", "attributes"]
    return ClipSet.from_files(rows[labels].reset_index(drop=True))


def test_a_run_says_how_its_clips_sound(spec: dict[str, Any], data_root: Path, tmp_path: Path) -> None:
    """Each machine, all of them, both seeds and conditions: the very numbers of `quality`."""
    spec["statistics"] = spec.get("statistics", {}) | {"fad_infinity": True}
    results = run(spec, tmp_path)
    table = results.quality
    assert list(table.columns) == list(QUALITY_COLUMNS)
    made = table[table["generator"] == "effects"]
    keys = set(zip(made["machine"], made["seed"], made["condition"], strict=True))
    assert keys == {(m, s, c) for m in ("fan", "pump", POOLED) for s in (0, 1) for c in ("anomaly", "normal")}
    assert set(table["generator"]) == {"effects", "real_holdout", "normal_holdout"}
    assert set(table["embedding_name"]) == {"logmel_stats"}
    real = real_clips(results, data_root)
    for machine, seed, condition in (("fan", 0, "anomaly"), (POOLED, 1, "anomaly"), (POOLED, 0, "normal")):
        sets = [real.where(condition=condition), made_clips(results, "effects", seed, tmp_path / "runs" / ".store")]
        sets[1] = sets[1].where(condition=condition)
        if machine != POOLED:
            sets = [part.where(machine=machine) for part in sets]
        expected = quality(*sets, options=Options(resamples=RESAMPLES), pooled_only=True).set_index("metric")
        own = made[(made["machine"] == machine) & (made["seed"] == seed) & (made["condition"] == condition)]
        own = own.set_index("metric")
        assert list(own.index) == list(expected.index) == ["fad", "fad_infinity", "kad", "kid"]
        columns = [name for name in expected.columns if name != "machine"]
        pd.testing.assert_frame_equal(own[columns], expected[columns], check_dtype=False, rtol=1e-9)


def test_fad_infinity_is_computed_on_request_only(spec: dict[str, Any], tmp_path: Path) -> None:
    results = run(spec, tmp_path)
    assert set(results.quality["metric"]) == {"fad", "kad", "kid"}


def test_a_run_looks_for_training_clips(spec: dict[str, Any], data_root: Path, tmp_path: Path) -> None:
    """Of a generator that changes clips of its pool: the pool holds the host, the real test clips it does not."""
    results = run(spec, tmp_path)
    table = results.heard.nearest
    assert list(table.columns) == list(NEAREST_COLUMNS)
    assert set(table["generator"]) == {"effects"} and set(table["seed"]) == {0, 1}
    assert set(table["set"]) == {"generated", "held-out"}
    made = table[(table["set"] == "generated") & (table["machine"] == "fan") & (table["seed"] == 0)]
    hosts = results.generated[(results.generated["generator"] == "effects") & (results.generated["seed"] == 0)]
    assert set(made["clip_id"]) == set(hosts.loc[hosts["machine"] == "fan", "clip_id"])
    # Oracle: the pool is all test recordings that are not tested, each read and compared by itself.
    tested = set(real_clips(results, data_root).frame["clip_id"])
    files = {f"fan/test/{path.name}": path for path in (data_root / "fan" / "test").iterdir()}
    pool = {name: path for name, path in files.items() if name not in tested}
    known = Fingerprints(tuple(pool), tuple(fingerprint(asdbench.audio.read(path)) for path in pool.values()))
    generated = made_clips(results, "effects", 0, tmp_path / "runs" / ".store").where(machine="fan")
    prints = fingerprints(generated)
    expected = {name: nearest(one, known) for name, one in zip(prints.names, prints.values, strict=True)}
    assert set(made["n_training"]) == {len(pool)} == {6}
    for row in made.itertuples():
        assert row.cosine == pytest.approx(expected[row.clip_id][0], abs=1e-9)
        assert row.nearest == expected[row.clip_id][1]
    held = table[(table["set"] == "held-out") & (table["machine"] == "fan") & (table["seed"] == 0)]
    assert set(held["clip_id"]) == {name for name in tested if name.startswith("fan/")}
    verdict = results.comparison.memorisation.set_index("machine").loc["fan"]
    assert verdict["copies"] and verdict["its_cosine"] == pytest.approx(1, abs=1e-6)  # normal clips are pool clips


def test_a_run_knows_costs_and_roles(spec: dict[str, Any], tmp_path: Path) -> None:
    results = run(spec, tmp_path)
    costs, roles = results.heard.costs, results.heard.roles
    assert list(costs.columns) == list(COST_COLUMNS) and list(roles.columns) == list(ROLE_COLUMNS)
    expected = {
        (m, g, s) for m in ("fan", "pump") for g in ("effects", "real_holdout", "normal_holdout") for s in (0, 1)
    }
    assert set(zip(costs["machine"], costs["generator"], costs["seed"], strict=True)) == expected
    counts = results.generated.groupby(["machine", "generator", "seed"]).size()
    for row in costs.itertuples():
        assert row.n_clips == counts[row.machine, row.generator, row.seed]
        assert row.seconds > 0
    assert costs["training_seconds"].isna().all() and costs["parameters"].isna().all()
    found = {(r.machine, r.role, r.condition): r.n_clips for r in roles.itertuples()}
    for machine in ("fan", "pump"):
        assert found[machine, "fit", "normal"] == 8
        for condition in ("normal", "anomaly"):
            assert found[machine, "pool", condition] == found[machine, "test", condition] == 3
    assert len(found) == 10


def test_a_generator_that_learns_has_costs_of_training(
    spec_data: dict[str, Any], learner: Path, tmp_path: Path
) -> None:
    spec = spec_data | {"plugins": [str(learner)], "generators": {"learner": {"use": "learner"}}, "embeddings": {}}
    results = run(spec, tmp_path)
    costs = results.heard.costs.set_index(["generator", "machine"])
    assert not any("." in generator for generator, _ in costs.index)  # variants are left out
    assert (costs.loc["learner", "training_seconds"] >= 0).all()
    assert costs.loc["real_holdout", "training_seconds"].isna().all()
    known = results.heard.nearest
    assert set(known["generator"]) == {"learner"} and set(known["n_training"]) == {12}
    # It makes noise of its own, which is no copy.
    assert known.loc[known["set"] == "generated", "cosine"].max() < 0.9
    assert set(results.comparison.memorisation["n_training"]) == {12}


FORGETFUL = '''
import numpy as np
import pandas as pd
from asdbench import GeneratedClip, Generator, generator

@generator("forgetful")
class Forgetful(Generator):
    """A finished model that keeps no fingerprints."""

    learns = True

    def needs_training(self):
        return False

    def learnt_from(self, model):
        labels = {"clip_id": "a.wav", "machine": "fan", "section": "00", "domain": "source", "attributes": {}}
        return pd.DataFrame([labels | {"condition": "normal", "content_hash": "a"}])

    def generate(self, request):
        for row in request.rows.itertuples():
            yield GeneratedClip(0.1 * self.rng(row.clip_id).standard_normal(8000), {})
'''


def test_a_model_without_fingerprints_says_so(spec_data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    spec = spec_data | {"plugins": [str(tmp_path / "forgetful.py")], "machines": ["fan"], "embeddings": {}}
    results = run(spec | {"generators": {"old": {"use": "forgetful"}}}, tmp_path)
    row = results.comparison.memorisation.set_index("generator").loc["old"]
    assert "keeps no fingerprints" in row["reason"] and np.isnan(row["nearer"])
    assert "keeps no fingerprints" in " ".join(str(results).split())
    assert str(asdbench.load(results.folder)) == str(results)


def test_a_second_run_computes_nothing_anew(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec |= {"seeds": [0]}
    first = run(spec, tmp_path)
    monkeypatch.setattr("asdbench.runner.run_units", lambda *args: pytest.fail("something was computed"))
    second = run(spec, tmp_path)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(second.heard, name), getattr(first.heard, name))
    loaded = asdbench.load(first.folder)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded.heard, name), getattr(first.heard, name))
    pd.testing.assert_frame_equal(loaded.comparison.memorisation, first.comparison.memorisation)
    assert str(loaded) == str(first)
    written = pd.read_csv(first.folder / "table_ii.csv").set_index("machine")
    assert written.loc["fan", "validation_anomaly"] == 3


def test_another_embedding_leaves_the_clips_alone(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asdbench import runner

    spec |= {"seeds": [0], "machines": ["fan"]}
    run(spec, tmp_path)
    stages: list[str] = []
    original = runner.run_units
    monkeypatch.setattr(
        runner, "run_units", lambda units, *rest: stages.extend(u.stage for u in units) or original(units, *rest)
    )
    again = run(spec | {"embeddings": {"coarse": {"use": "logmel_stats", "bands": 16}}}, tmp_path)
    assert set(stages) == {"quality"}
    assert set(again.quality["embedding_name"]) == {"coarse"} and set(again.quality["dim"]) == {32}
    assert set(again.quality["machine"]) == {"fan"}  # one machine: no rows over all


def test_no_embeddings_give_no_quality(spec: dict[str, Any], tmp_path: Path) -> None:
    results = run(spec | {"embeddings": {}, "seeds": [0]}, tmp_path)
    assert results.quality.empty and list(results.quality.columns) == list(QUALITY_COLUMNS)
    assert not results.heard.nearest.empty
    assert "Sound of generated" not in str(results)
    pd.testing.assert_frame_equal(
        asdbench.load(results.folder).quality, results.quality, check_dtype=False, check_index_type=False
    )


DEAF = '''
import numpy as np
from asdbench import Embedding, embedding

@embedding("deaf")
class Deaf(Embedding):
    """Hears nothing."""

    @property
    def sample_rate(self):
        return 16000

    @property
    def dim(self):
        return 2

    def embed(self, waveform):
        raise ValueError("no ears")
'''


def test_an_embedding_that_raises_is_named_and_the_others_stand(
    spec_data: dict[str, Any], tmp_path: Path, write_spec: Any, refusal: Any
) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    spec = spec_data | {"plugins": [str(tmp_path / "deaf.py")]}
    spec["embeddings"] = {"sharp": {"use": "logmel_stats"}, "deaf": {"use": "deaf"}}
    with pytest.raises(IncompleteRunError, match=r"could not compare the sound of .* by deaf, seed 0: .*no ears") as e:
        run(spec, tmp_path)
    results = e.value.results
    table = results.quality
    failed, whole = table[table["embedding_name"] == "deaf"], table[table["embedding_name"] == "sharp"]
    assert failed["value"].isna().all() and failed["remark"].str.contains("no ears").all()
    assert set(failed["machine"]) == set(whole["machine"]) == {"fan", "pump", POOLED}
    assert whole.loc[whole["metric"] == "fad", "value"].notna().all()
    assert results.gaps["gap"].notna().all() and results.problems == []
    assert "no ears" in " ".join(str(results).split())
    assert str(asdbench.load(results.folder)) == str(results)
    sentence = refusal("run", write_spec(spec), "--runs", tmp_path / "runs", "--workers", 0)
    assert "by deaf" in sentence and "the other cells are computed" in sentence


def test_a_seed_without_clips_is_missing_from_every_figure(spec: dict[str, Any], tmp_path: Path) -> None:
    """A mean over the seed that is left would not be the mean that was asked for."""
    unlucky = derive_seed(1, "generate", "fan")

    @plugins.generator("moody")
    class Moody(plugins.Generator):
        """Fails with one seed."""

        def generate(self, request: plugins.Request) -> Iterator[plugins.GeneratedClip]:
            if self.seed == unlucky:
                raise ValueError("no mood")
            for row in request.rows.itertuples():
                yield plugins.GeneratedClip(0.1 * self.rng(row.clip_id).standard_normal(8000), {})

    with pytest.raises(IncompleteRunError, match="no mood") as error:
        run(spec | {"generators": {"moody": {"use": "moody"}}}, tmp_path)
    results = error.value.results
    assert results.comparison.memorisation["reason"].str.contains("no mood").tolist() == [True, False]
    table = clip_tables.table_iii(results.comparison)
    cells = {
        (row[1], name): cell
        for row in table.rows
        if row[0] == "moody"
        for name, cell in zip(table.header, row, strict=True)
    }
    for condition in ("anomaly", "normal"):
        for name in ("fad (logmel_stats)", "kad (logmel_stats)"):
            assert cells[condition, name].startswith("– ("), (condition, name)
    assert any("no mood" in note for note in table.notes)
    costs = results.heard.costs.query("generator == 'moody'")
    assert set(zip(costs["machine"], costs["seed"], strict=True)) == {("fan", 0), ("pump", 0), ("pump", 1)}


def test_a_run_of_an_older_version_still_loads(spec_data: dict[str, Any], tmp_path: Path) -> None:
    results = run(spec_data | {"machines": ["fan"]}, tmp_path)
    for name in TABLES:
        (results.folder / f"{name}.parquet").unlink()
    spec_file = results.folder / "spec.yaml"
    spec_file.write_text(re.sub(r"(?m)^embeddings:\n(  .*\n)+", "", spec_file.read_text()))
    assert "embeddings" not in spec_file.read_text()
    loaded = asdbench.load(results.folder)
    for name in TABLES:
        table = getattr(loaded.heard, name)
        assert table.empty and list(table.columns) == list(getattr(results.heard, name).columns)
    pd.testing.assert_frame_equal(loaded.gaps, results.gaps)
    assert "gap" in str(loaded)


def test_tables_are_written_and_read_back(tmp_path: Path) -> None:
    rows = {
        "quality": {"generator": "a", "seed": 0, "machine": "fan", "metric": "fad", "value": 0.25, "n_real": 3},
        "nearest": {"machine": "fan", "generator": "a", "seed": 0, "clip_id": "x", "cosine": 0.5, "n_training": 2},
        "costs": {"machine": "fan", "generator": "a", "seed": 0, "n_clips": 2, "seconds": 1.5, "parameters": 7.0},
        "roles": {"machine": "fan", "role": "fit", "condition": "normal", "n_clips": 4},
    }
    columns = dict(zip(TABLES, (QUALITY_COLUMNS, NEAREST_COLUMNS, COST_COLUMNS, ROLE_COLUMNS), strict=True))
    heard = Heard(**{name: pd.DataFrame([row], columns=list(columns[name])) for name, row in rows.items()})
    heard.save(tmp_path)
    loaded = Heard.load(tmp_path)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(heard, name))
