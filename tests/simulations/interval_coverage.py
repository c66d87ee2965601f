"""Coverage of the intervals and error rates of the verdicts, by simulation with known truth.

Not part of the test run. Writes ``docs/coverage/results.csv`` and the table in ``docs/coverage/README.md``:

    OMP_NUM_THREADS=1 python tests/simulations/interval_coverage.py

Every row is a share of repetitions with its standard error: how often an interval holds the truth, or how often a test
is wrong. ``--quick`` makes few repetitions, to see that the script runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import equivalence_cases
import group_cases
import numpy as np
import pandas as pd
from scipy import optimize, stats
from shares import Share, within

from asdbench.compare import agreement
from asdbench.compare.bootstrap import (
    bca_interval,
    bootstrap_gap_interval,
    draw_weights,
    weighted_aucs,
    weighted_partial_aucs,
)
from asdbench.compare.estimates import (
    Estimate,
    auc_estimate,
    gap_interval,
    harmonic_mean_of,
    in_strata,
    mean_of,
    partial_auc_estimate,
    score_interval,
)
from asdbench.compare.gaps import mean_abs_interval
from asdbench.compare.perfect import Placed, Side, holm, perfect_p
from asdbench.compare.testsets import Replicate
from asdbench.metrics.detection import MAX_FPR
from asdbench.seeding import derive_rng

FOLDER = Path(__file__).parents[2] / "docs" / "coverage"
AUCS, CLIPS = (0.55, 0.7, 0.95), (25, 50, 200)
NORMAL, REAL, MADE = ("normal", "real"), ("anomaly", "real"), ("anomaly", "made")

Draw = Callable[[np.random.Generator, float, int, int], tuple[np.ndarray, np.ndarray]]


def binormal(spread: float) -> Draw:
    """Normal scores N(0, 1), anomalous ones N(mu, spread^2)."""

    def draw(rng: np.random.Generator, auc: float, normal: int, anomaly: int) -> tuple[np.ndarray, np.ndarray]:
        shift = stats.norm.ppf(auc) * np.hypot(1, spread)
        return rng.normal(size=normal), rng.normal(shift, spread, size=anomaly)

    return draw


def exponential(rng: np.random.Generator, auc: float, normal: int, anomaly: int) -> tuple[np.ndarray, np.ndarray]:
    """Both exponential, the anomalous ones with a larger mean: skewed, long upper tail."""
    return rng.exponential(size=normal), rng.exponential(auc / (1 - auc), size=anomaly)


def log_normal(rng: np.random.Generator, auc: float, normal: int, anomaly: int) -> tuple[np.ndarray, np.ndarray]:
    """Both log-normal, the anomalous ones moved up by a constant."""
    return rng.lognormal(size=normal), rng.lognormal(size=anomaly) + _log_normal_shift(auc)


_SHIFTS: dict[float, float] = {}


def _log_normal_shift(auc: float) -> float:
    if auc not in _SHIFTS:
        # Quantiles on an even grid: the mean over them is the AUC to 1e-4.
        base = stats.lognorm.ppf((np.arange(20000) + 0.5) / 20000, 1)
        _SHIFTS[auc] = optimize.brentq(lambda c: stats.lognorm.cdf(base + c, 1).mean() - auc, -60, 60)
    return _SHIFTS[auc]


def mixture(rng: np.random.Generator, auc: float, normal: int, anomaly: int) -> tuple[np.ndarray, np.ndarray]:
    """A share 2 AUC - 1 of the anomalies is obvious, the rest is like the normal clips."""
    obvious = rng.random(anomaly) < 2 * auc - 1
    return rng.normal(size=normal), rng.normal(size=anomaly) + 8 * obvious


DISTRIBUTIONS: dict[str, Draw] = {
    "binormal": binormal(1),
    "binormal, sd 2": binormal(2),
    "binormal, sd 0.5": binormal(0.5),
    "exponential": exponential,
    "log-normal": log_normal,
    "mixture": mixture,
}


def placed(placements: np.ndarray) -> Placed:
    return Placed(placements, placements)


def side_of(first: Estimate, second: Estimate, other: int) -> Side:
    made = {MADE: {Replicate(0, 0): placed(second.influence[MADE])}}
    return Side({0: placed(first.influence[REAL])}, made, other)


def one_cell(repetitions: int) -> Iterator[dict[str, object]]:
    """AUC and paired gap, "different" for a perfect generator."""
    for name, draw in DISTRIBUTIONS.items():
        for auc in AUCS:
            for clips in CLIPS:
                for gap in (0.0, -0.05, 0.03):
                    if name == "mixture" and auc + gap < 0.5:
                        continue
                    rng = derive_rng("coverage", name, auc, clips, gap)
                    shares = {key: Share() for key in ("auc", "gap", "different")}
                    for _ in range(repetitions):
                        normal, real = draw(rng, auc, clips, clips)
                        made = draw(rng, auc + gap, 1, clips)[1]
                        first, second = (
                            auc_estimate(normal, real, NORMAL, REAL),
                            auc_estimate(normal, made, NORMAL, MADE),
                        )
                        shares["auc"].add(within(score_interval(first, 0.95), auc))
                        shares["gap"].add(within(gap_interval(first, second, 0.95), gap))
                        if gap == 0:
                            side = side_of(first, second, clips)
                            shares["different"].add(perfect_p(second.value - first.value, [side]) <= 0.05)
                    names = {"distribution": name, "auc": auc, "n": clips, "true_gap": gap}
                    if gap == 0:
                        yield shares["auc"].row("AUC", "default", **names)
                        yield shares["different"].row("false 'different', one cell", "default", **names)
                    yield shares["gap"].row("gap", "default", **names)


def uneven(repetitions: int) -> Iterator[dict[str, object]]:
    """More generated than real clips: where the spread of the few is easily missed."""
    for name, draw in DISTRIBUTIONS.items():
        for auc in AUCS:
            rng = derive_rng("coverage uneven", name, auc)
            gap, different = Share(), Share()
            for _ in range(repetitions):
                normal, real = draw(rng, auc, 50, 25)
                made = draw(rng, auc, 1, 200)[1]
                first, second = auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)
                gap.add(within(gap_interval(first, second, 0.95), 0))
                side = side_of(first, second, 50)
                different.add(perfect_p(second.value - first.value, [side]) <= 0.05)
            names = {"distribution": name, "auc": auc, "n": "50/25/200", "true_gap": 0.0}
            yield gap.row("gap", "default", **names)
            yield different.row("false 'different', one cell", "default", **names)


def bootstrap(repetitions: int, resamples: int = 600) -> Iterator[dict[str, object]]:
    """AUC and gap by the bootstrap that stands beside the default."""
    draw = DISTRIBUTIONS["binormal"]
    for auc in AUCS:
        for clips in CLIPS:
            rng = derive_rng("coverage bootstrap", auc, clips)
            of_auc, of_gap, plain = Share(), Share(), Share()
            for repetition in range(repetitions):
                if repetition % 20 == 0:
                    weights = [draw_weights(clips, resamples, rng) for _ in range(3)]
                normal, real = draw(rng, auc, clips, clips)
                made = draw(rng, auc, 1, clips)[1]
                first, second = auc_estimate(normal, real, NORMAL, REAL), auc_estimate(normal, made, NORMAL, MADE)
                draws = [weighted_aucs(normal, s, weights[0], w) for s, w in ((real, weights[1]), (made, weights[2]))]
                limits = [bca_interval(e.value, d, e, 0.95) for e, d in zip((first, second), draws, strict=True)]
                limits = [  # separated classes: the bootstrap has no interval, and the table prints none
                    score_interval(e, 0.95) if np.isnan(limit[0]) else limit
                    for e, limit in zip((first, second), limits, strict=True)
                ]
                of_auc.add(within(limits[0], auc))
                if all(np.ptp(d) > 0 for d in draws):
                    found = bootstrap_gap_interval(first.value, limits[0], draws[0], second.value, limits[1], draws[1])
                    of_gap.add(within(found, 0))
                plain.add(within(tuple(np.quantile(draws[0], [0.025, 0.975])), auc))
            names = {"distribution": "binormal", "auc": auc, "n": clips, "true_gap": 0.0}
            yield of_auc.row("AUC", "bootstrap (BCa)", **names)
            yield plain.row("AUC", "bootstrap (percentile; not used)", **names)
            yield of_gap.row("gap", "bootstrap (BCa, MOVER)", **names)


def true_pauc(auc: float) -> float:
    rates = (np.arange(20000) + 0.5) / 20000 * MAX_FPR
    mean = stats.norm.cdf(np.sqrt(2) * stats.norm.ppf(auc) - stats.norm.isf(rates)).mean()
    smallest = MAX_FPR / 2
    return 0.5 * (1 + (mean - smallest) / (1 - smallest))


def section(
    rng: np.random.Generator, auc: float, clips: int, weights: list[np.ndarray] | None
) -> tuple[list[Estimate], list[np.ndarray]]:
    """AUC source, AUC target and pAUC of a section of one machine: half of each class in each domain."""
    normal, anomaly = DISTRIBUTIONS["binormal"](rng, auc, clips, clips)
    domain = np.array(["source"] * (clips // 2) + ["target"] * (clips - clips // 2), dtype=object)
    found, draws = [], []
    for inside in (domain == "source", domain == "target", np.ones(clips, dtype=bool)):
        whole = inside.all()
        make = partial_auc_estimate if whole else auc_estimate
        strata = {NORMAL: domain[inside], REAL: domain}
        found.append(in_strata(make(normal[inside], anomaly, NORMAL, REAL), strata))
        if weights is not None:
            resample = weighted_partial_aucs if whole else weighted_aucs
            draws.append(resample(normal[inside], anomaly, weights[0][:, inside], weights[1]))
    return found, draws


def official(repetitions: int, resamples: int = 400) -> Iterator[dict[str, object]]:
    """Official score of 2022 on, over one machine and over five; n counts the clips of a class in a section."""
    for auc in AUCS:
        truth = 3 / (2 / auc + 1 / true_pauc(auc))
        for clips in CLIPS:
            rng = derive_rng("coverage official", auc, clips)
            shares = {key: Share() for key in ("one", "bca", "five", "pauc")}
            halves = (clips // 2, clips - clips // 2)
            for repetition in range(repetitions):
                if repetition % 20 == 0:
                    weights = [
                        np.concatenate([draw_weights(half, resamples, rng) for half in halves], axis=1)
                        for _ in range(2)
                    ]
                measures, draws = section(rng, auc, clips, weights)
                score = harmonic_mean_of(measures)
                shares["one"].add(within(score_interval(score, 0.95, student=False), truth))
                shares["pauc"].add(within(score_interval(measures[2], 0.95), true_pauc(auc)))
                resampled = 3 / (1 / np.maximum(draws, 1e-12)).sum(axis=0)
                limits = bca_interval(score.value, resampled, score, 0.95)
                shares["bca"].add(within(limits, truth))
                machines = [measures]
                for machine in range(4):
                    more = section(rng, auc, clips, None)[0]
                    machines.append(
                        [Estimate(e.value, {(*p, machine): v for p, v in e.influence.items()}) for e in more]
                    )
                score = harmonic_mean_of([measure for found in machines for measure in found])
                shares["five"].add(within(score_interval(score, 0.95, student=False), truth))
            names = {"distribution": "binormal", "auc": auc, "n": clips}
            yield shares["pauc"].row("pAUC", "default", **names)
            yield shares["one"].row("official score, 1 machine", "default", **names)
            yield shares["bca"].row("official score, 1 machine", "bootstrap (BCa)", **names)
            yield shares["five"].row("official score, 5 machines", "default", **names)


def seeds(repetitions: int) -> Iterator[dict[str, object]]:
    """Three seeds: detectors that agree on most of a clip's score, each with its own generated clips."""
    noise = 0.4
    for auc in AUCS:
        for clips in CLIPS:
            rng = derive_rng("coverage seeds", auc, clips)
            shift = np.sqrt(2 * (1 + noise**2)) * stats.norm.ppf(auc)
            gap, of_auc, different = Share(), Share(), Share()
            for _ in range(repetitions):
                normal, real = rng.normal(size=clips), rng.normal(shift, size=clips)
                firsts, seconds = [], []
                for seed in range(3):
                    scores = [one + noise * rng.normal(size=clips) for one in (normal, real)]
                    made = rng.normal(shift, np.hypot(1, noise), size=clips)
                    firsts.append(auc_estimate(*scores, NORMAL, REAL))
                    seconds.append(auc_estimate(scores[0], made, NORMAL, (*MADE, seed)))
                first, second = mean_of(firsts), mean_of(seconds)
                of_auc.add(within(score_interval(first, 0.95), auc))
                gap.add(within(gap_interval(first, second, 0.95), 0))
                groups = {
                    (*MADE, seed): {Replicate(seed, seed): placed(e.influence[(*MADE, seed)])}
                    for seed, e in enumerate(seconds)
                }
                side = Side({seed: placed(e.influence[REAL]) for seed, e in enumerate(firsts)}, groups, clips)
                different.add(perfect_p(second.value - first.value, [side]) <= 0.05)
            names = {"distribution": "binormal, 3 seeds", "auc": auc, "n": clips, "true_gap": 0.0}
            yield of_auc.row("AUC", "default", **names)
            yield gap.row("gap", "default", **names)
            yield different.row("false 'different', one cell", "default", **names)


