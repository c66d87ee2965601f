"""Benchmark of the comparison: 10,000 bootstrap gaps of one cell, and a comparison of a usual size.

Not part of the test run. Prints wall times of one process:

    OMP_NUM_THREADS=1 python tests/perf/bench_compare.py
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from asdbench.compare import compare
from asdbench.compare.bootstrap import Resampler, weighted_aucs

RESAMPLES, CLIPS = 10_000, 200


def one_cell() -> float:
    """Weights and AUCs of three test sets (one real, two generated) that share their normal clips, and their gaps."""
    rng = np.random.default_rng(0)
    normal, *sets = (rng.normal(shift, size=CLIPS) for shift in (0.0, 1.0, 1.0, 1.2))
    start = time.perf_counter()
    resampler = Resampler(RESAMPLES)
    of_normal = resampler.weights("fan", "normal", clips=CLIPS)
    aucs = [
        weighted_aucs(normal, anomaly, of_normal, resampler.weights("fan", "anomaly", index, clips=CLIPS))
        for index, anomaly in enumerate(sets)
    ]
    gaps = [made - aucs[0] for made in aucs[1:]]
    assert all(len(gap) == RESAMPLES for gap in gaps)
    return time.perf_counter() - start


def whole(machines: int = 7, detectors: int = 2, generators: int = 3, seeds: int = 3, clips: int = 100) -> float:
    rng = np.random.default_rng(1)
    names = [f"g{index}" for index in range(generators)]
    rows = []
    for machine in range(machines):
        for detector in range(detectors):
            for seed in range(seeds):
                for source, condition in [
                    ("real", "normal"),
                    ("real", "anomaly"),
                    *((name, "anomaly") for name in names),
                ]:
                    for clip in range(clips):
                        rows.append(
                            {
                                "seed": seed,
                                "generation_seed": -1 if source == "real" else seed,
                                "machine": f"m{machine}",
                                "section": "00",
                                "domain": ("source", "target")[clip % 2],
                                "detector": f"d{detector}",
                                "source": source,
                                "split": "test",
                                "condition": condition,
                                "clip_id": f"{source}/{condition}/{seed if source != 'real' else ''}/{clip}",
                                "content_hash": "",
                                "score": rng.normal() + (condition == "anomaly"),
                            }
                        )
    scores = pd.DataFrame(rows)
    sets = {"original": {"normal": "real", "anomaly": "real"}, "generated": {"normal": "real", "anomaly": "generated"}}
    start = time.perf_counter()
    compare(scores, sets, [f"m{machine}" for machine in range(machines)], years=(2023,))
    return time.perf_counter() - start


def main() -> None:
    seconds = min(one_cell() for _ in range(3))
    print(f"{RESAMPLES} bootstrap gaps, {CLIPS} + {CLIPS} clips, 3 test sets: {seconds:.2f} s (best of 3; at most 2 s)")
    print(f"compare: 7 machines, 2 detectors, 3 generators, 3 seeds, 100 + 100 clips: {whole():.1f} s")


if __name__ == "__main__":
    main()
