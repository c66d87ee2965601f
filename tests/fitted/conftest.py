"""Fixtures: a fitted detector and its folder, made once a module."""

from __future__ import annotations

import pytest

import asdbench
from asdbench.testing import example_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve normal training clips of a machine "example"."""
    return example_clips(tmp_path_factory.mktemp("clips"), anomaly=0)


@pytest.fixture(scope="module")
def fitted(clips):
    return asdbench.fit("logmel_knn", clips)


@pytest.fixture
def saved(fitted, tmp_path):
    """Folder of the fitted detector."""
    folder = tmp_path / "detector"
    fitted.save(folder)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Six normal and four anomalous recordings, with labels."""
    return example_clips(tmp_path_factory.mktemp("recordings"), 6, 4, "test")