def families(repetitions: int) -> Iterator[dict[str, object]]:
    """Ten cells, five machines by two perfect generators against the same real clips: any 'different'?"""
    for name in ("binormal", "exponential"):
        draw = DISTRIBUTIONS[name]
        for clips in CLIPS:
            rng = derive_rng("coverage families", name, clips)
            corrected, plain = Share(), Share()
            for _ in range(repetitions):
                p_values = []
                for auc in (0.55, 0.55, 0.7, 0.7, 0.95):
                    normal, real = draw(rng, auc, clips, clips)
                    first = auc_estimate(normal, real, NORMAL, REAL)
                    for _ in range(2):
                        second = auc_estimate(normal, draw(rng, auc, 1, clips)[1], NORMAL, MADE)
                        side = side_of(first, second, clips)
                        p_values.append(perfect_p(second.value - first.value, [side]))
                corrected.add(min(holm(p_values)) <= 0.05)
                plain.add(min(p_values) <= 0.05)
            names = {"distribution": name, "auc": "0.55-0.95", "n": clips, "true_gap": 0.0}
            yield corrected.row("false 'different' in 10 cells", "default (Holm)", **names)
            yield plain.row("false 'different' in 10 cells", "without correction; not used", **names)


def correlations(repetitions: int, resamples: int = 300, machines: int = 7) -> Iterator[dict[str, object]]:
    """Pearson's correlation and mean |gap| over machines; the generator is off by 5 points (standard deviation)."""
    draw = DISTRIBUTIONS["binormal"]
    for clips in (50, 200):
        rng = derive_rng("coverage correlations", clips)
        inverted, plain, absolute = Share(), Share(), Share()
        for repetition in range(repetitions):
            if repetition % 20 == 0:
                weights = [[draw_weights(clips, resamples, rng) for _ in range(3)] for _ in range(machines)]
            real_aucs = rng.uniform(0.55, 0.95, size=machines)
            made_aucs = np.clip(real_aucs + rng.normal(0, 0.05, size=machines), 0.5, 0.98)
            values, draws = np.empty((machines, 2)), np.empty((machines, 2, resamples))
            for machine in range(machines):
                normal, real = draw(rng, real_aucs[machine], clips, clips)
                made = draw(rng, made_aucs[machine], 1, clips)[1]
                for side, scores in enumerate((real, made)):
                    values[machine, side] = auc_estimate(normal, scores, NORMAL, REAL).value
                    own = weights[machine]
                    draws[machine, side] = weighted_aucs(normal, scores, own[0], own[1 + side])
            truth = agreement.pearson(real_aucs, made_aucs)
            limits = agreement.correlation_interval("pearson", values.T, draws.transpose(1, 0, 2), 0.95)
            inverted.add(within(limits, truth))
            plain.add(within(tuple(np.quantile(agreement.pearson(draws[:, 0], draws[:, 1]), [0.025, 0.975])), truth))
            deviations = (draws[:, 1] - draws[:, 0]).std(axis=1)
            limits = mean_abs_interval(values[:, 1] - values[:, 0], deviations, 0.95)
            absolute.add(within(limits, np.abs(made_aucs - real_aucs).mean()))
        names = {"distribution": "binormal", "auc": "0.55-0.95", "n": clips}
        yield inverted.row("Pearson over 7 machines", "default", **names)
        yield plain.row("Pearson over 7 machines", "bootstrap (percentile; not used)", **names)
        yield absolute.row("mean absolute gap over 7 machines", "default", **names)


