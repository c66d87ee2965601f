"""k nearest neighbours on pooled log-mel spectrograms."""

import numpy as np

from asdbench import ClipSet, Detector, detector, remembered_logmel, setting

from .shared.neighbours import nearest_distances


@detector("logmel_knn")
class LogmelKnn(Detector):
    """Mean distance to the k nearest training clips, each pooled to mean and std of its log-mel bands."""

    k: int = setting(1, ge=1, description="number of neighbours; a training clip is not its own neighbour")

    def fit(self, clips: ClipSet) -> None:
        self.train_ = self._embed(clips)

    def score(self, clips: ClipSet) -> np.ndarray:
        found = nearest_distances(self._embed(clips), self.train_, self.k + 1)
        return np.where(found[:, :1] == 0, np.roll(found, -1, axis=1), found)[:, : self.k].mean(axis=1)

    def _embed(self, clips: ClipSet) -> np.ndarray:
        return np.stack([np.r_[mel.mean(axis=0), mel.std(axis=0)] for mel in map(remembered_logmel, clips.waveforms())])
