"""How good the detectors of a run are, and whether their ranking is stable between seeds.

    asdbench run detectors
    python tests/simulations/detector_ranking.py runs/detectors

Prints the official score of each detector (mean and deviation over seeds), its AUC of all clips by machine (mean over
seeds), and the time to fit and to score as ratios to the first detector: the median over machines and seeds of the
seconds that the run noted. Then Kendall's tau of the official scores between all pairs of seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

import asdbench
from asdbench.metrics.detection import mann_whitney_auc
from asdbench.metrics.official import official_score
from asdbench.store import Store


def seconds(folder: Path) -> pd.DataFrame:
    """Median seconds of a unit of each detector, columns ``fit`` and ``score``."""
    artefacts = json.loads((folder / "artefacts.json").read_text())
    store = Store(Path(artefacts["store"]))

    def of(key: str) -> float:
        return float(json.loads((store.path(key) / "meta.json").read_text())["seconds"])

    rows = [
        {"detector": use["detector"], "fit": of(use["fit"]), "score": of(use["key"])} for use in artefacts["scores"]
    ]
    return pd.DataFrame(rows).groupby("detector", sort=False).median()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    results = asdbench.load(parser.parse_args().run)
    scores = results.scores[(results.scores["split"] == "test") & (results.scores["source"] == "real")]
    year, machines = results.spec["official"], sorted(scores["machine"].unique())
    rows, official = [], {}
    for detector, of_detector in scores.groupby("detector", sort=False):
        by_seed = {seed: official_score(clips, year, machines).total for seed, clips in of_detector.groupby("seed")}
        official[detector] = pd.Series(by_seed)
        areas = {
            machine: pd.Series(
                [
                    mann_whitney_auc(
                        clips.loc[clips["condition"] == "normal", "score"],
                        clips.loc[clips["condition"] == "anomaly", "score"],
                    )
                    for _, clips in of_machine.groupby("seed")
                ]
            ).mean()
            for machine, of_machine in of_detector.groupby("machine")
        }
        rows.append(
            {"detector": detector, "official": official[detector].mean(), "sd": official[detector].std(), **areas}
        )
    times = seconds(results.folder)
    table = pd.DataFrame(rows).merge(times / times.iloc[0], on="detector")
    table = table.sort_values("official", ascending=False)
    print(table.round(4).to_string(index=False))
    by_seed = pd.DataFrame(official)
    taus = [kendalltau(by_seed.loc[a], by_seed.loc[b]).statistic for a, b in itertools.combinations(by_seed.index, 2)]
    print(f"Kendall's tau of official scores between seeds: {', '.join(f'{tau:.3f}' for tau in taus)}")


if __name__ == "__main__":
    main()
