"""Benchmark of the Fréchet distance: the nuclear-norm form against the matrix square root of the peers.

Not part of the test run. Times both on the same vectors, turn by turn in one process, and prints the ratio, which holds
on busy machines where single times do not:

    python tests/perf/bench_fad.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy starts its threads

import numpy as np  # noqa: E402

from asdbench.metrics.audio.frechet import frechet_distance  # noqa: E402


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    """Print one line for each number of clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--clips", type=int, nargs=2, action="append", help="clips of both sets; default 50 500")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for n, m in options.clips or [(50, 500), (2000, 2000)]:
        x, y = rng.standard_normal((n, options.dim)), 1.1 * rng.standard_normal((m, options.dim)) + 0.1
        pairs = [
            (
                timed(lambda x=x, y=y: frechet_distance(x, y)),
                timed(lambda x=x, y=y: frechet_distance(x, y, "audioldm_eval")),
            )
            for _ in range(options.rounds + 1)
        ][1:]  # the first one warms up
        (ours, value), (theirs, other) = (zip(*side, strict=True) for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        print(
            f"{n} against {m} clips, {options.dim} dimensions: nuclear norm {1000 * statistics.median(ours):.1f} ms, "
            f"matrix square root {1000 * statistics.median(theirs):.0f} ms, ratio {ratio:.0f}; "
            f"relative difference {abs(value[0] - other[0]) / value[0]:.1e}"
        )


if __name__ == "__main__":
    main()
