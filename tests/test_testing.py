"""The contract tests hold for what ships, and fail for what breaks the contract."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from asdbench import plugins
from asdbench.testing import check_dataset, check_detector, check_generator, example_clips

TINY = {"train_source": 2, "train_target": 1, "test_normal": 1, "test_anomaly": 1, "duration": 1.0}


def test_built_in_datasets_keep_the_contract(tmp_path):
    example_clips(tmp_path / "dcase", 3, 0)
    example_clips(tmp_path / "dcase", 2, 2, "test")
    for condition in ("normal", "abnormal"):
        folder = tmp_path / "folder" / condition
        folder.mkdir(parents=True)
        for index in range(3):
            noise = np.random.default_rng([len(condition), index]).standard_normal((8000, 2)) * 0.1
            noise[:, 0] = 0  # only the second channel is alive
            soundfile.write(folder / f"{index}.wav", noise, 16000)
    check_dataset(plugins.datasets.get("dcase"), root=str(tmp_path / "dcase"))
    check_dataset(plugins.datasets.get("folder"), root=str(tmp_path / "folder"), channel=1)
    check_dataset(plugins.datasets.get("simulated"), **TINY)


@pytest.mark.parametrize("name", ["effects", "real_holdout", "normal_holdout"])
def test_built_in_generators_keep_the_contract(name):
    check_generator(plugins.generators.get(name))


def test_a_simulated_tree_is_read_as_dcase_data(tmp_path):
    simulated = plugins.datasets.get("simulated")(**TINY)
    table = simulated.clips("valve", tmp_path)
    found = plugins.datasets.get("dcase")(root=str(tmp_path), year=2023).clips("valve", tmp_path)
    columns = ["machine", "section", "domain", "split", "condition", "attributes"]
    expected = table.set_index("path")[columns].sort_index()
    assert found.set_index("path")[columns].sort_index().equals(expected)


class Level(plugins.Detector):
    """Level of a clip."""

    def fit(self, clips):
        self.n_ = len(clips)

    def score(self, clips):
        return np.array([wave.std() for wave in clips.waveforms()])


def test_a_sound_detector_passes():
    check_detector(Level)


@pytest.mark.parametrize(
    ("words", "score"),
    [
        ("expected (10,)", lambda self, clips: Level.score(self, clips)[:-1]),
        ("finite", lambda self, clips: Level.score(self, clips) * np.nan),
        ("all clips have the same score", lambda self, clips: np.ones(len(clips))),
        ("same seed gives different scores|two fits", lambda self, clips: np.random.default_rng().random(len(clips))),
        ("order of the clips", lambda self, clips: Level.score(self, clips) + np.arange(len(clips))),
        ("scored together", lambda self, clips: Level.score(self, clips) / len(clips)),
    ],
)
def test_broken_detectors_fail(words, score):
    broken = type("Broken", (Level,), {"__doc__": "Broken.", "score": score})
    with pytest.raises(AssertionError, match=words.replace("(", r"\(").replace(")", r"\)")):
        check_detector(broken)


def test_a_detector_that_loses_what_it_learnt_fails():
    class Forgetful(Level):
        """Keeps its state where nobody looks for it."""

        def fit(self, clips):
            self.hidden = 2.0

        def score(self, clips):
            return getattr(self, "hidden", 1.0) * super().score(clips)

    with pytest.raises(AssertionError, match="after save and load"):
        check_detector(Forgetful)


def test_a_generator_that_depends_on_its_neighbours_fails():
    class Chain(plugins.Generator):
        """Each clip depends on the one before."""

        def generate(self, request):
            rng = self.rng("one stream for all")
            for _ in range(len(request.rows)):
                yield plugins.GeneratedClip(rng.standard_normal(8000) * 0.1, {"stream": 1})

    with pytest.raises(AssertionError, match="depends on what is made beside it"):
        check_generator(Chain)
