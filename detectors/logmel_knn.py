"""k nearest neighbours on pooled log-mel spectrograms."""

import numpy as np

from asdbench import ClipSet, Detector, detector, remembered_logmel, setting


@detector("logmel_knn")
class LogmelKnn(Detector):
    """Mean distance to the k nearest training clips, each pooled to mean and std of its log-mel bands."""

    k: int = setting(1, ge=1, description="number of neighbours; a training clip is not its own neighbour")

    def fit(self, clips: ClipSet) -> None:
        self.train_ = self._embed(clips)

    def score(self, clips: ClipSet) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        trees = NearestNeighbors(n_neighbors=min(self.k + 1, len(self.train_)), algorithm="kd_tree").fit(self.train_)
        distances = trees.kneighbors(self._embed(clips))[0]
        return np.where(distances[:, :1] == 0, np.roll(distances, -1, axis=1), distances)[:, : self.k].mean(axis=1)

    def _embed(self, clips: ClipSet) -> np.ndarray:
        return np.stack([np.r_[mel.mean(axis=0), mel.std(axis=0)] for mel in map(remembered_logmel, clips.waveforms())])
