"""What a run leaves: a folder, and the pandas frames in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from asdbench.errors import UserError
from asdbench.folders import remove_abandoned, temporary_folder
from asdbench.inspection import BadClip, named

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.compare import Comparison
    from asdbench.compare.heard import Heard

SPEC, SCORES, GENERATED, PROBLEMS = "spec.yaml", "scores.parquet", "generated_clips.csv", "problems.json"
CURVES, METRICS = "roc_long.csv", "metrics.parquet"
SKIPPED, SKIPPED_COLUMNS = "skipped_clips.csv", ("machine", "path", "problem")
CONTROLS = "controls"
"""Name among the artefacts of the list of generators that are bounds for others."""
ENVIRONMENT, ARTEFACTS, TRACEBACKS = "environment.json", "artefacts.json", "tracebacks.txt"


@dataclass(repr=False)
class Results:
    """The results of a run.

    Attributes:
        folder: where they are stored.
        spec: the resolved spec, every default filled in.
        scores: the score table, one row a scored clip; everything else follows from it.
        generated: one row a generated clip: machine, generator, seed, file (relative to the store), labels, provenance.
        problems: cells that could not be computed and why: machine, detector, source, seed, reason.
        comparison: metrics, gaps, summary and official scores as frames.
        skipped: recordings that cannot be used and were left out: machine, path, problem.
    """

    folder: Path
    spec: dict[str, Any]
    scores: pd.DataFrame
    generated: pd.DataFrame
    problems: list[dict[str, Any]]
    comparison: Comparison
    skipped: pd.DataFrame = field(default_factory=lambda: _skipped_table())

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"

    @property
    def gaps(self) -> pd.DataFrame:
        """AUC on original and generated sets and their gap, in fractions: one row a machine, detector, generator."""
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

    @property
    def heard(self) -> Heard:
        """What is known of the clips beside their scores: audio quality, nearest training clips, costs, counts."""
        return self.comparison.heard

    @property
    def quality(self) -> pd.DataFrame:
        """FAD, KAD and what else the embeddings give: one row a generator, seed, machine, condition and figure."""
        return self.heard.quality

    def curves(self) -> pd.DataFrame:
        """ROC and DET curves of every test set, one row a threshold; see `asdbench.compare.operating`."""
        from asdbench.compare.operating import curves_of_table
        from asdbench.compare.testsets import ScoreTable, expand

        spec = self.spec
        names = list(spec["detectors"]), list(spec["generators"])
        table = ScoreTable(self.scores, spec["machines"], self.problems, *names)
        return curves_of_table(table, expand(spec["test_sets"], names[1]))

    def __str__(self) -> str:
        from asdbench.report import render

        return render(self.comparison) + self._skipped_note()

    def _skipped_note(self) -> str:
        """What is printed below the tables where recordings were left out."""
        if self.skipped.empty:
            return ""
        counts = ", ".join(f"{count} of {name}" for name, count in self.skipped["machine"].value_counts().items())
        bad = [BadClip(str(row.path), str(row.problem)) for row in self.skipped.itertuples()]
        return f"\nSkipped recordings ({counts}; {SKIPPED}): {named(bad)}\n"


def _skipped_table() -> pd.DataFrame:
    """The table of a run in which nothing was left out."""
    import pandas as pd

    return pd.DataFrame(columns=list(SKIPPED_COLUMNS))


def compare_scores(
    spec: dict[str, Any],
    scores: pd.DataFrame,
    problems: list[dict[str, Any]],
    heard: Heard,
    controls: Collection[str] = (),
) -> Comparison:
    """Compute everything that follows from a score table, and from what was heard, under a resolved spec.

    Args:
        spec: resolved.
        scores: the score table.
        problems: why scores are missing.
        heard: what is known of the clips beside their scores.
        controls: generators of the spec that are bounds for others (`asdbench.Generator.is_control`).
    """
    from asdbench import plugins
    from asdbench.compare import compare
    from asdbench.compare.verdict import MARGIN
    from asdbench.metrics.threshold import METHODS, QUANTILE

    limit = spec.get("threshold", {"method": METHODS[0], "quantile": QUANTILE})  # runs of before had none
    return compare(
        scores,
        test_sets=spec["test_sets"],
        machines=spec["machines"],
        problems=problems,
        metrics={name: plugins.metrics.get(name) for name in spec["metrics"]},
        confidence=spec["statistics"]["confidence"],
        resamples=spec["statistics"]["resamples"],
        margin=spec["statistics"].get("margin", MARGIN),  # runs of before had none
        years=[spec["official"]] if spec["official"] else [],
        detectors=list(spec["detectors"]),
        generators=list(spec["generators"]),
        controls=controls,
        heard=heard,
        published=spec.get("published"),  # runs of before had none
        quantile=limit["quantile"],
        threshold_method=limit["method"],
    )


def load(folder: str | Path) -> Results:
    """Read a run: its folder, or a folder of runs, of which the newest is taken.

    The plugin files that its spec names are not imported; values of metrics that they define are those stored.

    Raises:
        UserError: there is no run, or files of it are missing.
    """
    import pandas as pd

    from asdbench import plugins
    from asdbench.compare.heard import Heard

    folder = find_run(Path(folder)).absolute()
    try:
        spec = yaml.safe_load((folder / SPEC).read_text())
        scores = pd.read_parquet(folder / SCORES)
        texts = pd.read_csv(folder / GENERATED, dtype=str, keep_default_na=False)
        generated = texts.astype({"seed": "int64"})
        problems = json.loads((folder / PROBLEMS).read_text())
        heard = Heard.load(folder)
        # Runs of before did not tell which generators are controls, and counted all alike.
        controls = json.loads((folder / ARTEFACTS).read_text()).get(CONTROLS, [])
        known = [name for name in spec["metrics"] if name in plugins.metrics.names()]
        comparison = compare_scores(spec | {"metrics": known}, scores, problems, heard, controls)
        if len(known) < len(spec["metrics"]):
            # Their code may be anybody's, and looking runs none: what they gave is read.
            comparison = replace(comparison, metrics=pd.read_parquet(folder / METRICS))
        listed = folder / SKIPPED  # runs of before had none
        skipped = pd.read_csv(listed) if listed.is_file() else _skipped_table()
        return Results(folder, spec, scores, generated, problems, comparison, skipped)
    except UserError as error:
        raise UserError(f"{folder}: the run cannot be shown: {error}") from error
    except Exception as error:  # whatever a damaged file leads to
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{folder}: the run cannot be read ({reason}); run the benchmark again to restore it"
        ) from error


def find_run(folder: Path) -> Path:
    """Return the folder of a run: ``folder`` itself, or the newest run below it.

    Raises:
        UserError: there is none.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder, expected one that `asdbench run` wrote")
    if (folder / SPEC).is_file():
        return folder
    runs = [path.parent for pattern in (f"*/{SPEC}", f"*/*/{SPEC}") for path in folder.glob(pattern)]
    if not runs:
        raise UserError(f"{folder}: no run in it, expected a folder that `asdbench run` wrote")
    return max(runs, key=lambda run: (run / SPEC).stat().st_mtime_ns)


