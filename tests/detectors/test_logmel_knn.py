"""k nearest neighbours on pooled log-mel, against distances computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.detectors.logmel_knn import LogmelKnn
from asdbench.features import logmel
from asdbench.testing import check_detector, example_clips


@pytest.mark.parametrize("k", [1, 3, 50])
def test_contract(k):
    check_detector(LogmelKnn, k=k)


@pytest.mark.parametrize("k", [1, 3])
def test_scores_are_mean_distances_to_the_k_nearest(tmp_path, k):
    train, test = example_clips(tmp_path, 8, 0), example_clips(tmp_path, 3, 2, "test")

    def pooled(clips):
        mels = [logmel(waveform) for waveform in clips.waveforms()]
        return np.array([[*mel.mean(axis=0), *mel.std(axis=0)] for mel in mels], dtype=np.float64)

    distances = np.sqrt(((pooled(test)[:, None] - pooled(train)[None]) ** 2).sum(axis=-1))
    detector = LogmelKnn(k=k)
    detector.fit(train)
    assert np.allclose(detector.score(test), np.sort(distances, axis=1)[:, :k].mean(axis=1), rtol=1e-4)


def test_a_training_clip_is_not_its_own_neighbour(tmp_path):
    train = example_clips(tmp_path, 8, 0)
    detector = LogmelKnn(k=2)
    detector.fit(train)
    pooled = detector.train_.astype(np.float64)
    distances = np.sqrt(((pooled[:, None] - pooled[None]) ** 2).sum(axis=-1))
    expected = np.sort(distances, axis=1)[:, 1:3].mean(axis=1)
    assert np.allclose(detector.score(train), expected, rtol=1e-4)
    assert detector.score(train).min() > 1


def test_the_plugin_is_one_short_file():
    import inspect
    from pathlib import Path

    assert len(Path(inspect.getsourcefile(LogmelKnn)).read_text().splitlines()) <= 25
