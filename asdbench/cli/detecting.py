"""Commands of detectors in use: fit one, take one out of a run, score recordings with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asdbench.cli.options import (
    FILE,
    FOLDER,
    bad_clip_options,
    bad_clips_listed,
    folder_options,
    load,
    plugin_option,
    with_options,
)
from asdbench.errors import UserError

if TYPE_CHECKING:
    from asdbench.fitted.deciding import ThresholdRule
    from asdbench.fitted.detector import FittedDetector
    from asdbench.metrics.threshold import Method

_out = click.option(
    "--out", type=FOLDER, required=True, help="Folder of the detector; a fitted detector in it is replaced."
)
_threshold_options: list[Callable[[Any], Any]] = [
    click.option(
        "--threshold",
        "method",
        type=click.Choice(["gamma", "empirical"]),
        help="How the decision threshold follows from the scores of the training clips.  [default: as in the "
        "benchmark, else gamma]",
    ),
    click.option("--quantile", type=float, help="Which quantile is the threshold.  [default: as there, else 0.9]"),
]


@click.command()
@click.argument("detector")
@with_options(folder_options)
@click.option("--all", "everything", is_flag=True, help="Fit on the normal test recordings of the folder too.")
@click.option("--spec", help="Benchmark whose training clips are used, in place of a folder.")
@click.option("--machine", help="Machine type.  [default: the only one]")
@_out
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the detector.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed, as in a benchmark.")
@with_options(_threshold_options)
@plugin_option
def fit(
    detector: str,
    data: Path | None,
    dataset: str,
    dataset_settings: tuple[str, ...],
    everything: bool,
    spec: str | None,
    machine: str | None,
    out: Path,
    overrides: tuple[str, ...],
    seed: int,
    method: Method | None,
    quantile: float | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Fit DETECTOR on the normal recordings of a folder, or on the training clips of a benchmark, and save it.

    DETECTOR is the name of a plugin, or of a detector of the benchmark, whose settings are taken.
    """
    from asdbench import plugins, recordings
    from asdbench.fitted.fitting import fit as fit_detector
    from asdbench.fitted.folder import refuse_other_files
    from asdbench.progress import Progress
    from asdbench.runner import DEFAULT_RUNS, store_for
    from asdbench.spec import build_named

    if (data is None) == (spec is None):
        raise UserError("give either --data (a folder) or --spec (a benchmark), to say what to fit on")
    if spec is not None and everything:
        raise UserError("--all is for --data; a benchmark keeps its test clips out of what detectors learn from")
    refuse_other_files(out)
    loaded = load(spec, (), plugin_files) if spec is not None else None
    rule = _rule(method, quantile, loaded.resolved() if loaded is not None else {})
    if loaded is None:
        plugins.load_files(plugin_files)
    chosen = build_named(plugins.detectors, detector, loaded.spec.detectors if loaded is not None else {}, overrides)
    chosen.inputs()  # what is missing is said before any recording is read
    store, progress = store_for(DEFAULT_RUNS, None), Progress()
    store.prepare()
    if loaded is not None:
        clips = recordings.normal_of_benchmark(loaded, machine, store, progress)
    else:
        assert data is not None
        clips = recordings.normal_of_folder(data, dataset, dataset_settings, machine, everything, store, progress)
    _save(fit_detector(chosen, clips, seed=seed, rule=rule, quiet=False), out)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--detector", required=True, metavar="NAME", help="Name of the detector in the run.")
@click.option("--machine", help="Machine type.  [default: the only one]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the fit.  [default: the first of the run]")
@_out
@with_options(_threshold_options)
@plugin_option
def export(
    run: Path,
    detector: str,
    machine: str | None,
    seed: int | None,
    out: Path,
    method: Method | None,
    quantile: float | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Save a detector that RUN has fitted; nothing is fitted again.

    RUN is the folder of a run, or a folder of runs, of which the newest is taken.
    """
    from asdbench.fitted.exporting import export_detector, spec_of
    from asdbench.fitted.folder import refuse_other_files

    refuse_other_files(out)
    rule = _rule(method, quantile, spec_of(run))
    _save(export_detector(run, detector, machine, seed=seed, rule=rule, plugin_files=plugin_files), out)


@click.command()
@click.argument("detector", type=FOLDER)
@click.argument("recordings", type=click.Path(path_type=Path))
@click.option("--out", type=FILE, help="File for the scores.  [default: standard output]")
@click.option(
    "--format",
    "style",
    type=click.Choice(["csv", "table"]),
    default="csv",
    show_default=True,
    help="csv has all digits, table is for reading.",
)
@with_options(bad_clip_options)
@plugin_option
def score(
    detector: Path,
    recordings: Path,
    out: Path | None,
    style: str,
    on_bad_clip: str,
    bad_list: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Score every recording of a folder with a fitted detector: DETECTOR is what `fit` or `export` wrote.

    RECORDINGS is a folder, which is searched with the folders in it, or an audio file. All are checked before any is
    scored: where some cannot be used, all of them are named, and there are no scores unless they are to be skipped.
    """
    from asdbench.fitted.detector import load_detector
    from asdbench.fitted.writing import as_csv, as_table, summary, write_text

    fitted = load_detector(detector, plugin_files=plugin_files)
    with bad_clips_listed(bad_list):
        scores = fitted.score(recordings, quiet=False, skip_bad_clips=on_bad_clip == "skip")
    text = as_csv(scores) if style == "csv" else as_table(scores, fitted.record)
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(f"{out}: {summary(scores, fitted.record)}")


def _rule(method: Method | None, quantile: float | None, spec: dict[str, Any]) -> ThresholdRule:
    """The rule of a resolved spec, where the options do not say another."""
    from asdbench.fitted.deciding import ThresholdRule, rule_of

    rule = rule_of(spec)
    return ThresholdRule(method or rule.method, rule.quantile if quantile is None else quantile)


def _save(fitted: FittedDetector, out: Path) -> None:
    replaced = fitted.save(out)
    record = fitted.record
    decision = f"decision threshold {record.threshold}" if record.threshold is not None else "no decision threshold"
    click.echo(
        f"{out}: the detector '{record.detector.use}', fitted on {record.fitted.clips} clips of "
        f"{record.fitted.machine}; {decision}{'; it replaces the one that was there' if replaced else ''}"
    )
    click.echo(f"Score recordings with `asdbench score {out} FOLDER`")
