"""Kullback-Leibler divergence between the classes that a classifier hears in real and in generated clips.

The divergence is per pair of clips, and a generated clip has no natural twin: `pairings` says which real clip it is
compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special

from asdbench.errors import UserError, did_you_mean
from asdbench.metrics.audio.vectors import Vectors, checked_pair
from asdbench.seeding import derive_rng


@dataclass(frozen=True)
class KlDefinition:
    """One way to compute KL from logits.

    Attributes:
        reverse: KL(generated || reference) in place of KL(reference || generated).
        eps: added to the probabilities whose logarithm is taken, without scaling them back to a sum of 1; with it the
            divergence of equal distributions is slightly negative (-5e-4 with 527 classes). 0 for the exact logarithm.
    """

    reverse: bool = False
    eps: float = 0.0


DEFINITIONS = {
    "exact": KlDefinition(),
    "audioldm": KlDefinition(eps=1e-6),
    "audiocraft": KlDefinition(eps=1e-6),
    "sam": KlDefinition(reverse=True, eps=1e-6),
}
"""By name: the default, and those of audioldm_eval (``kl_softmax``), audiocraft (``kld``) and stable-audio-metrics.

They take one row of logits a clip. Where a model cuts a clip into segments, the logits are averaged, which is
stable-audio-metrics' rule; audiocraft counts each segment of ten seconds as a clip.
"""


def kl(reference: npt.ArrayLike, generated: npt.ArrayLike, definition: str = "exact") -> float:
    """Mean KL divergence over pairs of clips, in nats, softmax over classes.

    Args:
        reference: logits of real clips, shape (pairs, classes).
        generated: logits of the generated clip of each pair, shape (pairs, classes).
        definition: a name of `DEFINITIONS`.

    Raises:
        UserError: shapes differ, values are not finite, or there is no such definition.
    """
    p, q = checked_pair(reference, generated)
    if len(p) != len(q):
        raise UserError(f"KL compares pairs of clips, found {len(p)} reference and {len(q)} generated clips")
    return float(np.mean(kl_of_pairs(p, q, definition)))


def kl_of_pairs(reference: Vectors, generated: Vectors, definition: str = "exact") -> npt.NDArray[np.float64]:
    """KL divergence of each pair, shape (pairs,); arguments as `kl`."""
    how = _definition(definition)
    target, prediction = (generated, reference) if how.reverse else (reference, generated)
    log_target, log_prediction = _logs(target, 0.0), _logs(prediction, how.eps)
    return np.asarray((np.exp(log_target) * (log_target - log_prediction)).sum(axis=1))


def kl_matrix(reference: Vectors, generated: Vectors, definition: str = "exact") -> Vectors:
    """KL divergence of every reference clip with every generated clip, shape (reference, generated)."""
    how = _definition(definition)
    target, prediction = (generated, reference) if how.reverse else (reference, generated)
    log_target, log_prediction = _logs(target, 0.0), _logs(prediction, how.eps)
    probability = np.exp(log_target)
    matrix = (probability * log_target).sum(axis=1)[:, None] - probability @ log_prediction.T
    return np.asarray(matrix.T if how.reverse else matrix)


def pairings(
    reference: Sequence[str], generated: Sequence[str], rounds: int = 10, seed: int = 0
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pair each generated clip with a random real clip of the same key, ``rounds`` times.

    Within a key real clips are dealt like cards: each is taken once before one is taken twice. Generated clips with a
    key that no real clip has are left out.

    Args:
        reference: key of each real clip, such as its caption.
        generated: key of each generated clip.
        rounds: how many pairings to draw.
        seed: of the draws.

    Returns:
        Indices of real and of generated clips, for each round.

    Raises:
        UserError: no key is common to both.
    """
    common = sorted(set(reference) & set(generated))
    if not common:
        raise UserError("no real and generated clip have the same caption or attributes, so KL has no pairs")
    real_of = {key: np.flatnonzero([name == key for name in reference]) for key in common}
    made_of = {key: np.flatnonzero([name == key for name in generated]) for key in common}
    result = []
    for number in range(rounds):
        real: list[int] = []
        for key in common:
            rng = derive_rng("pairing", seed, number, key)
            need, have = len(made_of[key]), real_of[key]
            decks = [rng.permutation(have) for _ in range(-(-need // len(have)))]
            real.extend(np.concatenate(decks)[:need].tolist())
        made = np.concatenate([made_of[key] for key in common])
        result.append((np.array(real, dtype=np.int64), made.astype(np.int64)))
    return result


def paired_kl(
    reference: Vectors,
    generated: Vectors,
    pairs: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    definition: str = "exact",
) -> tuple[float, float]:
    """Mean KL over several pairings, and its standard deviation from pairing to pairing."""
    values = [float(np.mean(kl_of_pairs(reference[real], generated[made], definition))) for real, made in pairs]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _logs(logits: Vectors, eps: float) -> Vectors:
    logs = scipy.special.log_softmax(logits, axis=1)
    return np.asarray(np.log(np.exp(logs) + eps) if eps else logs, dtype=np.float64)


def _definition(name: str) -> KlDefinition:
    if name not in DEFINITIONS:
        raise UserError(f"there is no KL '{name}'{did_you_mean(name, DEFINITIONS)}")
    return DEFINITIONS[name]
