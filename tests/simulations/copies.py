"""How alike fingerprints are: of different recordings of a simulated machine, and of copies with noise mixed in.

Run: python tests/simulations/copies.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from asdbench import ClipSet, fingerprints
from asdbench.datasets.simulated import SimulatedDataset
from asdbench.fingerprinting import fingerprint, nearest
from asdbench.seeding import derive_rng

COPIES = 20
SNRS = (20, 0, -5)


def main() -> None:
    """Print, for each machine, the largest cosines of test clips with training clips, and those of copies."""
    dataset = SimulatedDataset(train_source=200, train_target=2)
    rng = derive_rng("copies")
    for machine in dataset.machines():
        with tempfile.TemporaryDirectory() as folder:
            clips = ClipSet.from_files(dataset.clips(machine, Path(folder)), dataset.sample_rate, dataset.channel)
            train = clips.where(split="train")
            known = fingerprints(train)
            held = [nearest(one, known)[0] for one in fingerprints(clips.where(split="test")).values]
            parts = [f"{machine}: held-out clips median {np.median(held):.2f}, largest {max(held):.2f}"]
            for snr in SNRS:
                found = []
                for index in range(COPIES):
                    wave = train.waveform(index)
                    noise = rng.standard_normal(len(wave)) * np.sqrt(np.mean(wave**2)) * 10 ** (-snr / 20)
                    found.append(nearest(fingerprint(wave + noise), known)[0])
                parts.append(f"copies at {snr} dB SNR median {np.median(found):.2f}, smallest {min(found):.2f}")
            print("; ".join(parts), flush=True)


if __name__ == "__main__":
    main()