PARTS: dict[str, tuple[Callable[[int], Iterator[dict[str, object]]], float]] = {
    "one_cell": (one_cell, 1),
    "uneven": (uneven, 1),
    "seeds": (seeds, 1),
    "families": (families, 2),
    "bootstrap": (bootstrap, 0.5),
    "official": (official, 0.5),
    "correlations": (correlations, 0.25),
    "equivalence": (equivalence_cases.equivalence, 0.25),
    "recordings": (group_cases.recordings, 0.25),
    "resampled_recordings": (group_cases.resampled_recordings, 0.125),
    "equivalent_recordings": (group_cases.equivalent_recordings, 0.125),
}
"""Parts of the simulation, and their share of the repetitions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing written")
    parser.add_argument("--repetitions", type=int, default=4000, help="of the cells; other parts have a share of them")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to simulate; rows of the others are kept")
    options = parser.parse_args()
    repetitions = 40 if options.quick else options.repetitions
    start = time.perf_counter()
    path = FOLDER / "results.csv"
    known = pd.read_csv(path).astype({"n": str}) if options.only and not options.quick else pd.DataFrame({"part": []})
    frames = {name: known[known["part"] == name] for name in PARTS}
    for name in options.only or PARTS:
        simulate, share = PARTS[name]
        frames[name] = pd.DataFrame(simulate(max(int(share * repetitions), 1))).assign(part=name).astype({"n": str})
        print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        if not options.quick:
            write(pd.concat(frames.values(), ignore_index=True), path)
    if options.quick:
        print(report(pd.concat(frames.values(), ignore_index=True)))


def write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame[["part", *(name for name in frame.columns if name != "part")]].to_csv(path, index=False)
    (path.parent / "README.md").write_text(report(pd.read_csv(path).astype({"n": str})))


def grid(frame: pd.DataFrame, quantity: str, method: str = "default", **names: object) -> str:
    """A Markdown table of one quantity: distributions by AUC and number of clips."""
    mine = frame[(frame["quantity"] == quantity) & (frame["method"] == method)]
    for name, value in names.items():
        mine = mine[mine[name] == value]
    mine = mine[mine["n"].isin(map(str, CLIPS)) & mine["auc"].isin(map(str, AUCS))]
    cells = [(auc, clips) for auc in AUCS for clips in CLIPS]
    lines = ["| | " + " | ".join(f"{auc}, n {clips}" for auc, clips in cells) + " |", "|---" * 10 + "|"]
    for distribution, own in mine.groupby("distribution", sort=False):
        values = []
        for auc, clips in cells:
            found = own[(own["auc"] == str(auc)) & (own["n"] == str(clips))]["percent"]
            values.append(f"{found.iloc[0]:.1f}" if len(found) else "–")
        lines.append(f"| {distribution} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def listing(frame: pd.DataFrame, quantities: list[str]) -> str:
    mine = frame[frame["quantity"].isin(quantities)].astype(object).fillna("")
    columns = ["quantity", "method", "distribution", "auc", "n", "true_gap", "repetitions", "percent", "standard_error"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(str(row[name]) for name in columns) + " |" for row in mine.to_dict("records")]
    return "\n".join(lines)


def report(frame: pd.DataFrame) -> str:
    frame = frame.assign(auc=frame["auc"].map(lambda auc: "" if pd.isna(auc) else str(auc)))
    shown: dict[str, str] = {}
    if "equivalence" in set(frame["part"]):
        title = "False 'equivalent', true gap at the margin of 5 points (at most 5), by clips of each kind"
        shown[title] = equivalence_cases.table(frame)
    if frame["part"].str.endswith("recordings").any():
        own = frame[frame["part"].str.endswith("recordings")]
        shown |= group_cases.tables(own.assign(auc=own["auc"].map(_number)))
    grids = {
        "AUC, default interval": grid(frame, "AUC"),
        "AUC, bootstrap (BCa), the check column": grid(frame, "AUC", "bootstrap (BCa)"),
        "AUC, percentile bootstrap, no longer used": grid(frame, "AUC", "bootstrap (percentile; not used)"),
        "Paired gap, true gap 0, default interval": grid(frame, "gap", true_gap=0.0),
        "Paired gap, true gap -0.05, default interval": grid(frame, "gap", true_gap=-0.05),
        "Paired gap, true gap +0.03, default interval": grid(frame, "gap", true_gap=0.03),
        "Paired gap, true gap 0, bootstrap (BCa and MOVER), the check column": grid(
            frame, "gap", "bootstrap (BCa, MOVER)"
        ),
        "pAUC, default interval": grid(frame, "pAUC"),
        "Official score of one machine, default interval": grid(frame, "official score, 1 machine"),
        "Official score of one machine, bootstrap (BCa)": grid(frame, "official score, 1 machine", "bootstrap (BCa)"),
        "Official score over five machines, default interval": grid(frame, "official score, 5 machines"),
        "False 'different' for a perfect generator, one cell (at most 5)": grid(frame, "false 'different', one cell"),
    }
    different = "false 'different', one cell"
    rest = ["false 'different' in 10 cells", "Pearson over 7 machines", "mean absolute gap over 7 machines"]
    odd = frame[frame["n"] == "50/25/200"]
    return (
        HEAD.format(
            extremes=extremes(frame), notes="".join(NOTES[name] for name in NOTES if name in set(frame["part"]))
        )
        + "".join(f"\n**{title}** (percent)\n\n{table}\n" for title, table in grids.items())
        + "".join(f"\n**{title}** (percent)\n\n{table}\n" for title, table in shown.items())
        + f"\n**Over several cells**\n\n{listing(frame, rest)}\n"
        + "\n**50 normal, 25 real and 200 generated anomalous clips**\n\n"
        + f"{listing(odd, ['gap', different])}\n"
    )


def _number(auc: str) -> float:
    return float(auc) if auc else float("nan")


HEAD = """# Coverage of the intervals, error rates of the verdicts

