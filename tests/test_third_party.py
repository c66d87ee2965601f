"""A package of somebody else adds a detector: it is built, installed, and used without a word about it in asdbench."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-detectors"
version = "1.2"
dependencies = ["asdbench"]

[project.entry-points."asdbench.detectors"]
acme_peak = "acme_detectors.peak:AcmePeak"

[tool.setuptools]
packages = ["acme_detectors"]
"""

PEAK = '''
"""A detector of another package."""

import numpy as np

from asdbench import Detector, logmel, setting


class AcmePeak(Detector):
    """Largest deviation of a clip's mean log-mel spectrum from that of normal clips."""

    floor: float = setting(0.1, gt=0, description="smallest standard deviation of a band, in dB")

    def fit(self, clips):
        spectra = self._spectra(clips)
        self.mean_, self.std_ = spectra.mean(axis=0), np.maximum(spectra.std(axis=0), self.floor)

    def score(self, clips):
        return np.abs((self._spectra(clips) - self.mean_) / self.std_).max(axis=1)

    def _spectra(self, clips):
        return np.stack([logmel(wave).mean(axis=0) for wave in clips.waveforms()])
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of installed packages with the wheel of the other package in it."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    (source / "acme_detectors").mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "acme_detectors" / "__init__.py").write_text("")
    (source / "acme_detectors" / "peak.py").write_text(PEAK)
    build = ["build", "--wheel", "--no-isolation", "--skip-dependency-check", "--outdir", str(wheels), str(source)]
    install = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([sys.executable, "-m", *build], check=True, capture_output=True)
    (wheel,) = wheels.glob("acme_detectors-1.2-*.whl")
    subprocess.run([sys.executable, "-m", *install, str(wheel)], check=True, capture_output=True)
    assert (site / "acme_detectors-1.2.dist-info" / "entry_points.txt").is_file()
    return site


@pytest.fixture
def with_package(site, asdbench_command):
    """Run the command line where the package is installed."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]

    def command(*words):
        done = asdbench_command(*words, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return command


def test_the_detector_is_listed_and_keeps_its_contract(with_package):
    assert "acme_peak          Largest deviation" in with_package("list")
    assert "floor (float, default 0.1)" in with_package("list", "acme_peak")
    checked = with_package("check", "acme_peak")
    assert checked.startswith("acme_peak:\n")
    assert "FAILED" not in checked
    assert checked.count("  ok ") >= 8


def test_it_runs_in_a_benchmark_and_is_exported_and_used(with_package, refusal, spec_data, write_spec, tmp_path):
    spec_data["detectors"] = {"peak": {"use": "acme_peak", "floor": 0.2}}
    spec_data |= {"machines": ["fan"], "generators": {"effects": {"use": "effects"}}, "embeddings": {}}
    path = write_spec(spec_data)
    run = tmp_path / with_package("run", path, "--workers", 1, "--quiet").rpartition("Results: ")[2].strip()
    assert "acme_peak" in (run / "spec.yaml").read_text()
    said = with_package("export", run, "--detector", "peak", "--out", "peak")
    assert "peak: the detector 'acme_peak', fitted on 8 clips of fan; decision threshold" in said
    with_package("score", "peak", Path(spec_data["dataset"]["root"]) / "fan", "--out", "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv").set_index("file")["score"]
    table = pd.read_parquet(run / "scores.parquet").query("source == 'real'").set_index("clip_id")["score"]
    assert len(table) == 14
    for clip_id, score in table.items():
        assert scores[clip_id.removeprefix("fan/")] == score
    # Where the package is not installed, it is named.
    words = "it needs the detector 'acme_peak' of package acme-detectors 1.2, which is neither installed nor given"
    assert words in refusal("score", "peak", "data")
