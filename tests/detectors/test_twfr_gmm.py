"""TWFR-GMM: pooling by hand, likelihoods by scipy, and a ratio that follows from the machine's normal sound alone."""

from __future__ import annotations

import numpy as np
import pydantic
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import empirical_covariance

import asdbench
from asdbench import audio
from asdbench.clips import LABELS, ClipSet
from asdbench.detectors.twfr_gmm import TwfrGmm
from asdbench.detectors.twfr_gmm.choosing import RATIOS, auc_by_ratio, chosen, disturbed
from asdbench.detectors.twfr_gmm.pooling import pooled
from asdbench.features import logmel
from asdbench.testing import check_detector, example_clips

SMALL = {"n_mels": 16}


@pytest.mark.parametrize(
    "settings", [{}, {"r": 0.9, "smote": 1.0}, {"r": 0, "components": 3}], ids=["auto", "smote", "components"]
)
def test_contract(settings):
    check_detector(TwfrGmm, **SMALL, **settings)


def test_pooling_of_three_frames_by_hand():
    mel = np.array([[1.0, 30.0], [3.0, 10.0], [2.0, 20.0]])
    found = pooled(mel, [0, 0.5, 1])
    # Weights of r = 0.5 are 1, 1/2 and 1/4 over their sum of 7/4.
    assert np.allclose(found, [[3, 30], [(3 + 2 / 2 + 1 / 4) / 1.75, (30 + 20 / 2 + 10 / 4) / 1.75], [2, 20]])


def test_pooling_runs_from_the_maximum_to_the_mean():
    mel = np.random.default_rng(0).standard_normal((200, 5))
    found = pooled(mel, RATIOS)
    assert np.array_equal(found[0], mel.max(axis=0))
    assert np.allclose(found[-1], mel.mean(axis=0))
    assert (np.diff(found, axis=0) < 0).all()


def test_scores_are_the_negative_log_density_of_a_gaussian(tmp_path):
    train, test = example_clips(tmp_path, 12, 0), example_clips(tmp_path, 4, 3, "test")
    detector = TwfrGmm(r=0.97, regularisation=0.05)
    detector.fit(train)

    def vectors(clips):
        ranked = [np.sort(logmel(wave).astype(float), axis=0)[::-1] for wave in clips.waveforms()]
        return np.array([np.average(mel, axis=0, weights=0.97 ** np.arange(len(mel))) for mel in ranked])

    normal = vectors(train)
    density = multivariate_normal(normal.mean(axis=0), empirical_covariance(normal) + 0.05 * np.eye(128))
    assert np.allclose(detector.score(test), -density.logpdf(vectors(test)), rtol=1e-6)


def test_scores_of_a_mixture_are_those_of_scikit_learn(tmp_path):
    train, test = example_clips(tmp_path, 12, 0), example_clips(tmp_path, 4, 3, "test")
    detector = TwfrGmm(r=1, components=2, **SMALL)
    detector.fit(train)
    mixture = detector.mixture_
    densities = [
        weight
        * multivariate_normal(mean, covariance).pdf(
            [logmel(wave, asdbench.LogmelSettings(n_mels=16)).mean(axis=0) for wave in test.select([0, 1]).waveforms()]
        )
        for weight, mean, covariance in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ]
    assert np.allclose(detector.score(test)[:2], -np.log(np.sum(densities, axis=0)), rtol=1e-4)


def test_an_anomalous_clip_scores_higher(tmp_path):
    train, test = example_clips(tmp_path, 12, 0), example_clips(tmp_path, 6, 4, "test")
    detector = TwfrGmm(**SMALL)
    detector.fit(train)
    scores, anomalous = detector.score(test), (test.frame["condition"] == "anomaly").to_numpy()
    assert scores[anomalous].min() > scores[~anomalous].max()


def test_a_disturbed_clip_has_one_sound_more():
    mel = np.full((300, 64), -40.0)
    shares = []
    for index in range(200):
        risen = disturbed(mel, np.random.default_rng(index)) - mel
        frames = np.flatnonzero(risen.max(axis=1) > 1e-9)
        assert risen.min() >= -1e-9
        assert len(frames) == frames[-1] - frames[0] + 1  # one stretch of time
        assert 10 * np.log10(1.1) * 0.5 < risen.max() <= 10 * np.log10(11) + 1e-9
        shares.append(len(frames))
    # The logarithm of the duration is uniform: half of them are shorter than the square root of 300 frames.
    assert 0.4 < np.mean(np.array(shares) <= 300**0.5) < 0.6


def labelled(path):
    return dict(zip(LABELS, (path.name, str(path), "fan", "00", "source", "train", "normal", {}), strict=True))


