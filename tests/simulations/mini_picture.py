"""Draws real beside generated clips of the built-in model, and writes two of them as audio.

Run: python tests/simulations/mini_picture.py docs/mini
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import soundfile

from asdbench import ClipSet, Request
from asdbench.datasets.simulated import SimulatedDataset
from asdbench.generation import name_rows
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.preview import save_grid

WRITTEN = ("fan", "gearbox")
SECONDS = 5


def main() -> None:
    """Write ``clips.png`` and ``<machine>-{real,generated}.ogg`` to the folder that is named."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    dataset = SimulatedDataset(train_source=2, train_target=0, test_normal=4, test_anomaly=4)
    generator = MimiiGen(checkpoint="mini", inference_steps=8, guidance_scale=1.0, device="cpu")
    rows = []
    for machine in dataset.machines():
        with tempfile.TemporaryDirectory() as folder:
            clips = ClipSet.from_files(dataset.clips(machine, Path(folder)), dataset.sample_rate, dataset.channel)
            real = clips.where(split="test", condition="anomaly").select([0])
            frame = real.frame[["machine", "section", "domain", "condition", "attributes", "split"]]
            request = Request(rows=name_rows(frame), pool=real, sample_rate=dataset.sample_rate)
            made = next(iter(generator.generate(request))).waveform
            waves = [real.waveform(0), made]
        rows.append((f"{machine}, anomaly: real, generated", waves))
        if machine in WRITTEN:
            for name, wave in zip(("real", "generated"), waves, strict=True):
                some = wave[: SECONDS * dataset.sample_rate]
                soundfile.write(out / f"{machine}-{name}.ogg", some, dataset.sample_rate)
    save_grid(out / "clips.png", rows, dataset.sample_rate)


if __name__ == "__main__":
    main()
