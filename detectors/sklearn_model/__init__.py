"""Any outlier detector of scikit-learn or PyOD, by its import path, on vectors of clips.

Sources: F. Pedregosa et al., "Scikit-learn: machine learning in Python", JMLR 12, 2011; Y. Zhao et al., "PyOD: a Python
toolbox for scalable outlier detection", JMLR 20, 2019.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from asdbench import AnyEmbedding, ClipSet, Detector, UserError, clip_vectors, detector, did_you_mean, setting

from .importing import is_pyod, outlier_detector, reason_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float64]

__all__ = ["SklearnModel"]

_ROUNDING = 1e-6
"""Deviation in proportion to the mean, up to which a value counts as constant."""
_TRIED = 8
"""Training clips that a model of PyOD is tried on one by one."""
_FAR = 100.0
"""Deviations from a training clip that no clip has."""


@detector("sklearn")
class SklearnModel(Detector):
    """Any outlier detector of scikit-learn or PyOD by import path, on pooled log-mel or any embedding.

    Parameters of the model stand beside ``model``: ``{use: sklearn, model: sklearn.svm.OneClassSVM, nu: 0.1}``. Its
    ``random_state`` comes from the seed, and ``novelty`` is on, where it has them and they are not given.
    """

    model: str = setting(description="import path of the class, such as sklearn.neighbors.LocalOutlierFactor")
    embedding: AnyEmbedding = setting(
        "logmel_stats", description="what the model sees: an embedding by name, or with settings: {use: NAME, …}"
    )
    standardise: bool = setting(True, description="bring each value to mean 0 and deviation 1 over the training clips")
    model_parameters: dict[str, Any] = setting(
        default_factory=dict, rest=True, description="parameters of the model; they may as well stand beside 'model'"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._estimator()

    def inputs(self) -> dict[str, str]:
        package = sys.modules[self.model.partition(".")[0]]
        return super().inputs() | {"model": f"{package.__name__} {getattr(package, '__version__', '')}"}

    def fit(self, clips: ClipSet) -> None:
        import numpy as np

        vectors = clip_vectors(clips, self.embedding)
        self.mean_, self.scale_ = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
        if self.standardise:
            deviations, self.mean_ = vectors.std(axis=0), vectors.mean(axis=0)
            # What varies less is rounding, as of a band that is silent throughout.
            self.scale_ = np.where(deviations > _ROUNDING * np.maximum(1, np.abs(self.mean_)), deviations, 1.0)
        model, scaled = self._estimator(), (vectors - self.mean_) / self.scale_
        try:
            model.fit(scaled)
        except Exception as error:  # which errors there are depends on the model
            raise UserError(
                f"model: {self.model} cannot be fitted to {len(vectors)} clips of {vectors.shape[1]} values: "
                f"{reason_of(error)}"
            ) from error
        own = getattr(model, "negative_outlier_factor_", None)
        own = getattr(model, "decision_scores_", None) if own is None else -own
        if is_pyod(type(model)):
            self._refuse_unfit_for_single_clips(model, scaled)
        # Such models say how far each training clip is from the others; asked again, it would be near to itself.
        self.own_vectors_ = None if own is None else scaled
        self.own_scores_ = None if own is None else np.asarray(own, dtype=np.float64)
        self.model_ = model

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np

        vectors = (clip_vectors(clips, self.embedding) - self.mean_) / self.scale_
        try:
            if is_pyod(type(self.model_)):
                scores = _one_by_one(self.model_, vectors)
            else:
                rate = getattr(self.model_, "score_samples", None) or self.model_.decision_function
                scores = -np.asarray(rate(vectors), dtype=np.float64)
        except Exception as error:
            raise UserError(f"model: {self.model} cannot score: {reason_of(error)}") from error
        if self.own_vectors_ is not None and self.own_scores_ is not None:
            for row, vector in enumerate(vectors):
                same = (self.own_vectors_ == vector).all(axis=1)
                if same.any():
                    scores[row] = self.own_scores_[same].min()
        return scores

    def get_state(self) -> dict[str, Any]:
        """As `Detector.get_state`; estimators of other packages than scikit-learn as the bytes of a skops file."""
        from .saving import packed

        state = super().get_state()
        model = state.get("model_")
        if model is not None and not type(model).__module__.startswith("sklearn."):
            state["model_"] = packed(model)
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        import numpy as np

        from .saving import unpacked

        super().set_state(state)
        if isinstance(self.model_, np.ndarray):
            self.model_ = unpacked(self.model_, outlier_detector(self.model))

    def _refuse_unfit_for_single_clips(self, model: Any, vectors: Vectors) -> None:
        """Check that a model scores a clip by itself; some of PyOD's compare those that they are given together.

        Raises:
            UserError: it fails, gives no finite number, or gives the same score to all, and to what is far from all.
        """
        import numpy as np

        rows = np.unique(np.linspace(0, len(vectors) - 1, _TRIED).astype(int))
        try:
            scores = _one_by_one(model, np.concatenate([vectors[rows], vectors[:1] + _FAR * (1 + vectors.std())]))
        except Exception as error:  # which errors there are depends on the model
            found = f"given one clip it fails ({reason_of(error)})"
        else:
            found = "given one clip its score is the same, whichever it is" if np.ptp(scores) == 0 else ""
            if not np.isfinite(scores).all():
                found = "given one clip its score is not a finite number"
        if found:
            raise UserError(
                f"model: {self.model} scores clips among others only, expected a model that scores a clip by itself; "
                f"{found}"
            )

    def _estimator(self) -> Any:
        """The model with its parameters, not fitted.

        Raises:
            UserError: names the setting that is wrong.
        """
        import inspect

        kind = outlier_detector(self.model)
        known = [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]
        for name in self.model_parameters:
            if name not in known:
                raise UserError(f"{name}: {kind.__name__} has no such parameter{did_you_mean(name, known)}")
        parameters = dict(self.model_parameters)
        if "random_state" in known:
            parameters.setdefault("random_state", int(self.rng("model").integers(2**31)))
        if "novelty" in known:
            parameters.setdefault("novelty", True)
        try:
            model = kind(**parameters)
            if hasattr(model, "_parameter_constraints"):  # scikit-learn's own check, which `fit` would make
                model._validate_params()
        except Exception as error:
            raise UserError(f"model: {self.model}: {reason_of(error)}") from error
        if not hasattr(model, "score_samples") and not hasattr(model, "decision_function"):
            field = "novelty: found false, expected true" if "novelty" in known else f"model: {self.model}"
            raise UserError(
                f"{field}: with these parameters {kind.__name__} scores no clips but those it was fitted to"
            )
        return model


def _one_by_one(model: Any, vectors: Vectors) -> npt.NDArray[np.float64]:
    """Scores of single clips, as some models (ECOD, COPOD) rank clips among those that they are given together."""
    import numpy as np

    return np.concatenate([model.decision_function(row[None]) for row in vectors]).astype(np.float64)
