from __future__ import annotations

import math

import click
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from asdbench.cli import detecting
from asdbench.metrics.threshold import METHODS, Gamma, fit_gamma, precision_recall_f1, threshold


@pytest.mark.parametrize(("shape", "loc", "scale"), [(2.0, 0.0, 1.0), (5.0, -3.0, 0.1), (40.0, 100.0, 2.0)])
def test_fit_is_the_maximum_that_scipy_finds(shape: float, loc: float, scale: float) -> None:
    scores = stats.gamma.rvs(shape, loc=loc, scale=scale, size=2000, random_state=1)
    found = fit_gamma(scores)
    by_scipy = stats.gamma.fit(scores)
    assert found.log_likelihood(scores) >= stats.gamma.logpdf(scores, *by_scipy).mean() - 1e-9
    assert found.quantile(0.9) == pytest.approx(stats.gamma.ppf(0.9, *by_scipy), rel=1e-3, abs=1e-3 * scale)
    assert found.quantile(0.9) == pytest.approx(stats.gamma.ppf(0.9, shape, loc, scale), rel=0.05, abs=0.3 * scale)


def test_density_and_quantile_are_those_of_scipy() -> None:
    gamma = Gamma(3.0, -2.0, 0.5)
    x = np.linspace(-1.9, 4, 7)
    assert gamma.log_likelihood(x) == pytest.approx(stats.gamma.logpdf(x, 3.0, -2.0, 0.5).mean(), rel=1e-12)
    assert gamma.quantile(0.3) == pytest.approx(stats.gamma.ppf(0.3, 3.0, -2.0, 0.5), rel=1e-12)
    assert gamma.log_likelihood(np.array([-3.0])) == -math.inf


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0, 1000.0])
def test_no_gamma_of_shape_one_or_more_nearby_is_likelier(shape: float) -> None:
    scores = stats.gamma.rvs(shape, size=300, random_state=2)
    found = fit_gamma(scores)
    best = found.log_likelihood(scores)
    assert found.shape >= 1
    for factor in (0.98, 1.02):
        for other in (
            Gamma(max(1.0, found.shape * factor), found.loc, found.scale),
            Gamma(found.shape, found.loc, found.scale * factor),
            Gamma(found.shape, scores.min() - (scores.min() - found.loc) * factor, found.scale),
        ):
            # The farthest location is a limit of the search, where the likelihood is flat to seven digits.
            assert other.log_likelihood(scores) <= best + 1e-6


def test_threshold_moves_with_the_scores() -> None:
    scores = stats.gamma.rvs(4, size=500, random_state=3)
    limit = threshold(scores)
    assert threshold(scores - 1000) == pytest.approx(limit - 1000, abs=1e-5)  # log-likelihoods: negative scores
    assert threshold(1e-6 * scores) == pytest.approx(1e-6 * limit, rel=1e-6)
    assert threshold(np.random.default_rng(0).permutation(scores)) == limit


@pytest.mark.parametrize(
    "scores",
    [
        stats.gamma.rvs(3, size=5000, random_state=4),
        stats.norm.rvs(-50, 2, size=5000, random_state=4),
        stats.expon.rvs(size=5000, random_state=4),
    ],
    ids=["gamma", "normal", "exponential"],
)
def test_one_training_clip_in_ten_lies_above(scores: np.ndarray) -> None:
    assert np.mean(scores > threshold(scores, 0.9)) == pytest.approx(0.1, abs=0.015)


def test_data_skewed_to_the_left_get_a_normal_distribution() -> None:
    scores = -stats.gamma.rvs(3, size=1000, random_state=5)
    expected = stats.norm.ppf(0.9, scores.mean(), scores.std())
    assert threshold(scores) == pytest.approx(expected, abs=0.01 * scores.std())


@pytest.mark.parametrize("scores", [[], [1.0], [2.0, 2.0, 2.0]])
def test_too_few_scores(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="two different training scores"):
        fit_gamma(scores)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 training scores are not finite"):
        fit_gamma([1.0, 2.0, np.nan])
    with pytest.raises(ValueError, match="quantile is 1"):
        threshold([1.0, 2.0], 1)
    with pytest.raises(ValueError, match="shapes"):
        precision_recall_f1(np.array([True]), np.array([True, False]))


def test_precision_recall_f1_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    truth, decision = rng.random(100) < 0.4, rng.random(100) < 0.6
    expected = precision_recall_fscore_support(truth, decision, average="binary")[:3]
    assert precision_recall_f1(truth, decision) == pytest.approx(expected, abs=1e-12)


def test_silence_gains_nothing_and_no_anomaly_is_undefined() -> None:
    truth, nothing = np.array([True, False]), np.zeros(2, dtype=bool)
    assert precision_recall_f1(truth, nothing) == (0.0, 0.0, 0.0)
    assert all(math.isnan(value) for value in precision_recall_f1(nothing, truth))


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("clips", [1, 2, 7, 200])
def test_the_empirical_threshold_is_the_quantile_of_numpy(quantile: float, clips: int) -> None:
    scores = np.random.default_rng(clips).normal(size=clips)
    assert threshold(scores, quantile, "empirical") == np.quantile(scores, quantile)


def test_the_empirical_threshold_keeps_its_word_on_skewed_scores() -> None:
    """Scores of two kinds of clips are no gamma; the share above the threshold is what was asked for all the same."""
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(0, 1, 800), rng.normal(50, 1, 200)]
    assert np.mean(scores > threshold(scores, 0.9, "empirical")) == pytest.approx(0.1, abs=0.001)
    assert abs(np.mean(scores > threshold(scores, 0.9, "gamma")) - 0.1) > 0.02


@pytest.mark.parametrize(
    ("scores", "method", "words"),
    [
        ([], "empirical", "no training scores"),
        ([1.0, math.nan], "empirical", "1 of 2 training scores are not finite"),
        ([1.0, 2.0], "median", "method is 'median'; expected one of gamma, empirical"),
    ],
)
def test_a_threshold_that_cannot_be_had(scores: list[float], method: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        threshold(scores, 0.9, method)


@pytest.mark.parametrize("exponent", [-1000, -700, 500, 1000])
@pytest.mark.parametrize("method", ["gamma", "empirical"])
def test_thresholds_scale_with_the_scores_however_large_or_small(exponent: int, method: str) -> None:
    scores = 1 + np.random.default_rng(0).gamma(2.0, size=50)
    expected = threshold(scores, 0.9, method)
    assert threshold(np.ldexp(scores, exponent), 0.9, method) == pytest.approx(math.ldexp(expected, exponent), rel=1e-9)


def test_the_command_line_offers_the_methods_there_are() -> None:
    (option,) = (option for option in detecting.fit.params if option.name == "method")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == METHODS
