"""What a run leaves: a folder, and the pandas frames in it."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from asdbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison

SPEC, SCORES, GENERATED, PROBLEMS = "spec.yaml", "scores.parquet", "generated_clips.csv", "problems.json"
ENVIRONMENT, ARTEFACTS = "environment.json", "artefacts.json"


@dataclass
class Results:
    """The results of a run.

    Attributes:
        folder: where they are stored.
        spec: the resolved spec, every default filled in.
        scores: the score table, one row a scored clip; everything else follows from it.
        generated: one row a generated clip: machine, generator, seed, file (relative to the store), labels, provenance.
        problems: cells that could not be computed and why: machine, detector, source, seed, reason.
        comparison: metrics, gaps, summary and official scores as frames.
    """

    folder: Path
    spec: dict[str, Any]
    scores: pd.DataFrame
    generated: pd.DataFrame
    problems: list[dict[str, Any]]
    comparison: Comparison

    @property
    def gaps(self) -> pd.DataFrame:
        """AUC on the original and the generated set, and their gap: one row a machine, detector and generator."""
        return self.comparison.gaps

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric of every cell, one row each."""
        return self.comparison.metrics

    @property
    def summary(self) -> pd.DataFrame:
        """Gaps over machines: one row a detector and generator."""
        return self.comparison.summary

    @property
    def official(self) -> pd.DataFrame:
        """Official DCASE scores, where the spec asks for them."""
        return self.comparison.official

    def __str__(self) -> str:
        from asdbench.report import render

        return render(self.comparison)


def compare_scores(spec: dict[str, Any], scores: pd.DataFrame, problems: list[dict[str, Any]]) -> Comparison:
    """Compute everything that follows from a score table under a resolved spec."""
    from asdbench import plugins
    from asdbench.compare import compare

    return compare(
        scores,
        test_sets=spec["test_sets"],
        machines=spec["machines"],
        problems=problems,
        metrics={name: plugins.metrics.get(name) for name in spec["metrics"]},
        confidence=spec["statistics"]["confidence"],
        resamples=spec["statistics"]["resamples"],
        years=[spec["official"]] if spec["official"] else [],
        detectors=list(spec["detectors"]),
        generators=list(spec["generators"]),
    )


def load(folder: str | Path) -> Results:
    """Read a run: its folder, or a folder of runs, of which the newest is taken.

    Raises:
        UserError: there is no run, or files of it are missing.
    """
    import pandas as pd

    from asdbench import plugins

    folder = find_run(Path(folder))
    try:
        spec = yaml.safe_load((folder / SPEC).read_text())
        scores = pd.read_parquet(folder / SCORES)
        generated = pd.read_csv(folder / GENERATED)
        problems = json.loads((folder / PROBLEMS).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder}: the run cannot be read ({error}); run the benchmark again to restore it") from error
    plugins.load_files(map(Path, spec["plugins"]))
    return Results(folder, spec, scores, generated, problems, compare_scores(spec, scores, problems))


def find_run(folder: Path) -> Path:
    """Return the folder of a run: ``folder`` itself, or the newest run below it.

    Raises:
        UserError: there is none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one that `asdbench run` wrote")
    if (folder / SPEC).is_file():
        return folder
    runs = [path.parent for pattern in (f"*/{SPEC}", f"*/*/{SPEC}") for path in folder.glob(pattern)]
    if not runs:
        raise UserError(f"{folder}: no run in it, expected a folder that `asdbench run` wrote")
    return max(runs, key=lambda run: (run / SPEC).stat().st_mtime_ns)


def write(results: Results, environment: dict[str, Any], artefacts: dict[str, Any]) -> None:
    """Write a run's folder; each file is replaced in one step, the spec last, so that a folder with a spec is whole."""
    from asdbench.report import write_tables

    folder = results.folder
    folder.mkdir(parents=True, exist_ok=True)
    with _replaced(folder / SCORES) as path:
        results.scores.to_parquet(path, index=False)
    with _replaced(folder / "metrics.parquet") as path:
        results.metrics.to_parquet(path, index=False)
    with _replaced(folder / GENERATED) as path:
        results.generated.to_csv(path, index=False)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tables-") as temporary:
        for path in write_tables(results.comparison, Path(temporary)):
            os.replace(path, folder / path.name)
    for name, value in ((PROBLEMS, results.problems), (ENVIRONMENT, environment), (ARTEFACTS, artefacts)):
        with _replaced(folder / name) as path:
            path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    with _replaced(folder / SPEC) as path:
        path.write_text(yaml.safe_dump(results.spec, sort_keys=False, allow_unicode=True))


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