Written by `OMP_NUM_THREADS=1 python tests/simulations/interval_coverage.py` in about half an hour on one core; all
numbers, with their repetitions and standard errors, are in `results.csv`. n is the number of clips of each kind. An
interval of 95 % should hold the truth in 95 % of repetitions (93 to 97 is asked for); a test at 5 % should be wrong in
at most 5 %. With 4000 repetitions the standard error of a share of 95 % is 0.34 points, with 1000 it is 0.69, and that
of a share of 5 % likewise.

Smallest and largest share over AUC 0.55, 0.7, 0.95 and n 25, 50, 200:

{extremes}

How to read the shares outside of 93 to 97 % (or above 5 %):

- *AUC of other than binormal scores* at 0.95 and 25 or 50 clips: the misplaced clips are a handful, so that DeLong's
  variance is itself a guess, and small when the AUC is too high by chance.
- *Gap* of scores where normal clips make the noise (anomalous scores spread less than normal ones, or log-normal ones
  that are moved): the noise is shared and cancels, many repetitions have no misplaced clip, and the interval is too
  wide, up to never missing. Where anomalous scores spread more (sd 2, exponential), it is too narrow by one or two
  points at 0.95 and few clips.
- *pAUC* at 25 clips rests on the two or three highest normal scores. The official score, of which it is a third, is not
  harmed.
