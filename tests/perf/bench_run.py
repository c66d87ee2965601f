"""Benchmark of the command line: start-up, simulation, and the main benchmark from nothing and from the store.

Not part of the test run. Prints wall times, which depend on what else the machine does, and the span of the AUCs:

    python tests/perf/bench_run.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd


def timed(folder: Path, *words: str) -> tuple[float, float, str]:
    """Run a command; return seconds to its end, seconds to its first line on standard error, and standard output."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "asdbench.cli", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()
    first = time.perf_counter() - start
    for _ in process.stderr:
        pass
    output = process.stdout.read()
    if process.wait():
        raise SystemExit(f"asdbench {' '.join(words)} ended with status {process.returncode}")
    return time.perf_counter() - start, first, output


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for words in (["--help"], ["list"]):
            seconds = [timed(folder, *words)[0] for _ in range(5)]
            print(f"asdbench {words[0]}: {statistics.median(seconds):.2f} s (median of 5)")
        settings = ["--set", "train_source=230", "--set", "train_target=10"]
        seconds, _, output = timed(folder, "simulate", "recordings", *settings)
        clips = int(output.split()[-2])
        print(f"simulate: {clips} clips of 10 s in {seconds:.1f} s, {clips / seconds:.0f} a second")
        cold, first, output = timed(folder, "run", "mimii_gen")
        print(f"run mimii_gen, cold: {cold:.0f} s; first line of progress after {first:.1f} s")
        cached, _, again = timed(folder, "run", "mimii_gen")
        print(f"run mimii_gen, everything stored: {cached:.1f} s; the same output: {again == output}")
        gaps = pd.read_csv(folder / output.rpartition("Results: ")[2].strip() / "gaps_long.csv")
        for detector, cells in gaps.groupby("detector", sort=False):
            print(f"{detector}: AUC original {cells['auc_original'].min():.3f} to {cells['auc_original'].max():.3f}")


if __name__ == "__main__":
    main()
