"""k nearest neighbours on pooled log-mel spectrograms."""

from __future__ import annotations

import numpy as np

from asdbench import ClipSet, Detector, detector, logmel, setting


@detector("logmel_knn")
class LogmelKnn(Detector):
    """Mean distance to the k nearest training clips, each pooled to mean and std of its log-mel bands."""

    k: int = setting(1, ge=1, description="number of neighbours")

    def fit(self, clips: ClipSet) -> None:
        self.train_ = self._embed(clips)

    def score(self, clips: ClipSet) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        neighbours = NearestNeighbors(n_neighbors=min(self.k, len(self.train_))).fit(self.train_)
        return neighbours.kneighbors(self._embed(clips))[0].mean(axis=1)

    def _embed(self, clips: ClipSet) -> np.ndarray:
        mels = (logmel(waveform) for waveform in clips.waveforms())
        return np.stack([np.concatenate([mel.mean(axis=0), mel.std(axis=0)]) for mel in mels])
