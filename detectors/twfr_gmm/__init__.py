"""Time-weighted frequency representation with a Gaussian mixture (TWFR-GMM).

Source: J. Guan et al., "Time-weighted frequency domain audio representation with GMM estimator for anomalous sound
detection", ICASSP 2023 (arXiv 2305.03328); with SMOTE in the authors' later results. H. Zhang et al., "First-shot
unsupervised anomalous sound detection with unknown anomalies estimated by metadata-assisted audio generation", ICASSP
2024 (arXiv 2310.14173), build on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from asdbench import ClipSet, Detector, LogmelSettings, UserError, detector, remembered_logmel, setting

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sklearn.mixture import GaussianMixture

__all__ = ["TwfrGmm"]

_DISTURBED = 2  # copies of each clip by which the ratio is chosen


def _ratio(value: object) -> object:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1):
        return value
    raise ValueError("expected a number from 0 to 1, or 'auto'")


@detector("twfr_gmm")
class TwfrGmm(Detector):
    """Log-mel bands pooled by rank over time (TWFR), scored by a Gaussian mixture: simple, fast and strong."""

    r: Annotated[float | Literal["auto"], pydantic.BeforeValidator(_ratio)] = setting(
        "auto",
        description="weight of a frame over that of the next louder one: 0 keeps the loudest, 1 is the mean; 'auto' "
        "chooses it for each machine by sounds added to held-out training clips",
    )
    components: int = setting(1, ge=1, description="Gaussians of the mixture")
    regularisation: float = setting(1e-3, gt=0, description="dB², added to the variances so that few clips will do")
    smote: float = setting(
        0.0, ge=0, le=1, description="share of the largest domain's clips that the others are filled up to by SMOTE"
    )
    n_mels: int = setting(128, ge=1, description="mel bands")
    n_fft: int = setting(1024, ge=16, description="samples in a frame")
    hop_length: int = setting(512, ge=1, description="samples between frames")

    def fit(self, clips: ClipSet) -> None:
        """Choose the ratio where that is asked for, then fit the mixture."""
        import numpy as np

        from ..shared.grouping import groups_of
        from .choosing import RATIOS, auc_by_ratio, chosen, disturbed
        from .pooling import pooled

        ratios, copies = (RATIOS, _DISTURBED) if self.r == "auto" else ((float(self.r),), 0)
        self._refuse_few(len(clips))
        normal, other = [], []
        for index in range(len(clips)):
            mel = self._logmel(clips, index)
            normal.append(pooled(mel, ratios))
            for copy in range(copies):
                other.append(pooled(disturbed(mel, self.rng("disturbed", index, copy)), ratios))
        vectors, domains = np.stack(normal), clips.frame["domain"].to_numpy(dtype=str)
        self.auc_by_ratio_: dict[str, float] = {}
        position = 0
        if copies:
            shape = (len(clips), copies, *vectors.shape[1:])
            aucs = auc_by_ratio(
                vectors,
                np.stack(other).reshape(shape),
                lambda rows, kept: self._mixture(rows, domains[kept]),
                self.rng("folds"),
                groups_of(clips.frame),
                max(2, self.components),
            )
            self.auc_by_ratio_ = {str(ratio): float(auc) for ratio, auc in zip(ratios, aucs, strict=True)}
            position = chosen(aucs, len(clips), len(other))
        self.ratio_ = ratios[position]
        self.mixture_ = self._mixture(vectors[:, position], domains)

    def score(self, clips: ClipSet) -> npt.NDArray[np.float64]:
        """Negative log-likelihood of each clip's pooled levels under the mixture."""
        import numpy as np

        from .pooling import pooled

        vectors = [pooled(self._logmel(clips, index), [self.ratio_])[0] for index in range(len(clips))]
        scores: npt.NDArray[np.float64] = -self.mixture_.score_samples(np.stack(vectors))
        return scores

    def _mixture(self, vectors: npt.NDArray[np.float64], domains: npt.NDArray[np.str_]) -> GaussianMixture:
        from sklearn.mixture import GaussianMixture

        from ..shared.oversampling import balanced

        vectors, _ = balanced(vectors, domains, self.smote, self.rng("smote"))
        seed = int(self.rng("mixture").integers(2**31))
        return GaussianMixture(self.components, reg_covar=self.regularisation, random_state=seed).fit(vectors)

    def _logmel(self, clips: ClipSet, index: int) -> npt.NDArray[np.float32]:
        settings = LogmelSettings(clips.sample_rate or 16000, self.n_fft, self.hop_length, self.n_mels)
        return remembered_logmel(clips.waveform(index), settings)

    def _refuse_few(self, count: int) -> None:
        """Refuse a number of clips that the mixture cannot be fitted to, where a fold is left out for choosing r."""
        needed = max(2, self.components)
        if count < needed:
            raise UserError(f"components: {self.components} needs at least {needed} training clips, found {count}")
        if self.r == "auto" and count < 2 * needed:  # two thirds of four or more clips are left of a fold, at least
            raise UserError(f"r: auto needs at least {2 * needed} training clips, found {count}; give a number instead")
