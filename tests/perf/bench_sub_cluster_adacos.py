"""Benchmark of sub_cluster_adacos: CPU time of a fit beside that of the DCASE autoencoder, and peak memory.

Not part of the test run. CPU times, which hold on busy machines where times on the clock do not, each in a process of
its own on clips of noise of 10 s:

    python tests/perf/bench_sub_cluster_adacos.py --clips 240
    python tests/perf/bench_sub_cluster_adacos.py --clips 1000 --memory
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

SECONDS, RATE = 10, 16000


def write_clips(folder: Path, count: int) -> None:
    """Write noise clips, every 24th of the target domain."""
    import numpy as np

    from asdbench import audio

    noise = np.random.default_rng(0).standard_normal(SECONDS * RATE + count).astype(np.float32) * 0.1
    for index in range(count):
        audio.write(folder / f"{index:05d}.wav", noise[index : index + SECONDS * RATE], RATE)


def work(name: str, folder: Path, fast: bool) -> None:
    """In a process of its own: fit, score the same clips, report CPU seconds and the peak of the memory."""
    import torch

    from asdbench.clips import LABELS, ClipSet
    from asdbench.plugins import detectors

    torch.set_num_threads(1)
    rows = []
    for index, path in enumerate(sorted(folder.glob("*.wav"))):
        domain = "source" if index % 24 else "target"
        labels = (path.name, str(path), "m", "00", domain, "train", "normal", {"vel": str(index % 4)})
        rows.append(dict(zip(LABELS, labels, strict=True)))
    clips = ClipSet.from_files(rows)
    settings = {"dcase_ae": {"epochs": 1 if fast else 20}, "sub_cluster_adacos": {"epochs": 1} if fast else {}}
    detector = detectors.get(name)(**settings[name], device="cpu")
    start = time.process_time()
    detector.fit(clips)
    fitted = time.process_time()
    detector.score(clips)
    scored = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(json.dumps({"fit": fitted - start, "score": scored - fitted, "peak_mb": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--memory", action="store_true", help="one epoch only: the memory does not grow with epochs")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], Path(options.work[1]), options.memory)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), options.clips)
        fits = {}
        for name in ("dcase_ae", "sub_cluster_adacos"):
            command = [sys.executable, __file__, "--work", name, folder, *(["--memory"] if options.memory else [])]
            report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            fits[name] = report["fit"]
            print(
                f"{name}: fit {report['fit']:.1f} s, score {1000 * report['score'] / options.clips:.1f} ms a clip, "
                f"peak memory {report['peak_mb']:.0f} MB"
            )
        if not options.memory:
            print(f"ratio of the fits: {fits['sub_cluster_adacos'] / fits['dcase_ae']:.2f}")


if __name__ == "__main__":
    main()
