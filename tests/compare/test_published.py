from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from asdbench.compare import published_summary
from asdbench.report.published import figures


def test_the_published_table() -> None:
    found = published_summary(figures("mimii_gen").gaps, n_normal=50, n_anomaly=50)
    assert round(100 * found.mean_gap, 2) == 4.28
    assert round(found.pearson, 3) == 0.994
    assert found.spearman == 1 and found.kendall == 1
    assert round(100 * found.mean_floor, 1) == 3.9
    assert list(np.round(100 * found.cells["floor"], 1)) == [4.6, 4.2, 1.6, 4.6, 4.6]
    assert list(np.round(100 * found.cells["floor_high"], 1)) == [11.4, 10.3, 4.0, 11.3, 11.4]
    # Five independent gaps: the signed mean has a z of 4.28 / sd, the mean |gap| is hardly above its expectation.
    assert found.p_signed == pytest.approx(0.063, abs=0.002)
    assert 0.3 < found.p_abs < 0.45
    assert found.sentence == (
        "Mean gap +4.28 points, mean |gap| 4.28; with 50 normal and 50 anomalous clips a set a perfect generator would "
        "show a mean |gap| of 3.9, and one as large as observed in 38 % of experiments: the numbers do not tell the "
        "generator from a perfect one, nor from one that is some points off (0 of 5 machines have a gap outside their "
        "own floor; the mean signed gap has p = 0.06)."
    )


def test_many_clips_tell_more() -> None:
    found = published_summary(figures("mimii_gen").gaps, n_normal=500, n_anomaly=500)
    assert "lean to one side more than chance explains (p = 0.000)" in found.sentence
    assert found.mean_floor == pytest.approx(0.0394 / np.sqrt(10), rel=0.02)
    apart = published_summary({"a": (0.7, 0.8), "b": (0.7, 0.6)}, 500, 500)
    assert "larger than chance explains, and 2 of 2 machines" in apart.sentence
    assert np.isnan(apart.pearson)


def test_p_of_a_cell_is_that_of_its_floor() -> None:
    row = published_summary({"a": (0.7, 0.8)}, 50, 80).cells.iloc[0]
    assert stats.norm.sf(0.1 / (row["floor_high"] / 1.959964)) * 2 == pytest.approx(row["p"])


def test_an_auc_of_one_has_a_floor() -> None:
    row = published_summary({"a": (1.0, 0.98)}, 50, 50).cells.iloc[0]
    assert 0.001 < row["floor"] < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, 50, 50), "no pair of AUCs"),
        (({"fan": (55.0, 60.0)}, 50, 50), "fan has the AUCs"),
        (({"fan": (0.5, 0.6)}, 0, 50), "0 normal and 50 anomalous clips"),
    ],
)
def test_bad_numbers(arguments: tuple[dict[str, tuple[float, float]], int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        published_summary(*arguments)


def test_needs_no_torch() -> None:
    code = "import sys, asdbench.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
