"""Seeds of detector and generator as factors of their own: what repeating the experiment would change.

Three figures answer three questions. The *interval over clips* asks: with these fitted detectors and trained
generators, how far may the gap on these clips be from the gap on endlessly many? The *standard deviation over
repetitions* asks: how much does the gap move when training and generation are repeated? The *hierarchical interval*
answers both at once: where would the gap be with other clips **and** other seeds? It resamples detector seeds and
generation seeds first (one factor where each detector seed has its own generation seed, two where they are crossed) and
clips within them.

Of k seeds, k - 1 are drawn with replacement: drawing k would give (k - 1) / k of the variance between seeds, a third
too little with three seeds (McCarthy & Snowden 1985; Rao & Wu 1988, J. Am. Stat. Assoc. 83:231-241). Clips of different
generation seeds differ, so a part of the noise of clips is in the spread over seeds too and counts twice: the interval
errs on the wide side. With two or three seeds its tails are a guess all the same; the number of seeds stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asdbench.compare.testsets import Replicate
from asdbench.metrics.detection import Scores


def resample_seeds(replicates: Sequence[Replicate], draws: Scores, rng: np.random.Generator) -> Scores:
    """Mean over resampled repetitions, each with its clips resampled.

    Args:
        replicates: repetitions of the experiment.
        draws: value of each repetition with resampled clips, shape (repetitions, resamples).
        rng: random stream.

    Returns:
        Shape (resamples,).
    """
    factors = [[r.seed for r in replicates], [r.generation_seed for r in replicates]]
    if len(set(factors[0])) == len(set(factors[1])) == len(replicates):
        factors = factors[:1]
    weights = np.ones(draws.shape)
    for names in factors:
        levels = sorted(set(names))
        if len(levels) > 1:
            counts = rng.multinomial(len(levels) - 1, [1 / len(levels)] * len(levels), size=draws.shape[1])
            weights *= counts[:, [levels.index(name) for name in names]].T
    weights[:, weights.sum(axis=0) == 0] = 1.0  # an incomplete grid may have none of the pairs that were drawn
    return np.asarray((weights * draws).sum(axis=0) / weights.sum(axis=0))
