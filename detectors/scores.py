"""Scores that were made elsewhere, in the place of a detector."""

import numpy as np

from asdbench import ClipSet, Detector, ScoreFolder, detector, setting


@detector("scores")
class Scores(Detector):
    """Scores made elsewhere, looked up by clip in CSV files with the names of DCASE Task 2.

    Scores of real clips stand in the folder itself or in ``original``, or below ``seed_<n>`` if each seed of the
    benchmark has its own; those of generated clips in ``seed_<n>/<generator>`` or ``seed_<n>/generated.<generator>``. A
    benchmark writes its own scores in this layout. Files that end in ``_train.csv`` hold scores of training clips, from
    which the decision threshold follows; without them there is none.
    """

    looks_up = True

    path: str = setting(min_length=1, description="folder with anomaly_score_<machine>_section_<ss>_test.csv")

    def inputs(self) -> dict[str, str]:
        return {"scores": ScoreFolder(self.path).identity()}

    def fit(self, clips: ClipSet) -> None:
        """Learn nothing: the scores are there."""

    def score(self, clips: ClipSet) -> np.ndarray:
        return ScoreFolder(self.path).look_up(clips)
