"""Benchmark of the detectors of a spec: seconds to fit and to score as ratios to the first of them, and peak memory.

Not part of the test run. Each detector is fitted and scores in a process of its own, one after the other, with one
thread and on the same noise clips of 10 s with two attributes. The seconds are for this machine, ratios and memory for
any:

    python tests/perf/bench_detectors.py benchmarks/detectors.yaml --clips 1000

The memory does not depend on the number of epochs: ``--epochs 2`` for all detectors that have any measures it faster.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy and torch start their threads

SECONDS, RATE, TARGET = 10, 16000, 10


def write_clips(folder: Path, count: int) -> None:
    """Write noise clips, each with a spectrum of its own."""
    import numpy as np
    from scipy.signal import lfilter

    from asdbench import audio

    rng = np.random.default_rng(0)
    for index in range(count):
        noise = lfilter([1.0], [1.0, -rng.uniform(0, 0.9)], rng.standard_normal(SECONDS * RATE))
        audio.write(folder / f"{index:05d}.wav", (0.05 * noise).astype(np.float32), RATE)


def measure(folder: Path, name: str, settings: dict[str, object]) -> None:
    """In a process of its own: fit on the clips of a folder, score them, and print times and the peak of the memory."""
    from asdbench import ClipSet, plugins

    rows = [
        {
            **{"clip_id": path.name, "path": str(path), "machine": "m", "section": "00", "split": "train"},
            **{"domain": "target" if index < TARGET else "source", "condition": "normal"},
            "attributes": {"vel": str(index % 4), "loc": "AB"[index % 2]},
        }
        for index, path in enumerate(sorted(folder.glob("*.wav")))
    ]
    clips = ClipSet.from_files(rows, RATE)
    detector = plugins.detectors.get(name)(**settings)
    started = time.perf_counter()
    detector.fit(clips)
    fitted = time.perf_counter()
    detector.score(clips.without_labels())
    scored = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(json.dumps({"fit": fitted - started, "score": scored - fitted, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="benchmarks/detectors.yaml")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--detectors", help="comma-separated; the first one is what others are compared with")
    parser.add_argument("--epochs", type=int, help="in place of those of the spec")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.spec), **json.loads(given.measure))
        return
    from asdbench import plugins
    from asdbench.spec import load_spec

    entries = load_spec(given.spec).spec.detectors
    names = given.detectors.split(",") if given.detectors else list(entries)
    first = None
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), given.clips)
        print(
            f"| detector | fit, ratio to {names[0]} | score, ratio | fit (s) | score (ms a clip) | peak memory (GB) |"
        )
        print("|---|---|---|---|---|---|")
        for name in names:
            settings = entries[name].settings
            if given.epochs and "epochs" in plugins.detectors.get(entries[name].use).setting_names():
                settings = {**settings, "epochs": given.epochs}
            what = {"name": entries[name].use, "settings": settings}
            command = [sys.executable, __file__, folder, "--measure", json.dumps(what)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            first = first or found
            print(
                f"| {name} | {found['fit'] / first['fit']:.2f} | {found['score'] / first['score']:.2f} "
                f"| {found['fit']:.1f} | {1000 * found['score'] / given.clips:.1f} | {found['peak'] / 1000:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
