"""Embeddings with classical backends: against scikit-learn, scipy and distances by hand."""

from __future__ import annotations

import json

import numpy as np
import pydantic
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

import asdbench
from asdbench import clip_vectors
from asdbench.detectors.embedding_knn import EmbeddingKnn
from asdbench.detectors.embedding_knn.backends import held_out, neighbours, unit
from asdbench.plan import make_plan
from asdbench.progress import Progress
from asdbench.spec import load_spec
from asdbench.store import Store
from asdbench.testing import check_detector, example_clips

SMALL = {"embedding": {"use": "logmel_stats", "bands": 8}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return example_clips(folder, 12, 0), example_clips(folder, 6, 4, "test")


def fitted(clips, **settings):
    detector = EmbeddingKnn(**{**SMALL, **settings})
    detector.fit(clips)
    return detector


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k": 3, "density": 4, "metric": "cosine"},
        {"backend": "mahalanobis", "domains": "rescaled"},
        {"backend": "gmm", "components": 2, "smote": 1.0},
        {"domains": "separate", "smote": 1.0},
    ],
    ids=["knn", "density", "mahalanobis", "gmm", "separate"],
)
def test_contract(settings):
    check_detector(EmbeddingKnn, **SMALL, **settings)


def test_contract_with_a_model_of_transformers(tiny_wav2vec2):
    model = {"use": "transformers_audio", "model": str(tiny_wav2vec2), "device": "cpu"}
    check_detector(EmbeddingKnn, embedding=model, domains="rescaled")


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_scores_are_mean_distances_to_the_nearest(clips, metric):
    train, test = clips
    detector = fitted(train, k=3, metric=metric)
    trees = NearestNeighbors(n_neighbors=3, metric=metric).fit(clip_vectors(train, detector.embedding))
    distances = trees.kneighbors(clip_vectors(test, detector.embedding))[0]
    assert np.allclose(detector.score(test), distances.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_training_clip_is_not_its_own_neighbour(clips, metric):
    train, _ = clips
    detector = fitted(train, k=2, metric=metric)
    trees = NearestNeighbors(n_neighbors=3, metric=metric).fit(detector.vectors_)
    distances = trees.kneighbors(detector.vectors_)[0]
    assert np.allclose(detector.score(train), distances[:, 1:].mean(axis=1), rtol=1e-9)


def test_local_density_by_hand():
    reference = np.array([[0.0], [1.0], [10.0], [14.0]])
    # Mean distances to the two nearest others: 5.5, 5, 6.5 and 8.5.
    score = neighbours(reference, 1, 2, "euclidean")
    assert np.allclose(score(np.array([[3.0], [12.0]])), [min(3 / 5.5, 2 / 5), min(2 / 6.5, 2 / 8.5)])
    # With more neighbours than there are, all others count: 25 / 3, 23 / 3, 23 / 3 and 31 / 3.
    assert np.allclose(neighbours(reference, 1, 9, "euclidean")(np.array([[3.0]])), [2 / (23 / 3)])


def test_equal_reference_clips_do_not_divide_by_zero():
    assert np.isfinite(neighbours(np.ones((4, 2)), 1, 2, "euclidean")(np.array([[1.0, 1.0], [2.0, 1.0]]))).all()


def test_blocks_of_distances_fit_together():
    rng = np.random.default_rng(0)
    reference, vectors = rng.standard_normal((600, 4)), rng.standard_normal((700, 4))
    ranked = NearestNeighbors(n_neighbors=6).fit(reference)
    scale = ranked.kneighbors(reference)[0][:, 1:].mean(axis=1)
    distances = np.linalg.norm(vectors[:, None] - reference[None], axis=-1) / scale
    assert np.allclose(neighbours(reference, 1, 5, "euclidean")(vectors), distances.min(axis=1))


def test_mahalanobis_has_the_covariance_of_ledoit_and_wolf(clips):
    train, test = clips
    detector = fitted(train, backend="mahalanobis")
    covariance, _ = ledoit_wolf(detector.vectors_)
    mean, inverse = detector.vectors_.mean(axis=0), np.linalg.inv(covariance)
    expected = [mahalanobis(vector, mean, inverse) for vector in clip_vectors(test, detector.embedding)]
    assert np.allclose(detector.score(test), expected, rtol=1e-6)


def test_one_gaussian_is_the_closed_form(clips):
    train, test = clips
    detector = fitted(train, backend="gmm", regularisation=0.1)
    vectors = detector.vectors_
    covariance = np.cov(vectors, rowvar=False, bias=True) + 0.1 * vectors.var(axis=0).mean() * np.eye(16)
    density = multivariate_normal(vectors.mean(axis=0), covariance)
    assert np.allclose(detector.score(test), -density.logpdf(clip_vectors(test, detector.embedding)), rtol=1e-6)


def test_domains_have_references_of_their_own_and_the_lowest_score_counts(clips):
    train, test = clips
    scores = fitted(train, backend="mahalanobis", domains="separate").score(test)
    parts = [fitted(train.where(domain=name), backend="mahalanobis").score(test) for name in ("source", "target")]
    assert np.allclose(scores, np.min(parts, axis=0))


def test_rescaled_scores_of_held_out_clips_have_mean_0_and_deviation_1(clips):
    train, test = clips
    detector = fitted(train, domains="rescaled")
    expected = []
    for name in ("source", "target"):
        part = train.where(domain=name)
        own = fitted(part)  # fewer than ten clips: each is held out by itself, as where it is not its own neighbour
        scores = own.score(part)
        expected.append((own.score(test) - scores.mean()) / scores.std())
    assert np.allclose(detector.score(test), np.min(expected, axis=0))


def test_clips_are_held_out_once():
    vectors = np.arange(25.0)[:, None]
    seen = []

    def fit(kept):
        assert 22 <= len(kept) <= 23
        return lambda held: [seen.append(value) or value not in kept for value in held[:, 0]]

    assert held_out(vectors, fit, np.random.default_rng(0)).all()
    assert sorted(seen) == vectors[:, 0].tolist()


def test_oversampling_moves_the_mean_towards_the_target_domain(clips):
    train, _ = clips
    plain, filled = (fitted(train, backend="mahalanobis", smote=share) for share in (0.0, 1.0))
    target = train.where(domain="target")
    assert filled.score(target).mean() < plain.score(target).mean()


def test_an_anomalous_clip_scores_higher(clips):
    train, test = clips
    anomalous = (test.frame["condition"] == "anomaly").to_numpy()
    for settings in ({}, {"density": 2}, {"backend": "mahalanobis"}, {"backend": "gmm"}, {"domains": "rescaled"}):
        scores = fitted(train, **settings).score(test)
        assert scores[anomalous].min() > scores[~anomalous].max(), settings


def test_a_vector_of_zeros_has_no_direction():
    assert np.array_equal(unit(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]])


