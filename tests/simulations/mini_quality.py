"""How well detectors recognise what models make: codec, artefact, gap and matched gap by machine.

Detectors learn from the training clips of benchmarks/mimii_gen.yaml; real test clips come from a data set that neither
detectors nor generators saw, and the labels of what is generated from another one.

    python tests/simulations/mini_quality.py mimii_gen=mini texture=simulated --effects --others --offsets 128 256

`--clips` counts clips of each domain: 300 are 600 test clips a condition. With `--effects` the effects generator is
measured on the same clips, with `--others` detectors that nothing was shaped with are asked too, but not about the
offsets. The built-in models were not shaped on the two default data seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from asdbench import ClipSet, Request, plugins
from asdbench.audio import write
from asdbench.metrics.detection import mann_whitney_auc

DETECTORS = {
    "ae_mse": ("dcase_ae", {"score": "mse", "epochs": 12}),
    "ae_mahalanobis": ("dcase_ae", {"score": "mahalanobis", "epochs": 12}),
    "logmel_knn": ("logmel_knn", {}),
}
"""Detectors that the built-in models were shaped with."""
OTHERS = {
    "twfr_gmm": ("twfr_gmm", {}),
    "idnn": ("idnn", {"epochs": 12}),
    "sub_cluster_adacos": ("sub_cluster_adacos", {}),
}
"""Detectors that nothing was shaped with."""
MACHINES = ("bearing", "fan", "gearbox", "slider", "valve")


def simulated(machine: str, folder: Path, seed: int, clips: int, train: bool = False) -> ClipSet:
    """Clips of a machine: the detectors' training clips, or test clips of both domains."""
    counts = {"train_source": 230, "train_target": 10, "test_normal": 0, "test_anomaly": 0}
    if not train:
        counts = {"train_source": 0, "train_target": 0, "test_normal": clips, "test_anomaly": clips}
    dataset = plugins.datasets.get("simulated")(data_seed=seed, **counts)
    return ClipSet.from_files(dataset.clips(machine, folder), 16000)


def generated(name: str, pool: ClipSet, condition: str, folder: Path, **settings: object) -> ClipSet:
    """What a generator makes for the labels of the clips of a pool."""
    rows = pool.where(condition=condition).frame.drop(columns="provenance")
    generator = plugins.generators.get(name)(**settings)
    generator.seed = 0
    folder.mkdir()
    made, start = [], time.process_time()
    for (_, row), clip in zip(rows.iterrows(), generator.generate(Request(rows, pool, 16000)), strict=True):
        path = folder / f"{len(made):04d}.wav"
        write(path, clip.waveform, 16000)
        labels = ("machine", "section", "domain", "split", "condition", "attributes")
        made.append({**{label: row[label] for label in labels}, "clip_id": path.name, "path": str(path)})
    print(f"    {name} {condition}: {(time.process_time() - start) / len(made):.2f} CPU seconds a clip", flush=True)
    return ClipSet.from_files(made, 16000)


