"""The real scores of the DCASE 2023 baseline give every value that was published with them."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asdbench.challenge.evaluation import Evaluation, evaluate
from asdbench.compare import compare

AREAS = ["AUC (source)", "AUC (target)", "pAUC", "pAUC (source)", "pAUC (target)"]
MACHINES = ["ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"]


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Path:
    return shared_data / "scores_dcase2023_ae_mse"


@pytest.fixture(scope="module")
def found(published: Path) -> Evaluation:
    return evaluate(published)


@pytest.fixture(scope="module")
def numbers(found: Evaluation) -> pd.DataFrame:
    return found.tables()[0].numbers.set_index(["machine", "section"])


def test_year_machines_and_seed_are_read_off_the_names(found: Evaluation) -> None:
    assert found.year == 2023
    assert found.machines == tuple(MACHINES)
    assert list(found.systems) == ["scores_dcase2023_ae_mse, seed 13711"]


def test_the_official_score(numbers: pd.DataFrame) -> None:
    assert numbers.loc[("all", "official score"), "official score"] == pytest.approx(0.5526191006, abs=1e-9)


def test_every_value_of_the_result_files(numbers: pd.DataFrame, published: Path) -> None:
    compared = 0
    for machine in MACHINES:
        (path,) = published.glob(f"result_DCASE2023T2{machine}_*.csv")
        expected = pd.read_csv(path, dtype={"section": str})
        for row in expected.to_dict("records"):
            mine = numbers.loc[(machine, row.pop("section"))]
            for column, value in row.items():
                assert mine[column] == pytest.approx(value, abs=1e-9), (machine, column)
                compared += 1
    assert compared == 7 * 3 * 11


def test_every_value_of_the_summary(numbers: pd.DataFrame, published: Path) -> None:
    expected = pd.read_csv(published / "published_summary.csv", index_col=0).loc["baseline_MSE"]
    mine: dict[str, float] = {}
    for machine in MACHINES:
        for area in AREAS:
            # The file repeats the pAUC of all clips in its "mean" columns of the domains' pAUC.
            repeated = "pAUC" if area.startswith("pAUC") else area
            for mean in ("arithmetic mean", "harmonic mean"):
                mine[f"{machine}_dev_{mean}_{area}"] = numbers.loc[(machine, mean), repeated]
            mine[f"{machine}_dev_00_{area}_ave"] = numbers.loc[(machine, "arithmetic mean"), area]
            mine[f"{machine}_dev_00_{area}_hmean"] = numbers.loc[(machine, "harmonic mean"), area]
            mine[f"{machine}_dev_00_{area}_std"] = math.nan
    for area in AREAS:
        repeated = "pAUC" if area.startswith("pAUC") else area
        mine[f"ALL_{area}_ave"] = numbers.loc[("all", "arithmetic mean"), repeated]
        mine[f"ALL_{area}_std"] = numbers.loc[("all", "standard deviation"), repeated]
        mine[f"ALL_{area}_hmean"] = numbers.loc[("all", "harmonic mean"), area]
    # Over several columns the file's deviation is that of the population.
    for name, areas in (("ALL_AUC", AREAS[:2]), ("TOTAL_score", AREAS[:3])):
        values = numbers.loc[[(machine, "00") for machine in MACHINES], areas].to_numpy()
        mine |= {f"{name}_ave": values.mean(), f"{name}_std": values.std(), f"{name}_hmean": 1 / (1 / values).mean()}
    mine["TOTAL_score_hmean"] = numbers.loc[("all", "official score"), "official score"]
    assert set(mine) == set(expected.index)
    for name, value in mine.items():
        assert value == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name


def test_the_intervals_are_those_of_a_comparison_of_the_same_scores(found: Evaluation, numbers: pd.DataFrame) -> None:
    (clips,) = found.clips.values()
    imported = clips.rename(columns={"clip": "clip_id"}).assign(
        seed=0, generation_seed=-1, detector="ae", source="real", split="test", content_hash=""
    )
    sets = {"original": {"normal": "real", "anomaly": "real"}}
    compared = compare(imported, sets, MACHINES, years=(2023,), resamples=200)
    total = compared.official_summary.iloc[0]
    mine = numbers.loc[("all", "official score")]
    assert (mine["official score: low"], mine["official score: high"]) == pytest.approx((total["low"], total["high"]))
    # The jackknife of the official evaluators gives 0.0004 here, a factor of the number of clips too little.
    assert 0.03 < total["high"] - total["low"] < 0.08
    auc = compared.metrics[(compared.metrics["section"] == "00") & (compared.metrics["metric"] == "auc")]
    assert np.isfinite(auc["low"]).all()


def test_the_command_prints_the_score(published: Path, asdbench_command) -> None:
    done = asdbench_command("evaluate", published, "--csv")
    assert done.returncode == 0, done.stderr
    last = pd.read_csv(io.StringIO(done.stdout)).iloc[-1]
    assert last["section"] == "official score"
    assert last["official score"] == pytest.approx(0.5526191006, abs=1e-9)