def test_backends_share_one_fit():
    assert EmbeddingKnn.setting_names(late=False) == ["embedding"]


def test_new_weights_make_fits_anew(tmp_path, tiny_wav2vec2):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2, folder)
    spec = {
        "name": "x",
        "dataset": {"use": "simulated", "train_source": 2, "train_target": 1, "test_normal": 1, "test_anomaly": 1},
        "machines": ["fan"],
        "seeds": [0],
        "holdout": {"normal": 0, "anomaly": 0},
        "detectors": {
            "a": {"use": "embedding_knn", "embedding": {"use": "transformers_audio", "model": str(folder)}},
            "b": {"use": "embedding_knn", "embedding": {"use": "transformers_audio", "model": str(folder)}, "k": 2},
            "c": {"use": "embedding_knn"},
        },
    }

    def fits():
        plan = make_plan(load_spec(spec), Store(tmp_path / "store"), Progress())
        return {unit.key for unit in plan.units.values() if unit.stage == "fit"}

    before = fits()
    assert len(before) == 2, "variants of the backend share a fit"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"mask_time_prob": 0.2}))
    assert len(before & fits()) == 1, "the fit without weights stays"


def test_what_cannot_be_is_said_in_a_sentence(clips, tmp_path, monkeypatch):
    train, _ = clips
    one = train.select([0])
    cases = [
        ({"backend": "mahalanobis"}, one, "backend: mahalanobis needs at least 2 training clips, found 1"),
        ({"backend": "gmm", "components": 3}, train.select([0, 1]), "gmm needs at least 3 training clips, found 2"),
        ({"density": 1}, one, "backend: knn needs at least 2 training clips, found 1"),
        (
            {"domains": "rescaled"},
            train.select([0, 1, 2, 4]),
            "at least 3 training clips of the domain 'target', found 1",
        ),
        ({"backend": "mahalanobis", "domains": "separate"}, train.select([0, 1, 2]), "of the domain 'target', found 1"),
    ]
    for settings, few, words in cases:
        with pytest.raises(asdbench.UserError, match=words):
            fitted(few, **settings).score(train)
    assert np.isfinite(fitted(one).score(train)).all()
    with pytest.raises(asdbench.UserError, match=r"model: no such folder: '\./absent'"):
        EmbeddingKnn(embedding={"use": "transformers_audio", "model": "./absent"}).inputs()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(asdbench.UserError, match=r"the model 'owner/none' cannot be loaded \(HF_HUB_OFFLINE is set"):
        EmbeddingKnn(embedding={"use": "transformers_audio", "model": "owner/none"}).fit(train)
    with pytest.raises(pydantic.ValidationError, match="did you mean 'transformers_audio'"):
        EmbeddingKnn(embedding="transformer_audio")


@pytest.mark.parametrize("backend", ["knn", "mahalanobis", "gmm"])
@pytest.mark.parametrize("smote", [0.0, 1.0])
def test_rescaled_scores_of_new_clips_of_each_domain_are_about_zero(backend, smote):
    """Ten target clips say little of their spread; but their scores are those of the source, give or take."""
    rng = np.random.default_rng(0)
    detector = EmbeddingKnn(backend=backend, domains="rescaled", smote=smote)
    detector.vectors_ = np.concatenate([rng.standard_normal((120, 16)), 6 + rng.standard_normal((10, 16))])
    detector.domains_ = ["source"] * 120 + ["target"] * 10
    target = detector._scorers()[1]
    assert abs(float(target(6 + rng.standard_normal((200, 16))).mean())) < 2.5


def test_two_clips_of_a_domain_cannot_be_rescaled_by_neighbours():
    detector = EmbeddingKnn(domains="rescaled")
    detector.vectors_, detector.domains_ = np.random.default_rng(0).random((6, 4)), ["source"] * 4 + ["target"] * 2
    with pytest.raises(asdbench.UserError, match="at least 3 training clips of the domain 'target', found 2"):
        detector._scorers()
