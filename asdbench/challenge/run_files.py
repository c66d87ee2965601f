"""A run's scores and decisions as DCASE Task 2 wants them, for the real test set and for each generated one.

Below the folder ``dcase`` of a run: ``<detector>/seed_<n>/<test set>``, for test sets with generated clips
``<test set>.<generator>``. Each such folder is what would be handed in for one system, with the truth of its clips
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench.challenge.file_names import DECISIONS, SCORES, FileName, can_be_named, format_file_name
from asdbench.challenge.score_files import write_entries
from asdbench.compare.testsets import NOT_GENERATED, REAL, TestSetSpec
from asdbench.errors import warn

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "dcase"
"""Of a run's folder."""


def write_run_files(
    scores: pd.DataFrame, decisions: pd.DataFrame, specs: Sequence[TestSetSpec], year: int | None, folder: Path
) -> None:
    """Write score, decision and truth files of every detector, seed and test set.

    Files have the names of 2022 on; those of machines without domains the names of 2020, and all those of 2021 where
    that year's score is asked for. Scores of training clips are written beside those of the real test clips.

    Args:
        scores: the score table of a run.
        decisions: the table of decisions of its comparison, which holds the thresholds.
        specs: the test sets, each generator by itself.
        year: whose official score the run has, or None.
        folder: where to; made if it is missing.
    """
    if scores.empty:
        return
    scores = scores.assign(name=_names(scores))
    keys = ["machine", "detector", "source", "test_set", "seed", "generation_seed"]
    limits = decisions[decisions["domain"] == "all"].set_index(keys)["threshold"].to_dict()
    for machine, section in scores[["machine", "section"]].drop_duplicates().itertuples(index=False):
        if not can_be_named(str(machine), str(section)):
            warn(f"no DCASE files of machine '{machine}', section '{section}': file names cannot hold these words")
            scores = scores[(scores["machine"] != machine) | (scores["section"] != section)]
    for (detector, seed), mine in scores.groupby(["detector", "seed"]):
        for spec in specs:
            for generation_seed, clips in _repetitions(mine, spec):
                leaf = f"seed_{seed}" if generation_seed in (NOT_GENERATED, seed) else f"seed_{seed}_{generation_seed}"
                place = folder / str(detector) / leaf / folder_of(spec.name, spec.source)
                for machine, own in clips.groupby("machine"):
                    limit = limits.get((machine, detector, spec.source, spec.name, seed, generation_seed), float("nan"))
                    _write_machine(str(machine), own, limit, year, place)


def folder_of(test_set: str, source: str) -> str:
    """Name of the folder of a test set: with the generator, where there is one."""
    return test_set if source == REAL else f"{test_set}.{source}"


def _names(scores: pd.DataFrame) -> pd.Series[str]:
    """Names of the clips as files hold them: without folders, unless two clips of a machine would be the same then."""
    base = scores["clip_id"].str.rpartition("/")[2]
    one = scores.assign(base=base).drop_duplicates(["machine", "source", "clip_id", "generation_seed"])
    twice = one[one.duplicated(["machine", "source", "base", "generation_seed"])]
    return base.where(~scores["machine"].isin(set(twice["machine"])), scores["clip_id"])


def _repetitions(scores: pd.DataFrame, spec: TestSetSpec) -> list[tuple[int, pd.DataFrame]]:
    """The clips of a test set by generation seed, with training clips where all clips are real."""
    import pandas as pd

    real = scores[scores["source"] == REAL]
    if spec.source == REAL:
        return [(NOT_GENERATED, real)]
    normal = real[(real["split"] == "test") & (real["condition"] == "normal")]
    made = scores[(scores["source"] == spec.source) & (scores["condition"] == "anomaly")]
    found = []
    for generation_seed, own in made.groupby("generation_seed"):
        both = normal[normal["machine"].isin(set(own["machine"]))]
        found.append((int(str(generation_seed)), pd.concat([both, own], ignore_index=True)))
    return found


def _write_machine(machine: str, clips: pd.DataFrame, limit: float, year: int | None, folder: Path) -> None:
    test = clips[clips["split"] == "test"]
    has_domains = not (test["domain"] == "none").all()  # of 2020, and of folders
    for (section, split), mine in clips.groupby(["section", "split"]):
        by_domain = year == 2021 and has_domains and split == "test"
        for domain in ("source", "target") if by_domain else ("",):
            own = mine[mine["domain"] == domain] if domain else mine
            own = own.sort_values("name", kind="stable")
            names, values = own["name"].tolist(), own["score"].to_numpy(dtype=float)
            file = FileName(SCORES, machine, str(section), not has_domains, domain, str(split))
            folder.mkdir(parents=True, exist_ok=True)
            write_entries(folder / format_file_name(file), zip(names, values.tolist(), strict=True))
            if limit == limit and split == "test":
                decided = (values > limit).astype(int).tolist()
                decision_file = replace(file, kind=DECISIONS)
                write_entries(folder / format_file_name(decision_file), zip(names, decided, strict=True))
    for section, mine in test.groupby("section"):
        _write_truth(machine, str(section), mine.sort_values("name", kind="stable"), has_domains, folder)


def _write_truth(machine: str, section: str, clips: pd.DataFrame, has_domains: bool, folder: Path) -> None:
    """Write what is known of all clips of a section."""
    name = format_file_name(FileName("ground_truth", machine, section, not has_domains))
    kinds: list[tuple[str, str, dict[str, int]]] = [("data", "condition", {"normal": 0, "anomaly": 1})]
    kinds += [("domain", "domain", {"source": 0, "target": 1})]
    for kind, column, words in kinds:
        if clips[column].isin(list(words)).all():
            place = folder / f"ground_truth_{kind}"
            place.mkdir(exist_ok=True)
            rows: Any = zip(clips["name"].tolist(), clips[column].map(words).tolist(), strict=True)
            write_entries(place / name, rows)
