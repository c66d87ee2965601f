"""Any embedding of clips with a classical backend, and what is done about few clips of the target domain.

Sources: "Deep generic representations for domain-generalized anomalous sound detection", 2024 (arXiv 2409.05035), for
nearest neighbours of a pretrained model's vectors with scores rescaled by domain; K. Wilkinghoff et al., "Keeping the
balance: anomaly score calculation for domain generalization", ICASSP 2025, for local density; N. V. Chawla et al.,
"SMOTE: synthetic minority over-sampling technique", JAIR 16, 2002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from asdbench import AnyEmbedding, ClipSet, Detector, UserError, clip_vectors, detector, setting

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .backends import Scorer, Vectors

__all__ = ["EmbeddingKnn"]


@detector("embedding_knn")
class EmbeddingKnn(Detector):
    """Vectors of any embedding (AST, CLAP, wav2vec 2.0, a folder, log-mel) with neighbours, Mahalanobis or mixture.

    All but the embedding acts in scoring only: variants of the backend share one pass of the model over the training
    clips.
    """

    embedding: AnyEmbedding = setting(
        "logmel_stats", description="an embedding by name, or with settings: {use: transformers_audio, model: FOLDER}"
    )
    backend: Literal["knn", "mahalanobis", "gmm"] = setting("knn", scoring=True, description="knn, mahalanobis or gmm")
    metric: Literal["euclidean", "cosine"] = setting(
        "euclidean", scoring=True, description="euclidean, or cosine: vectors are brought to length 1"
    )
    k: int = setting(1, ge=1, scoring=True, description="knn: number of neighbours")
    density: int = setting(
        0, ge=0, scoring=True, description="knn: neighbours by which the local density is told that scales distances"
    )
    components: int = setting(1, ge=1, scoring=True, description="gmm: Gaussians of the mixture")
    regularisation: float = setting(
        0.01, gt=0, scoring=True, description="gmm: share of the mean variance that is added to all variances"
    )
    domains: Literal["joint", "separate", "rescaled"] = setting(
        "joint",
        scoring=True,
        description="joint: one reference; separate: one for each domain, the lowest score counts; rescaled: each "
        "domain's scores are first given the mean 0 and deviation 1 of its own held-out training clips",
    )
    smote: float = setting(
        0.0,
        ge=0,
        le=1,
        scoring=True,
        description="share of the largest domain's clips that the others are filled up to by SMOTE",
    )

    def fit(self, clips: ClipSet) -> None:
        self.vectors_ = clip_vectors(clips, self.embedding)
        self.domains_ = [str(domain) for domain in clips.frame["domain"]]

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        import numpy as np

        vectors = self._prepared(clip_vectors(clips, self.embedding))
        scores: npt.NDArray[np.float64] = np.min([scorer(vectors) for scorer in self._scorers()], axis=0)
        return scores

    def _scorers(self) -> list[Scorer]:
        """What scores against each reference: that of all training clips, or one for each domain."""
        import numpy as np

        from ..shared.oversampling import balanced

        real, owners = self._prepared(self.vectors_), np.array(self.domains_)
        filled, filled_owners = balanced(real, owners, self.smote, self.rng("smote"))
        filled[len(real) :] = self._prepared(filled[len(real) :])
        if self.domains == "joint":
            return [self._fitted(filled)]
        scorers = []
        for name in np.unique(owners):
            scorer = self._fitted(filled[filled_owners == name], f" of the domain '{name}'")
            if self.domains == "rescaled":
                more = int((filled_owners == name).sum() - (owners == name).sum())
                scorer = self._rescaled(scorer, real[owners == name], more, str(name))
            scorers.append(scorer)
        return scorers

    def _prepared(self, vectors: Vectors) -> Vectors:
        from .backends import unit

        return unit(vectors) if self.metric == "cosine" else vectors

    def _rescaled(self, scorer: Scorer, vectors: Vectors, more: int, domain: str) -> Scorer:
        """Scores in units of those of held-out clips; ``more`` is the number of vectors that SMOTE has added."""
        import numpy as np

        from ..shared.oversampling import between
        from .backends import held_out

        where = f" in each fold of the domain '{domain}' (domains: rescaled)"
        needed = 3 if self.backend == "knn" else 2  # two clips are as far from each other as each from the other
        if len(vectors) < needed:
            raise UserError(
                f"domains: rescaled needs at least {needed} training clips of the domain '{domain}', "
                f"found {len(vectors)}"
            )
        rng = self.rng("smote in folds", domain)

        def fitted(kept: Vectors) -> Scorer:
            # SMOTE once more, between the clips that are kept: its vectors must not lie beside those held out, and
            # without it the scores would be on another scale than the scorer's.
            if more and len(kept) > 1:
                added = self._prepared(between(kept, more + len(vectors) - len(kept), rng))
                kept = np.concatenate([kept, added])
            return self._fitted(kept, where)

        scores = held_out(vectors, fitted, self.rng("folds", domain))
        mean, deviation = float(scores.mean()), float(scores.std())
        if deviation == 0:
            raise UserError(
                f"domains: rescaled: the {len(vectors)} training clips of the domain '{domain}' have the same score, "
                "expected different ones"
            )
        return lambda vectors: (scorer(vectors) - mean) / deviation

    def _fitted(self, reference: Vectors, where: str = "") -> Scorer:
        from .backends import mahalanobis, mixture, neighbours

        needed = {"knn": 2 if self.density else 1, "mahalanobis": 2, "gmm": max(2, self.components)}[self.backend]
        if len(reference) < needed:
            raise UserError(
                f"backend: {self.backend} needs at least {needed} training clips{where}, found {len(reference)}"
            )
        if self.backend == "knn":
            return neighbours(reference, self.k, self.density, self.metric)
        if self.backend == "mahalanobis":
            return mahalanobis(reference)
        return mixture(reference, self.components, self.regularisation, int(self.rng("mixture").integers(2**31)))
