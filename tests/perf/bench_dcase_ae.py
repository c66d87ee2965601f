"""Benchmark of the DCASE autoencoder: features against librosa's, training against a bare PyTorch loop, peak memory.

Not part of the test run. Prints ratios measured side by side in one process, which hold on busy machines where single
times do not:

    python tests/perf/bench_dcase_ae.py --clips 1000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy and torch start their threads

import numpy as np  # noqa: E402

SECONDS, RATE = 10, 16000


def write_clips(folder: Path, count: int) -> list[Path]:
    """Write noise clips of 10 s."""
    from asdbench import audio

    noise = np.random.default_rng(0).standard_normal(SECONDS * RATE + count).astype(np.float32) * 0.1
    paths = [folder / f"{index:05d}.wav" for index in range(count)]
    for index, path in enumerate(paths):
        audio.write(path, noise[index : index + SECONDS * RATE], RATE)
    return paths


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median times of both and the median of the ratios ours / theirs, after one round to warm up."""
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds + 1)][1:]
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(a / b for a, b in pairs)


def features(paths: list[Path], rounds: int) -> None:
    import librosa
    import soundfile

    from asdbench import audio
    from asdbench.features import FLOOR, logmel

    some = paths[:100]

    def ours() -> None:
        for path in some:
            logmel(audio.read(path))

    def theirs() -> None:
        for path in some:
            wave, rate = soundfile.read(path, dtype="float32")
            mel = librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=1024, hop_length=512, n_mels=128)
            10 * np.log10(np.maximum(mel, FLOOR))

    a, b, ratio = side_by_side(ours, theirs, rounds)
    per_clip = 1000 / len(some)
    print(f"features, ms a clip of {SECONDS} s from disk: asdbench {a * per_clip:.2f}, librosa {b * per_clip:.2f}")
    print(f"features, ratio to librosa: {ratio:.2f}")


def training(clips: int, rounds: int) -> None:
    import torch
    from torch import nn

    from asdbench.detectors.dcase_ae.network import build_network, train
    from asdbench.detectors.shared.frames import Frames
    from asdbench.detectors.shared.training import Training

    torch.set_num_threads(1)
    frames = Frames(torch.randn(clips * 313, 128), [313] * clips, 5)
    rows = torch.from_numpy(np.concatenate(frames.starts()))
    rows = rows[torch.randperm(len(rows))]
    kept = rows[len(rows) // 10 :]
    networks = [build_network(640, 128, 8, seed=0) for _ in range(2)]
    optimizer = torch.optim.Adam(networks[1].parameters(), lr=1e-3)
    windows = frames.windows()

    def ours() -> None:
        train(networks[0], frames, Training(1, 256, 1e-3, 0.1, 0), torch.device("cpu"))

    def theirs() -> None:
        for batch_rows in kept[torch.randperm(len(kept))].split(256):
            batch = windows[batch_rows]
            loss = nn.functional.mse_loss(networks[1](batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    a, b, ratio = side_by_side(ours, theirs, rounds)
    print(f"training, s an epoch of {clips} clips: asdbench {a:.2f}, bare PyTorch loop {b:.2f}")
    print(f"training, ratio to the bare loop over the same batches: {ratio:.2f}")


def memory(folder: Path, paths: list[Path]) -> None:
    done = subprocess.run([sys.executable, __file__, "--fit", str(folder)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    print(f"fit on {len(paths)} clips, one epoch: {report['seconds']:.1f} s, peak memory {report['peak_mb']:.0f} MB")


def fit(folder: Path) -> None:
    """In a process of its own: fit on the clips of a folder and report the peak of the memory."""
    from asdbench.clips import LABELS, ClipSet
    from asdbench.detectors.dcase_ae import DcaseAutoencoder

    rows = [
        dict(zip(LABELS, (path.name, str(path), "m", "00", "source", "train", "normal", {}), strict=True))
        for path in sorted(folder.glob("*.wav"))
    ]
    clips = ClipSet.from_files(rows)
    seconds = timed(lambda: DcaseAutoencoder(epochs=1, device="cpu").fit(clips))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        fit(options.fit)
        return
    with tempfile.TemporaryDirectory() as name:
        paths = write_clips(Path(name), options.clips)
        features(paths, options.rounds)
        training(options.clips, options.rounds)
        memory(Path(name), paths)


if __name__ == "__main__":
    main()