- *BCa of the official score* (the check column) is too narrow at 0.95: trust the default there.
- *Different* uses the spread of both sets together, so that it holds its level with few clips and with uneven sets too,
  where the interval of the gap does not (last table).
{notes}\
- *Mean |gap|* over machines has an interval that is too wide with few clips, so that it also holds where only some
  machines are off; Pearson's holds.
"""


NOTES = {
    "equivalence": """\
- *Equivalence* is not tested by an interval (`asdbench.compare.estimates.equivalence_p`) and takes 60 clips of each
  kind, or 60 recordings. "two rooms" are normal clips in two clusters with all anomalies between them; "rare …" are
  gaps that one clip in twenty makes; "cauchy" has tails without a mean; "two values" and "rounded" are discrete scores.
""",
    "recordings": """\
- *By recording*: a clip's score is that of its recording plus its own, the correlation is the recording's share of the
  variance. "apart": a recording has normal or anomalous clips; "mixed": it has both. The intervals hold from five
  recordings on, and are cautious at AUC 0.95, where a few recordings make all the noise. They are too narrow in one
  corner: five recordings with both kinds of clips, whose recordings make 80 % of the variance. Without groups the
  interval of the same clips holds the truth far too seldom where recordings have one kind of clips.
""",
}
"""How to read the shares of some parts, for the report of what was simulated."""


def extremes(frame: pd.DataFrame) -> str:
    """A Markdown table of the smallest and largest share of each quantity, binormal and other scores apart."""
    lines = ["| quantity | method | binormal | three seeds | other scores |", "|---|---|---|---|---|"]
    mine = frame[frame["n"].isin(map(str, CLIPS)) & ~frame["part"].isin(("equivalence", "recordings"))]
    for (quantity, method), own in mine.groupby(["quantity", "method"], sort=False):
        kinds = own["distribution"].map(lambda name: {"binormal": 0, "binormal, 3 seeds": 1}.get(name, 2))
        cells = []
        for kind in range(3):
            shares = own[kinds == kind]["percent"]
            cells.append(f"{shares.min():.1f} to {shares.max():.1f}" if len(shares) else "")
        lines.append(f"| {quantity} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