def write(results: Results, environment: dict[str, Any], artefacts: dict[str, Any], tracebacks: str = "") -> None:
    """Write a run's folder: all files beside it first, then each into its place, the spec last."""
    from asdbench.challenge import run_files
    from asdbench.compare.testsets import expand
    from asdbench.report import formats, write_tables

    folder, spec = results.folder, results.spec
    sets = expand(spec["test_sets"], list(spec["generators"]))
    remove_abandoned(folder.parent)
    with temporary_folder(folder.parent) as new:
        results.scores.to_parquet(new / SCORES, index=False)
        results.metrics.to_parquet(new / METRICS, index=False)
        results.heard.save(new)
        results.generated.to_csv(new / GENERATED, index=False)
        results.skipped.to_csv(new / SKIPPED, index=False)
        for name, value in ((PROBLEMS, results.problems), (ENVIRONMENT, environment), (ARTEFACTS, artefacts)):
            (new / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
        write_tables(results.comparison, new)
        (new / CURVES).write_bytes(formats.to_csv(results.curves()).encode())
        decisions = results.comparison.decisions
        run_files.write_run_files(results.scores, decisions, sets, spec["official"], new / run_files.FOLDER)
        if tracebacks:
            (new / TRACEBACKS).write_text(tracebacks)
        folder.mkdir(exist_ok=True)
        # From here on, a folder without a spec is not whole, and is not taken for a run.
        for name in (SPEC, TRACEBACKS):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / run_files.FOLDER, ignore_errors=True)  # a folder is not replaced by another
        for path in new.iterdir():
            os.replace(path, folder / path.name)
        (new / SPEC).write_text(yaml.safe_dump(results.spec, sort_keys=False, allow_unicode=True))
        os.replace(new / SPEC, folder / SPEC)
