"""Whether generated clips sound as their captions say: labels that a classifier recognises, and scores by severity.

    python tests/simulations/captions.py --use texture generators/texture/weights/simulated
    python tests/simulations/captions.py --use mimii_gen generators/mimii_gen/weights/mini

A classifier (logistic regression on the mean of log-mel bands, or on mean and deviation, whichever does better in a
cross-validation on what it learns from) learns condition and each attribute from real simulated clips, and is tried on
other real clips and on generated ones: "share" is the accuracy on generated clips over that on real ones. Then
anomalies are made with each severity in turn, for the same labels and seeds, and scored by the detectors of
`mini_quality`: means by severity, and Spearman's correlation of score and severity; the same for real anomalies, each
of which has another fault and labels. `--clips` counts clips of each domain and condition.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from mini_quality import MACHINES, add_model_options, generated, model_settings, scored, simulated
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from asdbench import ClipSet, logmel

SEVERITIES = {"slight": 0.6, "moderate": 1.0, "severe": 1.4}
"""The words that captions have for the severities of simulated faults."""
FEATURES = {"mean": slice(0, 128), "mean, deviation": slice(0, 256)}
"""Columns of `pooled`."""
BOUNDS = (0.8, 1.2)
"""Severities between which these words change."""
JUDGES = ("ae_mse", "logmel_knn")
SEEDS = (9, 83, 84)
"""Of the clips that the classifier learns from, of the real clips that are recognised, and of labels."""


def pooled(clips: ClipSet) -> np.ndarray:
    """Mean and deviation of each log-mel band, shape (clips, 2 * bands)."""
    return np.stack([np.r_[mel.mean(axis=0), mel.std(axis=0)] for mel in map(logmel, clips.waveforms())])


def labels(clips: ClipSet) -> pd.DataFrame:
    """Condition and attributes of each clip."""
    rows = [{"condition": row["condition"], **row["attributes"]} for _, row in clips.frame.iterrows()]
    return pd.DataFrame(rows)


def recognised(learnt: ClipSet, real: ClipSet, made: ClipSet) -> pd.DataFrame:
    """Accuracy for each label on real and on generated clips."""
    known, truth = labels(learnt), {"real": labels(real), "generated": labels(made)}
    sounds = {"learnt": pooled(learnt), "real": pooled(real), "generated": pooled(made)}
    rows = []
    for name in known:
        features = max(FEATURES, key=lambda which: _accuracy(sounds["learnt"][:, FEATURES[which]], known[name]))
        chosen = FEATURES[features]
        model = _classifier().fit(sounds["learnt"][:, chosen], known[name])
        row: dict[str, object] = {"label": name, "values": known[name].nunique(), "features": features}
        for which, wanted in truth.items():
            row[which] = float(np.mean(model.predict(sounds[which][:, chosen]) == wanted[name]))
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(share=table["generated"] / table["real"])


def _classifier() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))


def _accuracy(sounds: np.ndarray, known: pd.Series) -> float:
    """Accuracy in a cross-validation."""
    folds = KFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(_classifier(), sounds, known, cv=folds).mean())


def by_severity(
    learnt: ClipSet, real: ClipSet, pool: ClipSet, folder: Path, use: str, settings: dict[str, object]
) -> pd.DataFrame:
    """Mean score of each judge by severity, and how score and severity go together."""
    made = {
        word: generated(use, pool, "anomaly", folder / word, severity=severity, **settings)
        for word, severity in SEVERITIES.items()
    }
    anomalies = real.where(condition="anomaly")
    severity = np.array([row["severity"] for row in anomalies.frame["provenance"]])
    rows = []
    for name, scores in scored(learnt, made | {"real": anomalies}, JUDGES):
        found = scores.pop("real")
        asked = np.repeat(list(SEVERITIES.values()), [len(score) for score in scores.values()])
        rows.append(
            {"detector": name, "clips": "generated"} | described(scores, asked, np.concatenate([*scores.values()]))
        )
        place = np.digitize(severity, BOUNDS)
        scores = {word: found[place == number] for number, word in enumerate(SEVERITIES)}
        rows.append({"detector": name, "clips": "real"} | described(scores, severity, found))
    return pd.DataFrame(rows)


def described(scores: dict[str, np.ndarray], severity: np.ndarray, score: np.ndarray) -> dict[str, object]:
    """Mean score by severity, whether it rises, and Spearman's correlation."""
    means = {word: float(found.mean()) for word, found in scores.items()}
    rising = bool(np.all(np.diff(list(means.values())) > 0))
    return {**means, "rising": rising, "Spearman": float(spearmanr(severity, score).statistic)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser)
    parser.add_argument("--clips", type=int, default=100, help="of each domain and condition")
    parser.add_argument("--machines", default=",".join(MACHINES))
    given = parser.parse_args()
    settings = model_settings(given)
    accuracies, rising = [], []
    for machine in given.machines.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            learnt, real, pool = (simulated(machine, folder / str(seed), seed, given.clips) for seed in SEEDS)
            made = [
                generated(given.use, pool, condition, folder / condition, **settings)
                for condition in ("normal", "anomaly")
            ]
            accuracies.append(recognised(learnt, real, ClipSet.concat(made)).assign(machine=machine))
            print(accuracies[-1].round(3).to_string(index=False), flush=True)
            normals = simulated(machine, folder / "train", 0, given.clips, train=True)
            rising.append(by_severity(normals, real, pool, folder, given.use, settings).assign(machine=machine))
            print(rising[-1].round(4).to_string(index=False), flush=True)
    table = pd.concat(accuracies, ignore_index=True).set_index(["machine", "label"])
    print(table.round(3).to_string())
    print(f"least share: {table['share'].min():.2f}; mean share: {table['share'].mean():.2f}")
    print(pd.concat(rising, ignore_index=True).set_index(["machine", "detector", "clips"]).round(4).to_string())


if __name__ == "__main__":
    main()
