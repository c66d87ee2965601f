"""Fitting outside of a benchmark, and the threshold that comes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import asdbench
from asdbench import ThresholdRule, UserError, plugins
from asdbench.clips import ClipSet
from asdbench.fitted.deciding import threshold_of
from asdbench.metrics.threshold import threshold
from asdbench.testing import example_clips


def test_anomalous_clips_are_left_out(fitted, clips, tmp_path):
    both = ClipSet.concat([clips, example_clips(tmp_path, 0, 3)])
    assert asdbench.fit("logmel_knn", both).record == fitted.record


def test_the_threshold_follows_from_the_scores_of_the_training_clips(fitted, clips):
    scores = fitted.score(clips)["score"].to_numpy()
    assert fitted.record.threshold.value == threshold(scores, 0.9)
    other = asdbench.fit("logmel_knn", clips, rule=ThresholdRule("empirical", 0.5))
    assert other.record.threshold.value == np.median(scores)


def test_no_threshold_is_set_where_none_follows(clips, capsys):
    assert threshold_of(np.ones(5), ThresholdRule(), "mine") is None
    assert "'mine' has no decision threshold: a gamma distribution needs two different" in capsys.readouterr().err
    assert threshold_of(None, ThresholdRule(), "mine") is None
    assert "its scores of the training clips are not known" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"quantile of the threshold is 1\.5"):
        ThresholdRule("gamma", 1.5)


def test_settings_are_taken_and_the_given_detector_is_not_changed(clips):
    given = plugins.detectors.get("logmel_knn")(k=3)
    fitted = asdbench.fit(given, clips)
    assert fitted.record.detector.settings == {"k": 3}
    assert not given.get_state()


def test_what_cannot_be_fitted_on_is_said(clips):
    with pytest.raises(UserError, match=r"one machine type to fit 'logmel_knn' on, found none"):
        asdbench.fit("logmel_knn", clips.select([]))
    frame = pd.concat([clips.frame, clips.frame.assign(machine="other")], ignore_index=True)
    with pytest.raises(UserError, match="found those of example, other"):
        asdbench.fit("logmel_knn", ClipSet(frame))

    class Broken(plugins.Detector):
        """Fails."""

        name = "broken"

        def fit(self, clips):
            raise ZeroDivisionError("none")

    with pytest.raises(UserError, match="'broken' cannot be fitted: ZeroDivisionError: none"):
        asdbench.fit(Broken(), clips)


def test_a_detector_that_listens_to_nothing_is_refused(clips, tmp_path):
    with pytest.raises(UserError, match="'scores' looks up scores that were made elsewhere"):
        asdbench.fit(plugins.detectors.get("scores")(path=str(tmp_path)), clips)
