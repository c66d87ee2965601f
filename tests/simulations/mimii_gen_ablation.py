"""Which part of a model of mimii_gen makes what: each part is replaced in turn, and detectors judge what comes out.

    python tests/simulations/mimii_gen_ablation.py generators/mimii_gen/weights/mini --machines slider,valve

Rows: the full model; the U-Net replaced by white latents of the same covariance; the clip latent replaced by a draw
from the covariance of all clips, by a draw from a Gaussian given the caption (a closed form, which learns from other
real clips), and by that of a real clip with the same labels (an oracle); no caption; captions shuffled over all
requests; guidance; steps of the sampler. Columns, by detector: the artefact AUC (generated against real normal clips;
0.5 is best) and the gap of the AUC in points; `--others` adds detectors that nothing was shaped with. Data seeds are
those of `mini_quality`, which the built-in model was not shaped on.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mini_quality import DETECTORS, MACHINES, OTHERS, scored, simulated

from asdbench import ClipSet, records
from asdbench.audio import write
from asdbench.generators.mimii_gen.latents.space import split_clip
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
from asdbench.generators.shared.captions import Description, caption
from asdbench.metrics.detection import mann_whitney_auc

STEPS = 12
_WORD = re.compile(r"\w+(?:[.+-]\w+)*")
LEARNT_SEED = 9
"""Data seed of the clips that covariances and the closed form are fitted to."""


@dataclass
class Known:
    """Latents of real clips of a machine, normalised: what replacements are drawn from.

    Attributes:
        words: of each clip's caption.
        conditions: of each clip.
        clips: clip latents, shape (n, clip_dim).
        covariance: of the frames of all clips, shape (rows, rows).
    """

    words: list[frozenset[str]]
    conditions: list[str]
    clips: torch.Tensor
    covariance: torch.Tensor
    _fits: dict[str, tuple[list[str], torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def gaussian(self, condition: str, words: Sequence[frozenset[str]], random: torch.Generator) -> torch.Tensor:
        """Draw from a linear regression on words with the covariance of its residuals."""
        names, weights, root = self._fit(condition)
        features = _features(words, names)
        return features @ weights + torch.randn(len(words), len(root), generator=random) @ root.T

    def _fit(self, condition: str) -> tuple[list[str], torch.Tensor, torch.Tensor]:
        if condition not in self._fits:
            places = [place for place, found in enumerate(self.conditions) if found == condition]
            names = sorted({word for place in places for word in self.words[place]})
            features, wanted = _features([self.words[place] for place in places], names), self.clips[places]
            weights = torch.linalg.solve(
                features.T @ features + 3.0 * torch.eye(features.shape[1]), features.T @ wanted
            )
            left = wanted - features @ weights
            covariance = left.T @ left / (len(places) - 1) + 1e-5 * torch.eye(left.shape[1])
            self._fits[condition] = names, weights, torch.linalg.cholesky(covariance)
        return self._fits[condition]


def words_of(text: str) -> frozenset[str]:
    """Words of a caption; numbers such as 0.05 and names such as m-n are one word."""
    return frozenset(_WORD.findall(text.lower()))


def _features(words: Sequence[frozenset[str]], names: Sequence[str]) -> torch.Tensor:
    return torch.tensor([[float(name in one) for name in names] + [1.0] for one in words])


def known_latents(pipeline: MimiiGenPipeline, real: ClipSet) -> Known:
    """Encode real clips."""
    frames, clips = [], []
    for place in range(len(real)):
        latents = pipeline._encode([real.waveform(place)])
        frame, clip = split_clip(latents, pipeline._codec.clip_dim)
        frames.append(frame[0, :, 0])
        clips.append(clip[0])
    rows = torch.cat(frames, dim=1)
    texts = captions(real)
    return Known([words_of(text) for text in texts], list(real.frame["condition"]), torch.stack(clips), torch.cov(rows))


def captions(clips: ClipSet) -> list[str]:
    """The caption of each clip, in the words of the first template."""
    return [caption(Description.of_clip(row), 0) for row in records(clips.frame)]


Make = Callable[[MimiiGenPipeline, ClipSet, list[str], Known, list[str]], dict[str, Any]]
"""Pipeline, clips whose labels are asked for, their captions, what is known, all captions; settings of the call."""


def _white(pipeline: Any, clips: ClipSet, texts: list[str], known: Known, every: list[str]) -> dict[str, Any]:
    root = torch.linalg.cholesky(known.covariance + 1e-5 * torch.eye(len(known.covariance)))
    pipeline.make_frame_latents = lambda embeddings, clip, noise, *rest: torch.einsum("ij,bjht->biht", root, noise)
    return {}


def _random_clip(pipeline: Any, clips: ClipSet, texts: list[str], known: Known, every: list[str]) -> dict[str, Any]:
    # Clip latents are normalised over all machines: their overall distribution has unit variance.
    def draw(embeddings: Any, sampler: str, steps: int, generators: list[torch.Generator], *rest: Any) -> torch.Tensor:
        return torch.stack([torch.randn(pipeline._codec.clip_dim, generator=one) for one in generators])

    pipeline.make_clip_latents = draw
    return {}


def _given(pipeline: Any, latents: torch.Tensor) -> None:
    """Have the pipeline take clip latents in turn."""
    queue = iter(latents)

    def take(embeddings: Any, sampler: str, steps: int, generators: list[Any], *rest: Any) -> torch.Tensor:
        return torch.stack([next(queue) for _ in generators])

    pipeline.make_clip_latents = take


def _gaussian_clip(pipeline: Any, clips: ClipSet, texts: list[str], known: Known, every: list[str]) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    words = [words_of(text) for text in texts]
    _given(pipeline, known.gaussian(clips.frame["condition"].iloc[0], words, random))
    return {}


def _true_clip(pipeline: Any, clips: ClipSet, texts: list[str], known: Known, every: list[str]) -> dict[str, Any]:
    latents = [split_clip(pipeline._encode([wave]), pipeline._codec.clip_dim)[1][0] for wave in clips.waveforms()]
    _given(pipeline, torch.stack(latents))
    return {}


def _shuffled(pipeline: Any, clips: ClipSet, texts: list[str], known: Known, every: list[str]) -> dict[str, Any]:
    chosen = np.random.default_rng(0).choice(len(every), size=len(texts))
    texts[:] = [every[place] for place in chosen]
    return {}


def _setting(**settings: Any) -> Make:
    return lambda pipeline, clips, texts, known, every: settings


VARIANTS: dict[str, Make] = {
    "full": _setting(),
    "no U-Net: white latents": _white,
    "clip latent: random": _random_clip,
    "clip latent: Gaussian given caption": _gaussian_clip,
    "clip latent: true (oracle)": _true_clip,
    "no caption": _setting(guidance_scale=0.0),
    "shuffled captions": _shuffled,
    "guidance 1.5": _setting(guidance_scale=1.5, guidance_rescale=0.0),
    "guidance 2": _setting(guidance_scale=2.0, guidance_rescale=0.0),
    "4 steps": _setting(num_inference_steps=4),
    "8 steps": _setting(num_inference_steps=8),
    "25 steps": _setting(num_inference_steps=25),
}


def made(model: str, variant: str, clips: ClipSet, known: Known, every: list[str], folder: Path) -> ClipSet:
    """What a variant makes for the labels of clips of one condition."""
    pipeline = load_pipeline(model)
    texts = captions(clips)
    settings = VARIANTS[variant](pipeline, clips, texts, known, every)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 1.0, "batch_size": 1} | settings
    waves = pipeline(texts, seeds=range(len(texts)), **settings)
    folder.mkdir(parents=True)
    rows = []
    for place, (wave, row) in enumerate(zip(waves, records(clips.frame), strict=True)):
        path = folder / f"{place:04d}.wav"
        write(path, wave, pipeline.sample_rate)
        labels = ("machine", "section", "domain", "split", "condition", "attributes")
        rows.append({**{label: row[label] for label in labels}, "clip_id": path.name, "path": str(path)})
    return ClipSet.from_files(rows, 16000)


def figures(
    machine: str,
    model: str,
    count: int,
    variants: Sequence[str],
    every: list[str],
    seeds: Sequence[int],
    detectors: Sequence[str],
) -> list[dict[str, Any]]:
    """One row a variant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learnt = simulated(machine, folder / "train", 0, count, train=True)
        test, pool = (simulated(machine, folder / str(seed), seed, count) for seed in seeds)
        known = known_latents(load_pipeline(model), simulated(machine, folder / "known", LEARNT_SEED, 100))
        sets = {condition: test.where(condition=condition) for condition in ("normal", "anomaly")}
        for place, variant in enumerate(variants):
            for condition in ("normal", "anomaly"):
                asked = pool.where(condition=condition)
                sets[f"{variant}, {condition}"] = made(
                    model, variant, asked, known, every, folder / f"{place}-{condition}"
                )
        table: dict[str, dict[str, Any]] = {variant: {"machine": machine, "variant": variant} for variant in variants}
        for detector, scores in scored(learnt, sets, detectors):
            real = mann_whitney_auc(scores["normal"], scores["anomaly"])
            for variant in variants:
                artefact = mann_whitney_auc(scores["normal"], scores[f"{variant}, normal"])
                gap = 100 * (mann_whitney_auc(scores["normal"], scores[f"{variant}, anomaly"]) - real)
                table[variant] |= {f"{detector} artefact": artefact, f"{detector} gap": gap}
        return list(table.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a model with a compact codec")
    parser.add_argument("--machines", default="slider,valve")
    parser.add_argument("--clips", type=int, default=50, help="of each domain and condition")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--others", action="store_true", help=f"also {', '.join(OTHERS)}")
    parser.add_argument("--seeds", type=int, nargs=2, default=(83, 84), help="of real test clips, and of labels")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        every = [text for machine in MACHINES for text in captions(simulated(machine, Path(name) / machine, 85, 10))]
    detectors = [*DETECTORS, *(OTHERS if given.others else ())]
    rows: list[dict[str, Any]] = []
    for machine in given.machines.split(","):
        rows += figures(machine, given.model, given.clips, given.variants, every, given.seeds, detectors)
        print(pd.DataFrame(rows[-len(given.variants) :]).round(3).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    artefacts = [f"{detector} artefact" for detector in detectors]
    gaps = [f"{detector} gap" for detector in detectors]
    table[gaps] = table[gaps].abs()
    print(table.groupby("variant", sort=False)[artefacts + gaps].mean().round(3).to_string())


if __name__ == "__main__":
    main()
