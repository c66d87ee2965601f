"""How well detectors recognise a codec: AUC of real normal clips through it against other real ones, by machine.

Detectors and test clips as in `mini_quality`; the codec should know neither (train it on another data seed).

    asdbench simulate recordings --set data_seed=11 --set train_source=90 --set test_normal=1 --set test_anomaly=8
    asdbench train codec --data recordings --out models/codec --set steps=1400 --set seconds=0.5
    python tests/simulations/codec_quality.py models/codec --clips 100

`--clips` counts clips of each domain. "as recorded" are the same clips without the codec.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mini_quality import MACHINES, scored, simulated

from asdbench import ClipSet
from asdbench.audio import resample, write
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.metrics.detection import mann_whitney_auc


def through(codec: Codec, clips: ClipSet, folder: Path) -> tuple[ClipSet, float]:
    """Clips as the codec reproduces them, and the mean signal-to-noise ratio in dB."""
    rows, ratios = [], []
    for index, (_, row) in enumerate(clips.frame.iterrows()):
        wave = clips.waveform(index)
        sound = torch.from_numpy(codec.resample(wave, 16000))[None]
        decoded = codec.decode(codec.latents(codec.encode(sound)), sound.shape[1])[0].numpy()
        back = resample(decoded, codec.sample_rate, 16000)
        back = np.pad(back, (0, max(0, len(wave) - len(back))))[: len(wave)]
        ratios.append(10 * np.log10(np.square(wave).sum() / np.square(wave - back).sum()))
        path = folder / f"{index:04d}.wav"
        write(path, back, 16000, subtype="FLOAT")
        labels = ("machine", "section", "domain", "split", "condition", "attributes")
        rows.append({**{label: row[label] for label in labels}, "clip_id": path.name, "path": str(path)})
    return ClipSet.from_files(rows, 16000), float(np.mean(ratios))


def main() -> None:
    """Print a row for each machine and detector, and means over machines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec")
    parser.add_argument("--clips", type=int, default=100, help="of each domain")
    given = parser.parse_args()
    codec = Codec.load(given.codec, None)
    rows = []
    for machine in MACHINES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "coded").mkdir()
            learnt = simulated(machine, folder / "train", 0, 0, train=True)
            stay, go = (
                simulated(machine, folder / str(seed), seed, given.clips).where(condition="normal") for seed in (7, 8)
            )
            coded, ratio = through(codec, go, folder / "coded")
            for detector, scores in scored(learnt, {"stay": stay, "go": go, "coded": coded}):
                aucs = {"codec": "coded", "as recorded": "go"}
                row = {title: mann_whitney_auc(scores["stay"], scores[key]) for title, key in aucs.items()}
                rows.append({"machine": machine, "detector": detector, "clips": len(go), "SNR (dB)": ratio} | row)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    print(table.groupby("detector").mean(numeric_only=True).round(3).to_string())


if __name__ == "__main__":
    main()
