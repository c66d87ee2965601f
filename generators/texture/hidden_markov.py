"""Hidden Markov models, whatever they emit: posteriors of the states, and the most likely path.

All clips of a batch have one length and are computed at once. Sources: L. R. Rabiner, "A tutorial on hidden Markov
models and selected applications in speech recognition", Proc. IEEE 77, 1989 (forward-backward with scaling, Viterbi).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["most_likely_paths", "posteriors"]

Floats = npt.NDArray[np.float32]


def posteriors(log_likelihood: Floats, transitions: Floats, start: Floats) -> tuple[Floats, Floats, float]:
    """Forward-backward algorithm.

    Args:
        log_likelihood: of what each state emits, shape (clips, T, K).
        transitions: probability of each next state, shape (K, K), rows sum to 1.
        start: probability of each first state, shape (K,).

    Returns:
        Posterior of the states, shape (clips, T, K); expected number of each transition over all clips, shape (K, K);
        log-likelihood of all clips.
    """
    clips, frames, count = log_likelihood.shape
    largest = log_likelihood.max(axis=2, keepdims=True)
    emitted = np.exp(log_likelihood - largest)
    forward = np.empty((frames, clips, count), dtype=np.float32)
    scale = np.empty((frames, clips, 1), dtype=np.float32)
    now = np.broadcast_to(start.astype(np.float32), (clips, count))
    for frame in range(frames):
        now = (now @ transitions if frame else now) * emitted[:, frame]
        scale[frame] = now.sum(axis=1, keepdims=True) + _LEAST
        now = now / scale[frame]
        forward[frame] = now
    found = np.empty_like(forward)
    found[-1] = forward[-1]
    pairs = np.zeros((count, count), dtype=np.float32)
    later = np.ones((clips, count), dtype=np.float32)
    for frame in range(frames - 2, -1, -1):
        ahead = emitted[:, frame + 1] * later / scale[frame + 1]
        pairs += forward[frame].T @ ahead
        later = ahead @ transitions.T
        found[frame] = forward[frame] * later
    total = float(np.log(scale, dtype=np.float64).sum() + largest.sum(dtype=np.float64))
    return found.transpose(1, 0, 2), pairs * transitions, total


def most_likely_paths(log_likelihood: Floats, transitions: Floats, start: Floats) -> npt.NDArray[np.uint8]:
    """Viterbi algorithm: the most likely states of each clip, shape (clips, T); see `posteriors`."""
    clips, frames, _ = log_likelihood.shape
    steps = np.log(transitions + _LEAST)
    best = np.log(start + _LEAST) + log_likelihood[:, 0]
    before = np.empty(log_likelihood.shape, dtype=np.uint8)
    for frame in range(1, frames):
        candidates = best[:, :, None] + steps
        before[:, frame] = candidates.argmax(axis=1)
        best = candidates.max(axis=1) + log_likelihood[:, frame]
    paths = np.empty((clips, frames), dtype=np.uint8)
    paths[:, -1] = best.argmax(axis=1)
    every = np.arange(clips)
    for frame in range(frames - 1, 0, -1):
        paths[:, frame - 1] = before[every, frame, paths[:, frame]]
    return paths


_LEAST = 1e-30
"""Least probability: keeps logarithms and quotients finite."""
