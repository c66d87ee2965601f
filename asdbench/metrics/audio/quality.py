"""The table of audio quality of a run: each figure per machine and pooled, with interval, floor and number of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.metrics.audio import clap_score, divergence, kernels
from asdbench.metrics.audio.embedding import embed_clips, embedding_of
from asdbench.metrics.audio.fad_infinity import FEWEST, LARGEST_INVERSE, everything, extrapolate, extrapolated
from asdbench.metrics.audio.frechet import frechet_distance, too_few_for
from asdbench.metrics.audio.inception import weighted_score
from asdbench.metrics.audio.resampling import Floor, FrechetOfClips, Strata, TwoSets, Values, Weights, bootstrap, floor
from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors, bilinear, join, refuse_different_models
from asdbench.plugins import Embedding
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    import pandas as pd

POOLED = "pooled"
"""Name of the machine in rows over all machines."""
NAN = float("nan")
_MOST_VECTORS = 6000
"""Vectors of both sets that kernel figures take: their cost grows with the square."""
_INFINITY_RESAMPLES = 100


@dataclass(frozen=True)
class Row:
    """One figure of one machine; the columns of the table.

    Attributes:
        machine: machine type, or "pooled".
        metric: what was measured, see docs/audio-metrics.md.
        embedding: the model, with a hash of its settings and weights.
        value: the figure.
        low, high: bootstrap interval over clips.
        n_real, n_generated: clips in each set.
        vectors_real, vectors_generated, dim: how many vectors they gave, of which length.
        floor, floor_high: mean and 95th percentile between random halves of the real clips (for the inception score:
            of as many real clips).
        floor_n: clips in each half.
        value_at_floor_n: the figure of the generated clips with as many clips on each side, to compare with the floor.
        remark: what to know before the figure is read, "" for nothing.
    """

    machine: str
    metric: str
    embedding: str
    value: float
    low: float = NAN
    high: float = NAN
    n_real: int = 0
    n_generated: int = 0
    vectors_real: int = 0
    vectors_generated: int = 0
    dim: int = 0
    floor: float = NAN
    floor_high: float = NAN
    floor_n: int = 0
    value_at_floor_n: float = NAN
    remark: str = ""


@dataclass(frozen=True)
class Options:
    """How figures are computed.

    Attributes:
        resamples: of the bootstrap.
        splits: of the real clips, for the floor.
        confidence: of the intervals.
        pairings: how often real and generated clips are paired for KL.
        seed: of everything that is drawn.
        fad_infinity: whether FAD at infinitely many clips is computed too.
        strata: set by `quality`: draws from several machines keep the number of clips of each, where both sets have the
            same machines.
    """

    resamples: int = 200
    splits: int = 20
    confidence: float = 0.95
    pairings: int = 10
    seed: int = 0
    fad_infinity: bool = True
    strata: Strata | None = None


def quality(
    real: ClipSet,
    generated: ClipSet,
    *,
    captions: Mapping[str, str] | None = None,
    embedding: str | Embedding = "logmel_stats",
    clap: str | Embedding | None = None,
    options: Options | None = None,
    cache: Path | None = None,
    advance: Callable[[], None] = lambda: None,
    pooled_only: bool = False,
) -> pd.DataFrame:
    """Compare generated clips with real ones: FAD, FAD∞, KAD, KID; KL and IS where the embedding is a classifier.

    Args:
        real: real clips, two or more of each machine.
        generated: generated clips.
        captions: caption of each clip by ``clip_id``, for KL's pairs and the CLAP score; without, clips are paired by
            machine and attributes.
        embedding: name of an embedding with its defaults, or an embedding.
        clap: an embedding with ``embed_captions`` (``clap``) for the CLAP score, which needs captions.
        options: see `Options`.
        cache: folder for vectors, see `embed_clips`.
        advance: called after each clip that was embedded.
        pooled_only: leave out the rows of single machines.

    Returns:
        One row a figure and machine with the columns of `Row`; machines that only one set has are in no row, and the
        remark of the pooled rows names them.

    Raises:
        UserError: a set is empty or has one clip, sets are read at different rates, or clips cannot be embedded.
    """
    import pandas as pd

    how = options or Options()
    _refuse_unusable(real, generated)
    model = embedding_of(embedding)
    sets = [
        _Embedded(clips, embed_clips(clips, model, cache=cache, advance=advance), captions)
        for clips in (real, generated)
    ]
    rows = list(_all_rows(sets[0], sets[1], how, pooled_only))
    table = pd.DataFrame([asdict(row) for row in rows])
    if clap is None:
        return table
    scores = clap_quality(
        real,
        generated,
        captions or {},
        clap=clap,
        options=how,
        cache=cache,
        advance=advance,
        pooled_only=pooled_only,
    )
    return pd.concat([table, scores], ignore_index=True)


def clap_quality(
    real: ClipSet,
    generated: ClipSet,
    captions: Mapping[str, str],
    *,
    clap: str | Embedding = "clap",
    options: Options | None = None,
    cache: Path | None = None,
    advance: Callable[[], None] = lambda: None,
    pooled_only: bool = False,
) -> pd.DataFrame:
    """CLAP scores of real and of generated clips, their paired difference, and both with captions of other clips.

    Arguments, table and errors as in `quality`; every clip needs a caption.
    """
    import pandas as pd

    _refuse_unusable(real, generated)
    scorer: Any = embedding_of(clap)
    if not reads_captions(scorer):
        raise UserError(f"the embedding '{scorer.name}' does not read captions, expected one such as 'clap'")
    missing = [name for part in (real, generated) for name in part.frame["clip_id"] if not captions.get(name)]
    if missing:
        raise UserError(f"the CLAP score needs a caption of every clip, {len(missing)} have none, such as {missing[0]}")
    sets = [
        _Embedded(clips, embed_clips(clips, scorer, cache=cache, advance=advance), captions)
        for clips in (real, generated)
    ]
    known = sorted({text for part in sets for text in part.captions})
    vectors = scorer.embed_captions(known)
    index = {text: number for number, text in enumerate(known)}
    cosines = [clap_score.similarities(part.vectors, vectors) for part in sets]
    rows: list[Row] = []
    for machine in _machines(sets[0], sets[1], pooled_only):
        chosen = [part.of(machine) for part in sets]
        own = [[index[part.captions[row]] for row in some] for part, some in zip(sets, chosen, strict=True)]
        scores = [values[some] for values, some in zip(cosines, chosen, strict=True)]
        base = Row(machine, "", sets[0].vectors.model, NAN, dim=sets[0].vectors.dim)
        base = replace(base, n_real=len(chosen[0]), n_generated=len(chosen[1]))
        rows += _clap_rows(base, scores, own, options or Options())
    return pd.DataFrame([asdict(row) for row in rows])


def reads_captions(embedding: Embedding) -> bool:
    """Whether an embedding puts captions into the space of its clips, as the CLAP score needs it."""
    return hasattr(embedding, "embed_captions")


class _Embedded:
    """A set of clips with its vectors and labels, in the order of the vectors."""

    def __init__(self, clips: ClipSet, vectors: EmbeddedClips, captions: Mapping[str, str] | None) -> None:
        self.vectors = vectors
        frame = clips.frame.set_index("clip_id").loc[list(vectors.clip_ids)]
        self.machines = [str(name) for name in frame["machine"]]
        self.hashes = set(frame["content_hash"])
        self.captions = [str((captions or {}).get(name, "")) for name in vectors.clip_ids]
        if captions is not None and all(self.captions):
            self.keys = self.captions
        else:
            attributes = [sorted(map(str, row.items())) for row in frame["attributes"]]
            self.keys = [f"{name} {row}" for name, row in zip(self.machines, attributes, strict=True)]

    def of(self, machine: str) -> list[int]:
        """The clips of a machine, all of them for `POOLED`."""
        return [row for row, name in enumerate(self.machines) if machine in (POOLED, name)]


def _refuse_unusable(real: ClipSet, generated: ClipSet) -> None:
    for what, clips in (("real", real), ("generated", generated)):
        if len(clips) < 2:
            found = "one clip" if len(clips) else "no clip"
            raise UserError(f"audio metrics need at least two {what} clips, found {found}")
    rates = [clips.sample_rate for clips in (real, generated)]
    if rates[0] != rates[1]:
        raise UserError(
            f"the real clips are read at {rates[0]} Hz and the generated ones at {rates[1]} Hz, expected one rate: "
            "a model hears where a recording ends in frequency"
        )


def _all_rows(real: _Embedded, generated: _Embedded, how: Options, pooled_only: bool) -> Iterator[Row]:
    refuse_different_models(real.vectors, generated.vectors)
    single = sorted(set(real.machines) ^ set(generated.machines))
    twice = len(real.hashes & generated.hashes)
    notes = []
    if twice:
        notes.append(f"{twice} clips are in both sets")
    if single:
        notes.append(f"only one of the sets has {', '.join(single)}")
    for machine in _machines(real, generated, pooled_only):
        for row in _rows(machine, real, generated, how):
            yield _remark(row, notes) if machine == POOLED else row


def _machines(real: _Embedded, generated: _Embedded, pooled_only: bool) -> list[str]:
    """The machines that both sets have, where there are several in all and they are asked for, and `POOLED`."""
    several = len({*real.machines, *generated.machines}) > 1 and not pooled_only
    return [*(sorted(set(real.machines) & set(generated.machines)) if several else []), POOLED]


def _rows(machine: str, real: _Embedded, generated: _Embedded, how: Options) -> Iterator[Row]:
    of_real, of_made = real.of(machine), generated.of(machine)
    strata = [real.machines[row] for row in of_real], [generated.machines[row] for row in of_made]
    how = replace(how, strata=strata if set(strata[0]) == set(strata[1]) else None)
    x, y = real.vectors.select(of_real), generated.vectors.select(of_made)
    base = Row(
        machine=machine,
        metric="",
        embedding=x.model,
        value=NAN,
        n_real=len(x),
        n_generated=len(y),
        vectors_real=int(x.counts.sum()),
        vectors_generated=int(y.counts.sum()),
        dim=x.dim,
    )
    if min(len(x), len(y)) < 2:
        yield replace(base, metric="fad", remark="at least two real and two generated clips are needed")
        return
    both = join(x, y)
    yield from _frechet_rows(base, both, x, y, how)
    yield from _kernel_rows(base, both, len(x), len(y), how)
    if both.logits is not None:
        keys = [real.keys[row] for row in of_real], [generated.keys[row] for row in of_made]
        yield _kl_row(base, both.logits, keys, how)
        yield _is_row(base, both.logits, len(x), len(y), how)


def _frechet_rows(base: Row, both: EmbeddedClips, x: EmbeddedClips, y: EmbeddedClips, how: Options) -> Iterator[Row]:
    figure = FrechetOfClips(both)
    few = too_few_for(min(base.vectors_real, base.vectors_generated), base.dim, clips=min(len(x), len(y)))
    value = frechet_distance(x.stacked, y.stacked)
    row = _with_interval(replace(base, metric="fad", value=value, remark=few), figure, how)
    yield replace(row, low=max(0.0, row.low))
    if not how.fad_infinity:
        return
    if min(len(x), len(y)) < FEWEST:
        yield replace(base, metric="fad_infinity", remark=f"at least {FEWEST} real and generated clips are needed")
        return
    sizes = (len(x), len(y))
    resamples = min(how.resamples, _INFINITY_RESAMPLES)
    line = extrapolate(figure, *sizes, seed=how.seed, resamples=resamples, confidence=how.confidence)
    remark = f"R² {line.r2:.2f}, bias {line.slope:.3g} at these numbers of clips"
    row = replace(base, metric="fad_infinity", value=line.value, low=line.low, high=line.high, remark=remark)
    if min(len(x) // 2, len(y)) >= FEWEST:
        row = _with_floor(row, extrapolated(figure, how.seed), how)
    smallest = min(base.vectors_real, base.vectors_generated) / LARGEST_INVERSE
    bent = f"subsets of {smallest:.0f} vectors in {base.dim} dimensions: the line is bent, do not rely on it"
    yield _remark(row, [bent] if smallest <= base.dim else [])


def _kernel_rows(base: Row, both: EmbeddedClips, n_real: int, n_made: int, how: Options) -> Iterator[Row]:
    fewer, remark = _thinned(both)
    strata = None if how.strata is None else [*how.strata[0], *how.strata[1]]
    try:
        width = kernels.median_distance(fewer.select(range(n_real)).stacked)
    except UserError as error:
        yield replace(base, metric="kad", remark=str(error))
    else:
        sums = kernels.KernelSums(fewer, kernels.gaussian_kernel(width), strata)
        yield _unbiased(
            replace(base, metric="kad", remark=remark), lambda a, b: kernels.KAD_SCALE * sums.mmd(a, b), how
        )
    cubic = kernels.KernelSums(fewer, kernels.polynomial_kernel, strata)
    yield _unbiased(replace(base, metric="kid", remark=remark), cubic.mmd, how)


def _thinned(clips: EmbeddedClips) -> tuple[EmbeddedClips, str]:
    """The clips with every k-th vector of each, where there are too many for a kernel matrix."""
    step = -(-int(clips.counts.sum()) // _MOST_VECTORS)
    if step <= 1:
        return clips, ""
    parts = tuple(part[::step] for part in clips.vectors)
    return replace(clips, vectors=parts), f"every {step}th vector of a clip"


def _unbiased(row: Row, figure: TwoSets, how: Options) -> Row:
    """A figure that is the same function of the weights on all clips as on resamples."""
    return _with_interval(replace(row, value=float(figure(*everything(row.n_real, row.n_generated))[0])), figure, how)


def _kl_row(base: Row, logits: Vectors, keys: tuple[Sequence[str], Sequence[str]], how: Options) -> Row:
    row = replace(base, metric="kl")
    real, made = logits[: row.n_real], logits[row.n_real :]
    try:
        pairs = divergence.pairings(keys[0], keys[1], rounds=how.pairings, seed=how.seed)
    except UserError as error:
        return replace(row, remark=str(error))
    value, scatter = divergence.paired_kl(real, made, pairs)
    both = np.array([*keys[0], *keys[1]], dtype=object)
    same = (both[:, None] == both[None, :]) & ~np.eye(len(both), dtype=bool)
    values = np.where(same, divergence.kl_matrix(logits, logits), 0.0)

    def figure(first: Weights, second: Weights) -> Values:
        matched, sums = bilinear(first, same, second), bilinear(first, values, second)
        return np.asarray(np.divide(sums, matched, out=np.full(len(second), NAN), where=matched > 0))

    notes = [f"{how.pairings} pairings, standard deviation {scatter:.2g} between them"]
    row = replace(row, value=value)
    if len(set(keys[0])) == len(keys[0]):  # a pair is one clip with its only match: pairs are resampled
        everyone = everything(row.n_real, row.n_generated)[0]
        low, high = bootstrap(
            lambda _, second: figure(everyone, second),
            row.n_real,
            row.n_generated,
            value,
            resamples=how.resamples,
            confidence=how.confidence,
            seed=how.seed,
            strata=how.strata,
        )
        row = replace(row, low=low, high=high)
        notes = ["each generated clip has one real clip to be compared with, and no real clip another: no floor"]
    else:
        row = _with_interval(row, figure, how)
    left_out = row.n_generated - len(pairs[0][1])
    if left_out:
        notes.append(f"{left_out} generated clips have no real clip of the same caption or attributes")
    return _remark(row, notes)


def _is_row(base: Row, logits: Vectors, n_real: int, n_made: int, how: Options) -> Row:
    real, made = logits[:n_real], logits[n_real:]
    rng = derive_rng("inception", how.seed)
    value = weighted_score(made)
    draws = [weighted_score(made, rng.multinomial(n_made, np.full(n_made, 1 / n_made))) for _ in range(how.resamples)]
    size = min(n_real, n_made)
    of_real = [weighted_score(real[rng.permutation(n_real)[:size]]) for _ in range(how.splits)]
    at_size = [weighted_score(made[rng.permutation(n_made)[:size]]) for _ in range(how.splits)]
    row = replace(
        base,
        metric="is",
        value=value,
        floor=float(np.mean(of_real)),
        floor_high=float(np.quantile(of_real, 0.95)),
        floor_n=size,
        value_at_floor_n=float(np.mean(at_size)),
        remark="1 split; the floor is the score of as many real clips",
    )
    low, high = _moved(draws, value, how.confidence)
    return replace(row, low=max(1.0, low), high=high)


def _clap_rows(base: Row, cosines: Sequence[Vectors], own: Sequence[Sequence[int]], how: Options) -> Iterator[Row]:
    fit = [clap_score.own_scores(cosines[side], own[side]) for side in (0, 1)]
    chance = [clap_score.shuffled_scores(cosines[side], own[side]) for side in (0, 1)]
    for side, name in enumerate(("real", "generated")):
        yield _mean_row(replace(base, metric=f"clap_{name}"), fit[side], how)
        row = _mean_row(replace(base, metric=f"clap_{name}_shuffled"), chance[side], how)
        yield _remark(row, ["all captions are the same"] if np.isnan(row.value) else [])
    names = [[str(number) for number in part] for part in own]
    differences, counts = clap_score.paired_difference(fit[0], names[0], fit[1], names[1])
    row = replace(base, metric="clap_difference")
    if len(differences) == 0:
        yield _remark(row, ["no caption is common to real and generated clips"])
        return
    rng = derive_rng("clap", how.seed)
    value = float(np.average(differences, weights=counts))
    if len(differences) > 1:
        picks = rng.integers(len(differences), size=(how.resamples, len(differences)))
        draws = [float(np.average(differences[pick], weights=counts[pick])) for pick in picks]
        low, high = _moved(draws, value, how.confidence)
    else:
        low = high = NAN
    halves = []
    for _ in range(how.splits if len(fit[0]) >= 4 else 0):
        mixed = rng.permutation(fit[0])
        halves.append(abs(mixed[: len(mixed) // 2].mean() - mixed[len(mixed) // 2 :].mean()))
    remark = f"paired by {len(differences)} captions; the floor is the absolute difference of halves"
    row = replace(row, value=value, low=low, high=high, remark=remark)
    if halves:
        high_floor = float(np.quantile(halves, 0.95))
        row = replace(row, floor=float(np.mean(halves)), floor_high=high_floor, floor_n=len(fit[0]) // 2)
    yield row


def _mean_row(row: Row, values: Vectors, how: Options) -> Row:
    value = float(values.mean())
    if np.isnan(value):
        return row
    picks = derive_rng("mean", how.seed).integers(len(values), size=(how.resamples, len(values)))
    low, high = _moved(values[picks].mean(axis=1).tolist(), value, how.confidence)
    return replace(row, value=value, low=low, high=high)


def _with_interval(row: Row, figure: TwoSets, how: Options) -> Row:
    """The row with interval and floor of a figure over the clips of both sets."""
    low, high = bootstrap(
        figure,
        row.n_real,
        row.n_generated,
        row.value,
        resamples=how.resamples,
        confidence=how.confidence,
        seed=how.seed,
        strata=how.strata,
    )
    return _with_floor(replace(row, low=low, high=high), figure, how)


def _with_floor(row: Row, figure: TwoSets, how: Options) -> Row:
    sizes = row.n_real, row.n_generated
    between: Floor | None = floor(figure, *sizes, splits=how.splits, seed=how.seed, strata=how.strata)
    if between is None:
        return _remark(row, ["too few real clips for a floor"])
    return replace(
        row,
        floor=between.mean,
        floor_high=between.high,
        floor_n=between.clips,
        value_at_floor_n=between.matched,
    )


def _moved(draws: Sequence[float], value: float, confidence: float) -> tuple[float, float]:
    values = np.asarray(draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values - values.mean() + value, [tail, 1 - tail])
    return float(low), float(high)


def _remark(row: Row, notes: Sequence[str]) -> Row:
    return replace(row, remark="; ".join(note for note in (row.remark, *notes) if note))