def coloured(rng, samples):
    """Noise whose level is another one in every 200 Hz, by up to 30 dB."""
    levels = 10 ** rng.uniform(-1.5, 0, 40)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= levels[np.minimum(np.arange(len(spectrum)) * 40 // len(spectrum), 39)]
    return np.fft.irfft(spectrum, samples)


def machine(folder, unsteady):
    """Normal clips of an imaginary machine, which differ from each other by the sound of a pause or of a click."""
    rows, running = [], 0.1 * np.random.default_rng(99).standard_normal(32000)
    for index in range(30):
        rng = np.random.default_rng(index)
        wave = running + 0.001 * rng.standard_normal(32000)
        if unsteady == "pause":
            wave[8000:24000] = 0.01 * coloured(rng, 16000)
        else:
            wave[16000:17000] += coloured(rng, 1000)
        path = folder / f"section_00_source_train_normal_{index:04d}.wav"
        audio.write(path, wave, 16000, "FLOAT")
        rows.append(labelled(path))
    return ClipSet.from_files(rows, 16000)


def test_the_ratio_follows_from_what_varies_between_normal_clips(tmp_path):
    detectors = {}
    for unsteady in ("pause", "click"):
        (tmp_path / unsteady).mkdir()
        detectors[unsteady] = TwfrGmm(n_mels=8)
        detectors[unsteady].fit(machine(tmp_path / unsteady, unsteady))
    # What counts the loudest frames does not hear the pauses, and hears nothing but the clicks.
    assert detectors["pause"].ratio_ < 0.98 < 0.99 < detectors["click"].ratio_
    for detector in detectors.values():
        assert list(map(float, detector.auc_by_ratio_)) == list(RATIOS)


def test_the_auc_of_a_ratio_is_that_of_clips_a_model_has_not_seen():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((40, 2, 3))
    other = (
        normal[:, None] + np.array([0.0, 50.0])[:, None]
    )  # the second ratio hears what was added, the first does not

    class Nearest:
        def __init__(self, vectors):
            self.vectors = vectors

        def score_samples(self, clips):
            distances = np.linalg.norm(clips[:, None] - self.vectors[None], axis=-1)
            assert distances.min() > 0  # no clip is compared with itself
            return -distances.min(axis=1)

    aucs = auc_by_ratio(normal, other, lambda vectors, kept: Nearest(vectors), np.random.default_rng(1))
    assert aucs.tolist() == [pytest.approx(0.5), 1.0]


def test_the_mean_is_taken_unless_another_ratio_is_clearly_better():
    # Hanley and McNeil for an AUC of 0.8 and 50 clips each: Q1 = 2/3, Q2 = 0.7111, a standard error of 0.0445.
    for mean, expected in ((0.7550, 0), (0.7560, 1)):
        assert chosen(np.array([0.8, mean]), 50, 50) == expected
    assert chosen(np.array([0.3, 0.8, 0.79, 0.5]), 50, 50) == 2
    assert chosen(np.array([1.0, 0.99]), 50, 50) == 0


def test_few_clips_and_wrong_ratios_get_a_sentence(tmp_path):
    clips = example_clips(tmp_path, 4, 0)
    TwfrGmm(**SMALL).fit(clips)
    TwfrGmm(r=1, **SMALL).fit(clips.select([0, 1]))
    for settings, count, words in (
        ({}, 3, r"r: auto needs at least 4 training clips, found 3; give a number instead"),
        ({"r": 1}, 1, "components: 1 needs at least 2 training clips, found 1"),
        ({"r": 1, "components": 4}, 3, "components: 4 needs at least 4 training clips, found 3"),
    ):
        with pytest.raises(asdbench.UserError, match=words):
            TwfrGmm(**SMALL, **settings).fit(clips.select(range(count)))
    for wrong in (-0.1, 1.5, "mean", True, None):
        with pytest.raises(pydantic.ValidationError, match="expected a number from 0 to 1, or 'auto'"):
            TwfrGmm(r=wrong)


def test_bands_of_digital_silence_do_no_harm(tmp_path):
    rows = []
    for index in range(6):
        wave = np.zeros(16000)
        wave[4000 + index * 500 :][:800] = 0.1 * np.sin(np.arange(800) / 3)
        path = tmp_path / f"{index}.wav"
        audio.write(path, wave, 16000)
        rows.append(
            dict(
                zip(
                    asdbench.clips.LABELS,
                    (path.name, str(path), "fan", "00", "source", "train", "normal", {}),
                    strict=True,
                )
            )
        )
    clips = ClipSet.from_files(rows, 16000)
    detector = TwfrGmm()
    detector.fit(clips)
    assert np.isfinite(detector.score(clips)).all()
