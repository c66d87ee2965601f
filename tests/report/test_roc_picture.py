"""Pictures of ROC and DET curves: one for each machine, a line for each system, probit axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from asdbench.compare.operating import curves_of_clips, joined
from asdbench.report.roc_picture import draw_pictures


@pytest.fixture
def curves():
    rng = np.random.default_rng(0)
    parts = []
    for machine in ("fan", "my/valve 1"):
        for label in ("original", "effects"):
            is_anomaly = np.repeat([False, True], 2000)
            score = rng.normal(size=4000) + 1.0 * is_anomaly
            domain = np.full(4000, "none", dtype=object)
            parts.append(curves_of_clips(is_anomaly, score, domain, {"machine": machine, "label": label}))
    return joined(parts)


def test_one_picture_a_machine(curves, tmp_path) -> None:
    files = draw_pictures(curves, tmp_path)
    assert [file.name for file in files] == ["roc_fan.png", "roc_my-valve-1.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_normal_scores_are_a_straight_line_on_probit_axes(curves, tmp_path, monkeypatch) -> None:
    from matplotlib.figure import Figure

    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))[1])
    draw_pictures(curves, tmp_path)
    roc, det = kept[0].axes
    assert [text.get_text() for text in roc.get_legend().get_texts()] == ["original", "effects"]
    x, y = (np.asarray(values) for values in det.lines[0].get_data())
    inside = (np.abs(x) < 2) & (np.abs(y) < 2)
    # Scores of equal spread and a distance of 1: miss rate = Phi(-1 - Phi^-1(fpr)).
    np.testing.assert_allclose(y[inside], -1 - x[inside], atol=0.15)
    assert det.get_xticklabels()[3].get_text() == "50 %"
    assert det.get_xticks()[0] == pytest.approx(norm.ppf(0.01))
