from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asdbench.compare import compare
from asdbench.metrics import official
from asdbench.metrics.official import official_score

# What published_summary.csv calls its columns, by machine.
AREAS = ("pAUC", "pAUC (source)", "pAUC (target)", "AUC (source)", "AUC (target)")


def scores_of(sections: dict[str, tuple[str, ...]], seed: int = 0, clips: int = 24) -> pd.DataFrame:
    """Random scores: ``clips`` clips in each section of each machine, both domains and conditions."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "machine": machine,
            "section": section,
            "domain": ("source", "target")[clip % 2],
            "condition": ("normal", "anomaly")[clip // 2 % 2],
            "score": rng.normal() + (clip // 2 % 2) * 0.5,
        }
        for machine, names in sections.items()
        for section in names
        for clip in range(clips)
    ]
    return pd.DataFrame(rows)


def sk(clips: pd.DataFrame, max_fpr: float | None = None) -> float:
    return float(roc_auc_score(clips["condition"] == "anomaly", clips["score"], max_fpr=max_fpr))


def test_total_of_the_real_2023_scores(real_scores: pd.DataFrame) -> None:
    machines = sorted(real_scores["machine"].unique())
    found = official_score(real_scores, 2023, machines)
    assert found.total == pytest.approx(0.5526191006, abs=1e-9)
    assert found.partial == found.total
    assert found.scored == tuple(machines)
    assert not found.missing


def test_total_of_the_real_2023_scores_through_the_comparison(real_scores: pd.DataFrame) -> None:
    """Scores made elsewhere enter at the same door."""
    imported = real_scores.drop(columns="decision").assign(
        seed=0, generation_seed=-1, detector="ae", source="real", split="test", content_hash=""
    )
    machines = sorted(real_scores["machine"].unique())
    found = compare(imported, {"original": {"normal": "real", "anomaly": "real"}}, machines, years=(2023,))
    total = found.official[found.official["row"] == "total"]
    assert list(total["value"]) == [pytest.approx(0.5526191006, abs=1e-9)]


def test_every_value_of_the_published_result_files(real_scores: pd.DataFrame, published_folder: Path) -> None:
    compared = 0
    for path in sorted(published_folder.glob("result_*_roc.csv")):
        match = re.search(r"DCASE2023T2([A-Za-z]+)_test", path.name)
        assert match is not None
        expected = pd.read_csv(path, dtype={"section": str})
        found = official.result_table(real_scores[real_scores["machine"] == match[1]])
        assert list(found.columns) == list(expected.columns)
        assert list(found["section"]) == list(expected["section"])
        np.testing.assert_allclose(
            found.iloc[:, 1:].astype(float), expected.iloc[:, 1:].astype(float), rtol=0, atol=1e-9
        )
        compared += expected.iloc[:, 1:].size
    assert compared == 7 * 3 * 11


def test_every_value_of_the_published_summary(real_scores: pd.DataFrame, published_folder: Path) -> None:
    published = pd.read_csv(published_folder / "published_summary.csv", index_col=0).loc["baseline_MSE"]
    machines = sorted(real_scores["machine"].unique())
    tables = {m: official.result_table(real_scores[real_scores["machine"] == m]).iloc[0] for m in machines}
    column = {area: np.array([float(tables[m][area]) for m in machines]) for area in AREAS}
    expected: dict[str, float] = {}
    for machine, table in tables.items():
        for area in AREAS:
            value = float(table[area])
            expected |= {f"{machine}_dev_00_{area}_{mean}": value for mean in ("ave", "hmean")}
            # The file repeats the pAUC of all clips in its "mean" columns of the domains' pAUC.
            repeated = float(table["pAUC"]) if area.startswith("pAUC") else value
            expected |= {f"{machine}_dev_{mean} mean_{area}": repeated for mean in ("arithmetic", "harmonic")}
            expected[f"{machine}_dev_00_{area}_std"] = math.nan
    for area in AREAS:
        own = column["pAUC"] if area.startswith("pAUC") else column[area]
        expected[f"ALL_{area}_ave"] = official.arithmetic_mean(own)
        expected[f"ALL_{area}_std"] = float(own.std(ddof=1))
        expected[f"ALL_{area}_hmean"] = official.harmonic_mean(column[area])
    both = np.concatenate([column["AUC (source)"], column["AUC (target)"]])
    everything = np.concatenate([both, column["pAUC"]])
    for name, values in (("ALL_AUC", both), ("TOTAL_score", everything)):
        # Over several columns the file's deviation is that of the population.
        expected |= {f"{name}_ave": official.arithmetic_mean(values), f"{name}_std": float(values.std())}
        expected[f"{name}_hmean"] = official.harmonic_mean(values)
    assert set(expected) == set(published.index)
    for name, value in expected.items():
        assert published[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_means_over_machines_of_the_real_scores(real_scores: pd.DataFrame, published_folder: Path) -> None:
    published = pd.read_csv(published_folder / "published_summary.csv", index_col=0).loc["baseline_MSE"]
    rows = official_score(real_scores, 2023, sorted(real_scores["machine"].unique())).rows
    over_all = rows[(rows["machine"] == "all")].set_index(["row", "measure"])["value"]
    for measure, area in (("auc_source", "AUC (source)"), ("auc_target", "AUC (target)"), ("pauc", "pAUC")):
        assert over_all["arithmetic mean", measure] == pytest.approx(published[f"ALL_{area}_ave"], abs=1e-9)
        assert over_all["harmonic mean", measure] == pytest.approx(published[f"ALL_{area}_hmean"], abs=1e-9)


def test_2020_averages_ids_within_machines_first() -> None:
    scores = scores_of({"fan": ("00", "02", "04"), "valve": ("00",)})
    by_machine = []
    for machine in ("fan", "valve"):
        own = scores[scores["machine"] == machine]
        ids = [own[own["section"] == s] for s in own["section"].unique()]
        by_machine.append((np.mean([sk(i) for i in ids]) + np.mean([sk(i, 0.1) for i in ids])) / 2)
    assert official_score(scores, 2020, ["fan", "valve"]).total == pytest.approx(np.mean(by_machine), abs=1e-12)


def test_2021_is_the_harmonic_mean_within_domains() -> None:
    scores = scores_of({"fan": ("00", "01"), "valve": ("00",)})
    values = [
        sk(clips, max_fpr) for _, clips in scores.groupby(["machine", "section", "domain"]) for max_fpr in (None, 0.1)
    ]
    assert len(values) == 3 * 2 * 2
    assert official_score(scores, 2021, ["fan", "valve"]).total == pytest.approx(hmean(values), abs=1e-12)


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025, 2026])
def test_since_2022_domains_share_the_anomalies(year: int) -> None:
    scores = scores_of({"fan": ("00", "01"), "valve": ("00",)})
    values = []
    for _, clips in scores.groupby(["machine", "section"]):
        anomalous = clips["condition"] == "anomaly"
        values += [sk(clips[anomalous | (clips["domain"] == domain)]) for domain in ("source", "target")]
        values.append(sk(clips, 0.1))
    assert official_score(scores, year, ["fan", "valve"]).total == pytest.approx(hmean(values), abs=1e-12)


def test_a_machine_that_cannot_be_scored_is_never_averaged_over_silently() -> None:
    scores = scores_of({"fan": ("00", "01"), "slider": ("00", "01"), "valve": ("00",)})
    no_anomaly = (scores["machine"] == "slider") & (scores["section"] == "01") & (scores["condition"] == "anomaly")
    found = official_score(scores[~no_anomaly], 2023, ["fan", "slider", "valve", "pump"], {"pump": "not recorded"})
    assert math.isnan(found.total)
    assert found.missing == {"slider": "section 01: no anomalous test clip", "pump": "not recorded"}
    assert found.reason == "slider: section 01: no anomalous test clip; pump: not recorded"
    assert found.scored == ("fan", "valve")
    assert found.partial == official_score(scores, 2023, ["fan", "valve"]).total
    over_all = found.rows[found.rows["machine"] == "all"]
    assert over_all["value"].isna().all()
    assert (over_all["reason"] == found.reason).all()
    undefined = found.rows[found.rows["value"].isna() & (found.rows["machine"] == "slider")]
    assert set(undefined["section"]) == {"01"}


def test_no_machine_at_all() -> None:
    found = official_score(scores_of({"fan": ("00",)}), 2023, ["pump"])
    assert math.isnan(found.total)
    assert math.isnan(found.partial)
    assert found.reason == "pump: no scored test clip"


def test_data_without_domains_have_no_score_of_a_year_with_domains() -> None:
    scores = scores_of({"fan": ("00",)}).assign(domain="none")
    found = official_score(scores, 2022, ["fan"])
    assert math.isnan(found.total)
    assert "no normal test clip in the source domain" in found.reason
    assert official_score(scores, 2020, ["fan"]).total > 0


def test_means() -> None:
    assert official.harmonic_mean([0.5, 0.25]) == pytest.approx(1 / 3)
    assert official.harmonic_mean([0.0, 1.0]) == pytest.approx(2 * np.finfo(float).eps, rel=1e-9, abs=0)
    assert math.isnan(official.harmonic_mean([0.5, math.nan]))
    assert math.isnan(official.harmonic_mean([]))
    assert math.isnan(official.arithmetic_mean([]))


def test_unknown_year() -> None:
    with pytest.raises(ValueError, match="no official score of 2019"):
        official_score(scores_of({"fan": ("00",)}), 2019, ["fan"])


def test_clips_of_unknown_condition_are_left_out() -> None:
    scores = scores_of({"fan": ("00",)})
    extra = scores.head(5).assign(condition="unknown", score=99.0)
    more = pd.concat([scores, extra], ignore_index=True)
    assert official_score(more, 2023, ["fan"]).total == official_score(scores, 2023, ["fan"]).total
