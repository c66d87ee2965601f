"""Any outlier detector by import path: scores are those of the model itself, and what is no detector is refused."""

from __future__ import annotations

import importlib

import numpy as np
import pydantic
import pytest
import skops.io
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

import asdbench
from asdbench import clip_vectors
from asdbench.detectors.sklearn_model import SklearnModel
from asdbench.detectors.sklearn_model.saving import packed, unpacked
from asdbench.settings_text import build_plugin
from asdbench.spec import load_spec
from asdbench.testing import check_detector, example_clips

LOF = "sklearn.neighbors.LocalOutlierFactor"
SMALL = {"embedding": {"use": "logmel_stats", "bands": 8}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return example_clips(folder, 12, 0), example_clips(folder, 6, 4, "test")


def fitted(clips, model, **settings):
    detector = SklearnModel(model=model, **{**SMALL, **settings})
    detector.seed = 5
    detector.fit(clips)
    return detector


def test_contract():
    check_detector(SklearnModel, model=LOF, n_neighbors=4, **SMALL)


def test_contract_of_pyod():
    pytest.importorskip("pyod", reason="PyOD is not installed (the extra 'pyod')")
    # ECOD ranks the clips that it is given together, which must not be heard.
    check_detector(SklearnModel, model="pyod.models.ecod.ECOD", **SMALL)


def scores_of_restored(clips, model, **parameters):
    """Scores of a detector that was saved and loaded, and which clips are anomalous."""
    train, test = clips
    detector, restored = fitted(train, model, **parameters), SklearnModel(model=model, **parameters, **SMALL)
    restored.set_state(detector.get_state())
    scores = restored.score(test)
    assert np.allclose(scores, detector.score(test))
    return scores, (test.frame["condition"] == "anomaly").to_numpy()


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (LOF, {"n_neighbors": 4}),
        ("sklearn.ensemble.IsolationForest", {"n_estimators": 20}),
        ("sklearn.svm.OneClassSVM", {"nu": 0.1}),
        ("sklearn.mixture.GaussianMixture", {"reg_covar": 0.1}),
        ("sklearn.neighbors.KernelDensity", {}),
    ],
)
def test_anomalies_score_higher(clips, model, parameters):
    scores, anomalous = scores_of_restored(clips, model, **parameters)
    assert scores[anomalous].mean() > scores[~anomalous].max()


@pytest.mark.parametrize("model", ["knn.KNN", "pca.PCA", "ecod.ECOD"])
def test_anomalies_score_higher_with_pyod(clips, model):
    pytest.importorskip("pyod", reason="PyOD is not installed (the extra 'pyod')")
    scores, anomalous = scores_of_restored(clips, f"pyod.models.{model}")
    assert scores[anomalous].mean() > scores[~anomalous].mean()


def test_scores_are_those_of_the_model_itself(clips):
    train, test = clips
    detector = fitted(train, LOF, n_neighbors=4)
    scaler = StandardScaler().fit(clip_vectors(train, detector.embedding))
    known, unknown = (scaler.transform(clip_vectors(part, detector.embedding)) for part in clips)
    plain = LocalOutlierFactor(n_neighbors=4, novelty=True).fit(known)
    assert np.allclose(detector.score(test), -plain.score_samples(unknown))
    raw = fitted(train, LOF, n_neighbors=4, standardise=False)
    plain = LocalOutlierFactor(n_neighbors=4, novelty=True).fit(clip_vectors(train, raw.embedding))
    assert np.allclose(raw.score(test), -plain.score_samples(clip_vectors(test, raw.embedding)))


def test_scores_of_pyod_are_those_of_the_model_itself(clips):
    knn = pytest.importorskip("pyod.models.knn", reason="PyOD is not installed (the extra 'pyod')")
    train, test = clips
    detector = fitted(train, "pyod.models.knn.KNN", n_neighbors=3, standardise=False)
    plain = knn.KNN(n_neighbors=3).fit(clip_vectors(train, detector.embedding))
    assert np.allclose(detector.score(test), plain.decision_function(clip_vectors(test, detector.embedding)))


def test_the_seed_sets_the_random_state_unless_it_is_given(clips):
    train, test = clips
    first, other = (SklearnModel(model="sklearn.ensemble.IsolationForest", **SMALL) for _ in range(2))
    other.seed = 1
    for detector in (first, other):
        detector.fit(train)
    assert not np.array_equal(first.score(test), other.score(test))
    given = fitted(train, "sklearn.ensemble.IsolationForest", random_state=3, standardise=False)
    plain = IsolationForest(random_state=3).fit(clip_vectors(train, given.embedding))
    assert np.allclose(given.score(test), -plain.score_samples(clip_vectors(test, given.embedding)))


def spec_with(**settings):
    return load_spec({"name": "x", "dataset": {"use": "simulated"}, "detectors": {"d": {"use": "sklearn", **settings}}})


def test_parameters_stand_beside_the_model_or_in_a_mapping():
    beside = spec_with(model=LOF, n_neighbors=4).detectors["d"].settings()
    assert beside["model_parameters"] == {"n_neighbors": 4}
    assert spec_with(model=LOF, model_parameters={"n_neighbors": 4}).detectors["d"].settings() == beside
    assert build_plugin(SklearnModel, [f"model={LOF}", "n_neighbors=4"]).settings() == beside


def test_a_value_that_never_changes_does_no_harm(clips, monkeypatch):
    # The mean of so many equal values is rounded, so that their deviation is not 0.
    vectors = np.random.default_rng(0).standard_normal((240, 4))
    vectors[:, 0] = -156.5355977
    assert vectors.std(axis=0)[0] > 0
    monkeypatch.setattr("asdbench.detectors.sklearn_model.clip_vectors", lambda *args: vectors)
    detector = fitted(clips[0], LOF, n_neighbors=4)
    assert detector.scale_[0] == 1
    assert np.allclose(detector.scale_[1:], vectors.std(axis=0)[1:])


