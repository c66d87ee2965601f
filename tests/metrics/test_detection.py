from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from asdbench import plugins
from asdbench.metrics import detection

DOMAIN_MEASURES = sorted(set(detection.CONTRASTS) - {"auc", "pauc"})


def domains(n: int) -> np.ndarray:
    return np.array(["source", "target"] * n, dtype=object)[:n]


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, with many ties: few levels, or floats drawn at will."""
    normal, anomaly = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    level = st.one_of(st.integers(0, 6).map(float), st.floats(-1e6, 1e6, allow_subnormal=False))
    score = np.array(draw(st.lists(level, min_size=normal + anomaly, max_size=normal + anomaly)))
    return np.repeat([False, True], [normal, anomaly]), score


@given(labelled_scores())
@settings(max_examples=300, deadline=None)
def test_auc_and_pauc_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    is_anomaly, score = case
    domain = domains(len(score))
    assert detection.auc(is_anomaly, score, domain) == pytest.approx(roc_auc_score(is_anomaly, score), abs=1e-12)
    expected = roc_auc_score(is_anomaly, score, max_fpr=0.1)
    assert detection.pauc(is_anomaly, score, domain) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("normals", [9, 10, 11, 50, 99, 100, 990])
@pytest.mark.parametrize("max_fpr", [0.05, 0.1, 0.5, 1.0])
def test_pauc_where_the_limit_falls_on_a_step_and_between(normals: int, max_fpr: float) -> None:
    rng = np.random.default_rng(normals)
    normal, anomaly = rng.normal(size=normals), rng.normal(1, size=60)
    score = np.concatenate([normal, anomaly])
    truth = np.repeat([False, True], [normals, 60])
    expected = roc_auc_score(truth, score, max_fpr=max_fpr)
    assert detection.standardised_partial_auc(normal, anomaly, max_fpr) == pytest.approx(expected, abs=1e-12)


@given(labelled_scores(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_and_monotone_scaling_change_nothing_and_a_sign_mirrors(
    case: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    is_anomaly, score = case
    domain = domains(len(score))
    shuffled = np.random.default_rng(random.randrange(2**32)).permutation(len(score))  # type: ignore[attr-defined]
    value = detection.auc(is_anomaly, score, domain)
    assert detection.auc(is_anomaly[shuffled], score[shuffled], domain[shuffled]) == value
    assert detection.auc(is_anomaly, 4 * score, domain) == value
    assert detection.auc(is_anomaly, -score, domain) == pytest.approx(1 - value, abs=1e-12)


def test_domain_measures_by_hand() -> None:
    domain = np.array(["source"] * 4 + ["target"] * 4, dtype=object)
    is_anomaly = np.array([False, False, True, True] * 2)
    score = np.array([1.0, 4, 3, 6, 2, 5, 0, 7])
    # 2022 on: normal clips of the domain against the anomalies 3, 6, 0, 7 of both.
    assert detection.auc_source(is_anomaly, score, domain) == (3 + 2) / 8
    assert detection.auc_target(is_anomaly, score, domain) == (3 + 2) / 8
    # 2021: against the domain's own: source 3, 6; target 0, 7.
    assert detection.auc_source_only(is_anomaly, score, domain) == (2 + 1) / 4
    assert detection.auc_target_only(is_anomaly, score, domain) == (1 + 1) / 4
    assert detection.auc(is_anomaly, score, domain) == 10 / 16


@pytest.mark.parametrize("name", DOMAIN_MEASURES)
def test_domain_measures_are_the_plain_ones_on_the_clips_they_pick(name: str) -> None:
    rng = np.random.default_rng(3)
    is_anomaly, score = rng.random(200) < 0.5, rng.normal(size=200)
    domain = rng.choice(np.array(["source", "target"], dtype=object), 200)
    wanted = "source" if "source" in name else "target"
    picked = (domain == wanted) | (is_anomaly if name in ("auc_source", "auc_target") else False)
    max_fpr = 0.1 if name.startswith("pauc") else None
    expected = roc_auc_score(is_anomaly[picked], score[picked], max_fpr=max_fpr)
    assert getattr(detection, name)(is_anomaly, score, domain) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "is_anomaly", "domain", "reason"),
    [
        ("auc", [False, False], ["source", "target"], "no anomalous test clip"),
        ("pauc", [True, True], ["source", "target"], "no normal test clip"),
        ("auc", [], [], "no normal test clip, no anomalous test clip"),
        ("auc_target", [False, True], ["source", "target"], "no normal test clip in the target domain"),
        ("auc_source", [False, True], ["none", "none"], "no normal test clip in the source domain"),
        ("pauc_target", [False, True], ["target", "source"], "no anomalous test clip in the target domain"),
        ("auc_source_only", [False, True], ["source", "target"], "no anomalous test clip in the source domain"),
    ],
)
def test_undefined_values_are_nan_and_say_why(
    name: str, is_anomaly: list[bool], domain: list[str], reason: str
) -> None:
    truth, domains_ = np.array(is_anomaly, dtype=bool), np.array(domain, dtype=object)
    assert np.isnan(getattr(detection, name)(truth, np.arange(len(truth), dtype=float), domains_))
    assert detection.why_undefined(detection.CONTRASTS[name], truth, domains_) == reason


@pytest.mark.parametrize("name", sorted(detection.CONTRASTS))
def test_defined_values_have_no_reason(name: str) -> None:
    truth = np.array([False, True, False, True])
    domain = np.array(["source", "source", "target", "target"], dtype=object)
    assert detection.why_undefined(detection.CONTRASTS[name], truth, domain) == ""
    assert 0 <= getattr(detection, name)(truth, np.arange(4.0), domain) <= 1


def test_bad_input_is_refused() -> None:
    truth, score, domain = np.array([False, True]), np.array([0.0, 1.0]), domains(2)
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        detection.auc(truth, np.array([0.0, np.nan]), domain)
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        detection.pauc(truth, np.array([0.0, np.inf]), domain)
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\) and \(2,\)"):
        detection.auc(truth, np.zeros(3), domain)
    with pytest.raises(ValueError, match="expected booleans"):
        detection.auc(np.array([0, 1]), score, domain)
    with pytest.raises(ValueError, match="max_fpr"):
        detection.standardised_partial_auc(score, score, 0.0)


def test_installed_metrics_are_these_functions() -> None:
    for name in ("auc", "auc_source", "auc_target", "pauc"):
        metric = plugins.metrics.get(name)
        assert metric is getattr(detection, name)
        assert detection.contrast_of(metric) == detection.CONTRASTS[name]


def test_a_foreign_metric_of_the_same_name_has_no_contrast() -> None:
    def auc(is_anomaly: object, score: object, domain: object) -> float:
        return 0.0

    assert detection.contrast_of(auc) is None
