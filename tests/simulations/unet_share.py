"""How much the U-Net of a model of mimii_gen knows of a sound beside its levels: the share of v that it predicts.

    python tests/simulations/unet_share.py generators/mimii_gen/weights/mini

What the U-Net is trained to predict, v, has the variance of noise. Where the latents without their levels are white
noise themselves, nothing of it can be predicted; the share that is tells how far they are not, and how much of that the
U-Net has learnt. Measured on real simulated clips that the model has not heard, with random timesteps; below zero it
does worse than saying nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mini_quality import MACHINES, simulated

from asdbench import records
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
from asdbench.generators.shared.captions import Description, caption

BATCH, DRAWS = 4, 4


@torch.inference_mode()
def shares(pipeline: MimiiGenPipeline, machine: str, clips: int) -> dict[str, object]:
    """Share of v that is predicted in the bands, and in the envelopes where there are some."""
    with tempfile.TemporaryDirectory() as folder:
        real = simulated(machine, Path(folder), 27, clips)
        waves = [real.waveform(place) for place in range(len(real))]
    told = [caption(Description.of_clip(row), 0) for row in records(real.frame)]
    random, errors, powers = torch.Generator().manual_seed(0), [], []
    for start in range(0, len(waves) // BATCH * BATCH, BATCH):
        texts = told[start : start + BATCH]
        clean, levels = pipeline._encode(waves[start : start + BATCH], texts)
        predict = pipeline._predictor(texts, 1.0, 0.0, levels)
        for _ in range(DRAWS):
            noise = torch.randn(clean.shape, generator=random)
            steps = torch.randint(pipeline.scheduler.config.num_train_timesteps, (BATCH,), generator=random)
            wanted = pipeline.scheduler.get_velocity(clean, noise, steps)
            found = predict(pipeline.scheduler.add_noise(clean, noise, steps), steps)
            errors.append((found - wanted).square().mean(dim=(0, 2, 3)).numpy())
            powers.append(wanted.square().mean(dim=(0, 2, 3)).numpy())
    error, power, bands = np.mean(errors, axis=0), np.mean(powers, axis=0), pipeline._codec.dim
    row: dict[str, object] = {"machine": machine, "bands": 1 - error[:bands].sum() / power[:bands].sum()}
    return row | {"envelopes": 1 - error[bands:].sum() / power[bands:].sum()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--clips", type=int, default=10, help="of each domain and condition")
    parser.add_argument("--machines", default=",".join(MACHINES))
    given = parser.parse_args()
    pipeline = load_pipeline(given.model, torch.device("cpu"), None)
    if pipeline.scheduler.config.prediction_type != "v_prediction":
        raise SystemExit(f"{given.model} predicts {pipeline.scheduler.config.prediction_type}, expected v_prediction")
    table = pd.DataFrame([shares(pipeline, machine, given.clips) for machine in given.machines.split(",")])
    print(table.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