def scored(
    learnt: ClipSet, sets: dict[str, ClipSet], names: Iterable[str] = tuple(DETECTORS)
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each detector's name, and its scores of each set after learning from the first; both autoencoders are one."""
    autoencoder: Any = None
    for name in names:
        use, options = (DETECTORS | OTHERS)[name]
        if use == "dcase_ae" and autoencoder is not None:
            detector = autoencoder
            detector.score_by = options["score"]  # which acts in scoring only
        else:
            detector = plugins.detectors.get(use)(**options)
            detector.seed = 0
            detector.fit(learnt)
        autoencoder = detector if use == "dcase_ae" else autoencoder
        yield name, {key: detector.score(value) for key, value in sets.items()}


USES = ("texture", "mimii_gen")
"""Generators that learn."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line name a model and how it is sampled."""
    parser.add_argument("model", help="folder, or name of a built-in model")
    parser.add_argument("--use", choices=USES, default="mimii_gen", help="generator whose model it is")
    parser.add_argument("--steps", type=int, default=8, help="of the sampler, for mimii_gen")
    parser.add_argument("--guidance", type=float, default=1.0, help="for mimii_gen")


def model_settings(given: argparse.Namespace) -> dict[str, object]:
    """Settings of the generator for what the command line says."""
    if given.use == "texture":
        return {"checkpoint": given.model}
    sampling = {"inference_steps": given.steps, "guidance_scale": given.guidance, "sampling_batch": 4}
    return {"checkpoint": given.model, "device": "cpu", **sampling}


def without_start(clips: ClipSet, samples: int, folder: Path) -> ClipSet:
    """Clips that lack their first samples: the frames of a detector then lie elsewhere than those of a decoder."""
    folder.mkdir()
    rows = []
    for place, (_, row) in enumerate(clips.frame.iterrows()):
        path = folder / f"{place:04d}.wav"
        write(path, clips.waveform(place)[samples:], 16000)
        labels = ("machine", "section", "domain", "split", "condition", "attributes")
        rows.append({**{label: row[label] for label in labels}, "clip_id": path.name, "path": str(path)})
    return ClipSet.from_files(rows, 16000)


def figures(
    machine: str,
    models: dict[str, dict[str, object]],
    clips: int,
    effects: bool,
    seeds: tuple[int, int],
    others: bool = False,
    offsets: Iterable[int] = (),
) -> list[dict[str, object]]:
    """One row a generator and detector; ``models`` are the settings of each generator."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learnt = simulated(machine, folder / "train", 0, clips, train=True)
        test, pool = (simulated(machine, folder / str(seed), seed, clips) for seed in seeds)
        sets = {"normal": test.where(condition="normal"), "anomaly": test.where(condition="anomaly")}
        pairs: dict[str, dict[str, tuple[str, str]]] = {}
        for use, settings in models.items():
            for condition in ("normal", "anomaly"):
                where = folder / f"{use} {condition}"
                sets[f"{use} {condition}"] = generated(use, pool, condition, where, **settings)
            sets[f"{use} codec"] = generated(use, pool, "normal", folder / f"{use} codec", **settings, reconstruct=True)
            pairs[use] = {
                "generated": ("normal", f"{use} anomaly"),
                "codec": ("normal", f"{use} codec"),
                "artefact": ("normal", f"{use} normal"),
                "matched": (f"{use} normal", f"{use} anomaly"),
            }
        if effects:
            sets["effects"] = generated("effects", pool, "anomaly", folder / "effects")
            pairs["effects"] = {"generated": ("normal", "effects")}
        rows = _rows(machine, learnt, sets, pairs, DETECTORS)
        if others:
            rows += _rows(machine, learnt, sets, pairs, OTHERS)
        if offsets:
            moved, moved_pairs = {}, {use: {} for use in models}
            for offset in offsets:
                for which in ("normal", *(f"{use} normal" for use in models)):
                    called = f"{which} from {offset}"
                    moved[called] = without_start(sets[which], offset, folder / called)
                for use in models:
                    pair = f"normal from {offset}", f"{use} normal from {offset}"
                    moved_pairs[use][f"artefact from {offset}"] = pair
            found = {
                (row["use"], row["detector"]): row for row in _rows(machine, learnt, moved, moved_pairs, DETECTORS)
            }
            rows = [row | found.get((row["use"], row["detector"]), {}) for row in rows]
        return rows


def _rows(
    machine: str,
    learnt: ClipSet,
    sets: dict[str, ClipSet],
    pairs: dict[str, dict[str, tuple[str, str]]],
    detectors: Iterable[str],
) -> list[dict[str, object]]:
    rows = []
    for name, scores in scored(learnt, sets, detectors):
        for use, wanted in pairs.items():
            row: dict[str, object] = {"use": use, "machine": machine, "detector": name}
            if "anomaly" in scores:
                row["real"] = mann_whitney_auc(scores["normal"], scores["anomaly"])
            row |= {key: mann_whitney_auc(scores[one], scores[other]) for key, (one, other) in wanted.items()}
            rows.append(row)
            print("   ", {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="GENERATOR=MODEL", help="folder, or name of a built-in model")
    parser.add_argument("--steps", type=int, default=8, help="of the sampler, for mimii_gen")
    parser.add_argument("--guidance", type=float, default=1.0, help="for mimii_gen")
    parser.add_argument("--clips", type=int, default=300, help="of each domain and condition")
    parser.add_argument("--machines", default=",".join(MACHINES))
    parser.add_argument("--effects", action="store_true")
    parser.add_argument("--others", action="store_true", help=f"also {', '.join(OTHERS)}")
    parser.add_argument("--offsets", type=int, nargs="*", default=(), help="samples left out at the start of clips")
    parser.add_argument("--seeds", type=int, nargs=2, default=(83, 84), help="of real test clips, and of labels")
    given = parser.parse_args()
    models = {}
    for text in given.models:
        use, _, model = text.partition("=")
        if use not in USES or not model:
            parser.error(f"found '{text}', expected GENERATOR=MODEL with one of {', '.join(USES)}")
        models[use] = model_settings(
            argparse.Namespace(use=use, model=model, steps=given.steps, guidance=given.guidance)
        )
    rows: list[dict[str, object]] = []
    for machine in given.machines.split(","):
        rows += figures(
            machine, models, given.clips, given.effects, tuple(given.seeds), given.others, tuple(given.offsets)
        )
    show(pd.DataFrame(rows))


def show(table: pd.DataFrame) -> None:
    """Print all figures, and their means over the machines."""
    names = [name for name in ("generated", "matched") if name in table]
    for name in names:
        table[f"gap {name}"] = 100 * (table[name] - table["real"])
        table[f"|gap {name}|"] = table[f"gap {name}"].abs()
    print(table.round(3).to_string(index=False))
    by = table.groupby(["use", "detector"], sort=False)
    print(by.mean(numeric_only=True).round(3).to_string())
    for name in names:
        pearson = {key: round(float(np.corrcoef(part["real"], part[name])[0, 1]), 3) for key, part in by}
        print(f"Pearson over machines, {name}: {pearson}")
        for use, rows in table.groupby("use"):
            taus = [kendalltau(part["real"], part[name]).statistic for _, part in rows.groupby("machine")]
            print(f"Kendall's tau of the detectors' ranking, mean over machines, {use}, {name}: {np.mean(taus):.2f}")


if __name__ == "__main__":
    main()
