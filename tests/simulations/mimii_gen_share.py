"""How much the networks of a model of mimii_gen know: the share of the target that they predict on held-out clips.

    python tests/simulations/mimii_gen_share.py generators/mimii_gen/weights/mini

At several noise levels sigma (deviation of the noise over that of the signal), for real simulated clips that the model
was not trained on: the share of the variance of v that the U-Net predicts, for white latents of unit variance nothing
can be predicted of it, so that zero is what the best prior knows that is conditioned on the noise level alone; the same
for the network of clip latents; and, for the clip latent, the share of the variance of the static spectrum it stands
for (in dB squared) that is predicted, over all clips and within machine and condition, beside what a white prior
predicts. Models of an EnCodec have no clip latent; there, the share over a prior that knows mean and variance of each
dimension of other clips stands beside.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mini_quality import MACHINES, simulated

from asdbench import records
from asdbench.generators.mimii_gen.compact.codec import CompactCodec
from asdbench.generators.mimii_gen.latents.space import join_clip, split_clip
from asdbench.generators.mimii_gen.pipeline import Guidance, MimiiGenPipeline, load_pipeline
from asdbench.generators.shared.captions import Description, caption

SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0)
DRAWS = 4


def encoded(
    pipeline: MimiiGenPipeline, machine: str, count: int, seconds: float | None
) -> tuple[torch.Tensor, torch.Tensor, list[str], list[str]]:
    """Frames and clip latents of held-out clips, normalised; their captions and conditions."""
    with tempfile.TemporaryDirectory() as folder:
        real = simulated(machine, Path(folder), 27, count)
        samples = None if seconds is None else round(seconds * 16000)
        latents = torch.cat([pipeline._encode([real.waveform(place)[:samples]]) for place in range(len(real))])
    texts = [caption(Description.of_clip(row), 0) for row in records(real.frame)]
    return *split_clip(latents, pipeline._codec.clip_dim), texts, list(real.frame["condition"])


@torch.inference_mode()
def predicted(
    pipeline: MimiiGenPipeline, network: Any, clean: torch.Tensor, texts: list[str], sigma: float, clip: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error of v and squared v for each clip, and estimates of the clean latents, stacked over the draws."""
    bars = pipeline.scheduler.alphas_cumprod
    step = int(torch.argmin(((1 - bars) / bars - sigma**2).abs().log()))
    signal, noise_level = float(bars[step].sqrt()), float((1 - bars[step]).sqrt())
    predict = pipeline._predictor(network, pipeline._embed(texts), Guidance(1.0, 0.0, 1.0), clip)
    random, shares, estimates = torch.Generator().manual_seed(round(1000 * sigma)), [], []
    for _ in range(DRAWS):
        noise = torch.randn(clean.shape, generator=random)
        noisy = signal * clean + noise_level * noise
        wanted = signal * noise - noise_level * clean
        found = predict(noisy, torch.tensor(step))
        over = tuple(range(1, clean.ndim))
        shares.append(torch.stack([(found - wanted).square().mean(over), wanted.square().mean(over)]))
        estimates.append(torch.stack([signal * noisy - noise_level * found, signal * noisy]))
    return torch.stack(shares).mean(0), torch.stack(estimates)


def _left_by_variances(clean: torch.Tensor, sigma: float) -> float:
    """Mean squared error of v of the best linear prediction from a value itself, by dimension (Wiener).

    Mean and variance of each dimension are those of the machine's clips themselves, which flatters the prior.
    """
    variance = clean.var(dim=(0, 3), correction=0)
    signal, noise = 1 / (1 + sigma**2), sigma**2 / (1 + sigma**2)
    noisy = signal * variance + noise
    together = (1 - variance) * (signal * noise) ** 0.5  # covariance of v with the noisy value
    return float((signal + noise * variance - together.square() / noisy).mean())


def static_spectra(pipeline: MimiiGenPipeline, clips: torch.Tensor) -> torch.Tensor:
    """Static level of each band in dB that normalised clip latents stand for, shape (..., bands)."""
    codec = pipeline._codec
    assert isinstance(codec, CompactCodec)
    flat = clips.reshape(-1, codec.clip_dim)
    frames = torch.zeros((len(flat), codec.dim - codec.clip_dim, 1, 1))
    latents = pipeline.space.from_unet(join_clip(frames, flat))[:, -codec.clip_dim :, 0]
    with torch.no_grad():
        coded, details = latents.split([codec.conditioning_dim, codec.clip_dim - codec.conditioning_dim], dim=1)
        levels = codec.model.static(coded)[0][:, : codec.model.bands] * codec.model.std[:, 0]
        levels += details @ codec.model.detail_basis
    return levels.reshape(*clips.shape[:-1], -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a model that predicts v")
    parser.add_argument("--clips", type=int, default=15, help="of each domain and condition")
    parser.add_argument("--machines", default=",".join(MACHINES))
    parser.add_argument("--seconds", type=float, help="of each clip, from its start; by default all")
    given = parser.parse_args()
    pipeline = load_pipeline(given.model)
    if pipeline.scheduler.config.prediction_type != "v_prediction":
        raise SystemExit(f"{given.model}: expected a model that predicts v")
    frames_rows, clips, texts, groups = [], [], [], []
    for machine in given.machines.split(","):
        frames, clip, captions, conditions = encoded(pipeline, machine, given.clips, given.seconds)
        row: dict[str, Any] = {"machine": machine}
        condition = clip[:, : pipeline._codec.conditioning_dim]
        for sigma in SIGMAS:
            errors, _ = predicted(pipeline, pipeline.unet, frames, captions, sigma, condition)
            row[f"sigma {sigma:g}"] = float(1 - errors[0].sum() / errors[1].sum())
            if pipeline.clip_network is None:
                row[f"over variances {sigma:g}"] = 1 - float(errors[0].mean()) / _left_by_variances(frames, sigma)
        row["mean"] = float(np.mean([row[f"sigma {sigma:g}"] for sigma in SIGMAS]))
        frames_rows.append(row)
        clips.append(clip)
        texts += captions
        groups += [f"{machine} {condition}" for condition in conditions]
    print("U-Net: share of v over the prior that knows the noise level only")
    print(pd.DataFrame(frames_rows).round(3).to_string(index=False))
    if pipeline.clip_network is None:
        return
    clean = torch.cat(clips)
    spectra = static_spectra(pipeline, clean)
    total = (spectra - spectra.mean(0)).square().mean()
    names = np.array(groups)
    within = torch.stack(
        [(spectra[names == name] - spectra[names == name].mean(0)).square().mean() for name in dict.fromkeys(groups)]
    ).mean()
    rows = []
    for sigma in SIGMAS:
        errors, estimates = predicted(pipeline, pipeline.clip_network, clean, texts, sigma)
        of_network, of_prior = (
            (static_spectra(pipeline, estimates[:, which]) - spectra).square().mean() for which in (0, 1)
        )
        rows.append(
            {
                "sigma": sigma,
                "share of v": float(1 - errors[0].sum() / errors[1].sum()),
                "of all dB^2": float(1 - of_network / total),
                "prior": float(1 - of_prior / total),
                "within machine and condition": float(1 - of_network / within),
                "prior within": float(1 - of_prior / within),
            }
        )
    print(f"clip latent; static spectrum: {float(total):.1f} dB^2, within machine and condition {float(within):.2f}")
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
