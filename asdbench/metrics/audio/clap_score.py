"""CLAP score: how well clips fit their captions, beside real clips and beside captions of other clips.

A cosine of 0.3 says nothing alone. Beside it stand the score of real clips with the same captions (their paired
difference is what a generator loses) and that of clips with the captions of other clips (what is scored by chance).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors


def unit(vectors: Vectors) -> Vectors:
    """The vectors scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def similarities(clips: EmbeddedClips, captions: Vectors) -> Vectors:
    """Cosine of each clip with each caption, averaged over the clip's segments: shape (clips, captions)."""
    return np.stack([unit(part).mean(axis=0) for part in clips.vectors]) @ unit(captions).T


def own_scores(cosines: Vectors, own: Sequence[int]) -> npt.NDArray[np.float64]:
    """The cosine of each clip with its own caption, shape (clips,).

    Args:
        cosines: from `similarities`.
        own: index of the caption of each clip.
    """
    return np.asarray(cosines[np.arange(len(own)), np.asarray(own)])


def shuffled_scores(cosines: Vectors, own: Sequence[int]) -> npt.NDArray[np.float64]:
    """The expected cosine of each clip with a caption drawn from the other clips whose caption differs, shape (clips,).

    This is the mean over all shuffles, so there is no seed. NaN where all captions are the same.
    """
    index = np.asarray(own)
    often = np.bincount(index, minlength=cosines.shape[1]).astype(np.float64)
    total = cosines @ often - often[index] * own_scores(cosines, own)
    others = len(index) - often[index]
    return np.asarray(np.divide(total, others, out=np.full(len(index), np.nan), where=others > 0))


def paired_difference(
    real: npt.NDArray[np.float64],
    real_captions: Sequence[str],
    generated: npt.NDArray[np.float64],
    generated_captions: Sequence[str],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Score of generated minus real clips, for each caption that both have, and how many generated clips it has.

    Both arrays are empty where no caption is common.
    """
    common = sorted(set(real_captions) & set(generated_captions))
    of_real, of_made = np.asarray(real_captions, dtype=object), np.asarray(generated_captions, dtype=object)
    differences = [generated[of_made == name].mean() - real[of_real == name].mean() for name in common]
    counts = [float((of_made == name).sum()) for name in common]
    return np.array(differences), np.array(counts)