def test_training_clips_are_not_their_own_neighbours(clips):
    train, _ = clips
    detector = fitted(train, LOF, n_neighbors=1)
    scaled = StandardScaler().fit_transform(clip_vectors(train, detector.embedding))
    expected = -LocalOutlierFactor(n_neighbors=1).fit(scaled).negative_outlier_factor_
    assert np.allclose(detector.score(train), expected)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("pyod.models.cof.COF", "given one clip it fails"),
        ("pyod.models.sos.SOS", "given one clip its score is not a finite number"),
        ("pyod.models.loci.LOCI", "given one clip its score is the same, whichever it is"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_models_that_compare_clips_with_each_other_only_are_refused(clips, model, words):
    pytest.importorskip("pyod", reason="PyOD is not installed (the extra 'pyod')")
    with pytest.raises(asdbench.UserError, match=f"model: {model} scores clips among others only.*{words}"):
        fitted(clips[0], model)


def test_a_parameter_that_is_given_twice_is_refused():
    with pytest.raises(asdbench.UserError, match="'n_neighbors' is given twice: by itself and in 'model_parameters'"):
        SklearnModel(model=LOF, model_parameters={"n_neighbors": 3}, n_neighbors=4)
    with pytest.raises(pydantic.ValidationError, match="model_parameters"):
        SklearnModel(model=LOF, model_parameters=3, n_neighbors=4)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("sklearn.neighbors.LocalOutlierFacto", "no class 'LocalOutlierFacto' in sklearn.neighbors; did you mean 'Loc"),
        ("sklearn.neighbours.LocalOutlierFactor", "no module 'neighbours' in sklearn; did you mean 'neighbors'"),
        ("skleern.svm.OneClassSVM", "no installed package is called 'skleern'; did you mean 'sklearn'"),
        ("sklearn.svm.SVC", "sklearn.svm.SVC is a classifier, expected an outlier detector"),
        ("sklearn.svm.SVR", "is a regressor"),
        ("sklearn.decomposition.PCA", "is a transformer"),
        ("sklearn.cluster.KMeans", "is a clusterer"),
        ("sklearn.neighbors.KDTree", "is no estimator"),
        ("sklearn.neighbors.kneighbors_graph", "'kneighbors_graph' is no class in sklearn.neighbors; known: Kernel"),
        ("os.system", "no installed package is called 'os'"),
        ("LocalOutlierFactor", "expected the import path of a class, such as sklearn.neighbors.LocalOutlierFactor"),
        ("sklearn.neighbors.", "expected the import path of a class"),
    ],
)
def test_what_is_no_outlier_detector_is_refused(model, words):
    with pytest.raises(asdbench.UserError) as error:
        SklearnModel(model=model)
    assert str(error.value).startswith("model: ") and words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_neighbours": 4}, "n_neighbours: LocalOutlierFactor has no such parameter; did you mean 'n_neighbors'?"),
        ({"n_neighbors": "many"}, f"model: {LOF}: The 'n_neighbors' parameter of LocalOutlierFactor must be an int"),
        ({"novelty": False}, "novelty: found false, expected true"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, words):
    with pytest.raises(asdbench.UserError, match=r"detectors\.d: ") as error:
        spec_with(model=LOF, **parameters)
    assert words in str(error.value)


def test_the_model_is_required_and_settings_are_checked():
    for wrong in ({}, {"model": LOF, "standardise": "perhaps"}, {"model": LOF, "model_parameters": 3, "p": 2}):
        with pytest.raises(pydantic.ValidationError):
            SklearnModel(**wrong)


def test_modules_outside_installed_packages_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "lurking.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(asdbench.UserError, match="no installed package is called 'lurking'"):
        SklearnModel(model="lurking.Detector")


def test_a_model_that_cannot_be_fitted_says_why(clips):
    train, _ = clips
    with pytest.raises(asdbench.UserError, match=r"OneClassSVM cannot be fitted to 12 clips of 16 values: .* square"):
        fitted(train, "sklearn.svm.OneClassSVM", kernel="precomputed")


class Foreign:
    """What another package's estimator may hold."""

    def __init__(self, inside=None):
        self.inside = inside


def test_states_of_other_packages_are_kept_without_pickle_or_refused(tmp_path):
    kept = unpacked(packed(Foreign(np.arange(3))), Foreign)
    assert isinstance(kept, Foreign) and kept.inside.tolist() == [0, 1, 2]
    with pytest.raises(asdbench.UserError, match=r"holds a asdbench\.errors\.UserError, which cannot be saved safely"):
        packed(Foreign(asdbench.UserError("x")))
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(asdbench.UserError, match="cannot be saved without pickle"),
    ):
        packed(Foreign(file))
    # A file that was meddled with brings in neither types of packages that the spec does not name, nor functions.
    for inside, words in (
        (Foreign(asdbench.UserError("x")), r"holds a asdbench\."),
        (Foreign(np.testing.suppress_warnings), r"holds a numpy\.testing"),
        (Foreign(np.mean), r"holds a numpy\.mean"),
        (LocalOutlierFactor(), "a Foreign"),
    ):
        with pytest.raises(asdbench.UserError, match=words):
            unpacked(np.frombuffer(skops.io.dumps(inside), dtype=np.uint8), Foreign)


def test_the_version_of_the_package_is_part_of_a_fit():
    import sklearn

    detector = SklearnModel(model=LOF)
    assert detector.inputs()["model"] == f"sklearn {sklearn.__version__}"
    assert "embedding.source" in detector.inputs()
