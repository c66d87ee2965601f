"""How high the strongest lines of generated clips stand above the floor, beside those of real clips.

    python tests/simulations/tones.py --use mimii_gen generators/mimii_gen/weights/mini --machines fan,gearbox

In spectra of 0.12 Hz resolution up to 2 kHz: the highest value of each range of 31 Hz over the range's median, in dB;
the mean over all ranges, and over the eight of each clip where it is largest.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from mini_quality import add_model_options, generated, model_settings, simulated

from asdbench import ClipSet

SAMPLES = 2**17
RANGE = 256
"""Bins of a range: 31 Hz."""
TOP = 2**14
"""Bins up to 2 kHz."""


def heights(clips: ClipSet) -> tuple[float, float]:
    """Mean height in dB over all ranges, and over the eight highest of each clip."""
    every, highest = [], []
    for wave in clips.waveforms():
        power = np.abs(np.fft.rfft(wave[:SAMPLES] * np.hanning(SAMPLES)))[:TOP].reshape(-1, RANGE) ** 2
        found = 10 * np.log10(power.max(axis=1) / np.median(power, axis=1))
        every.append(found.mean())
        highest.append(np.sort(found)[-8:].mean())
    return float(np.mean(every)), float(np.mean(highest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser)
    parser.add_argument("--clips", type=int, default=25, help="of each domain and condition")
    parser.add_argument("--machines", default="fan,gearbox")
    parser.add_argument("--seeds", type=int, nargs=2, default=(83, 84), help="of real clips, and of labels")
    given = parser.parse_args()
    rows = []
    for machine in given.machines.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            real, pool = (simulated(machine, folder / str(seed), seed, given.clips) for seed in given.seeds)
            for condition in ("normal", "anomaly"):
                made = generated(given.use, pool, condition, folder / condition, **model_settings(given))
                found = heights(real.where(condition=condition)), heights(made)
                rows.append(
                    {
                        "machine": machine,
                        "condition": condition,
                        "real, all": found[0][0],
                        "made, all": found[1][0],
                        "real, highest": found[0][1],
                        "made, highest": found[1][1],
                    }
                )
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
