"""The command line. Heavy modules are imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from asdbench.errors import UserError

if TYPE_CHECKING:
    from asdbench.clips import ClipSet
    from asdbench.plugins import Generator, Part
    from asdbench.report.table import Table
    from asdbench.results import Results
    from asdbench.spec import Exposure, LoadedSpec
    from asdbench.store import Store

_SHOWN_UNITS = 20
EXPOSURES = ("same-machine", "other-machines", "none")
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])
L = TypeVar("L", bound="Generator | Part")


def _names(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split comma-separated names."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip())) if value else ()


_spec_options = [
    click.argument("spec"),
    click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override one value of the spec."),
    click.option("--plugin", "plugin_files", multiple=True, type=_FILE, help="Python file with plugins."),
]
_store_options = [
    click.option("--runs", type=_FOLDER, default=Path("runs"), show_default=True, help="Folder of the runs."),
    click.option(
        "--store", type=_FOLDER, envvar="ASDBENCH_STORE", help="Folder of finished work.  [default: RUNS/.store]"
    ),
]
_recording_options = [
    click.option("--data", type=_FOLDER, help="Folder with recordings."),
    click.option("--dataset", default="dcase", show_default=True, help="Dataset plugin that reads the folder."),
    click.option(
        "--dataset-set", "dataset_settings", multiple=True, metavar="SETTING=VALUE", help="Setting of the dataset."
    ),
    click.option("--spec", help="Benchmark whose pool of recordings is used, in place of a folder."),
    click.option("--machines", callback=_names, help="Comma-separated machine types.  [default: all]"),
]


_table_options = [
    click.option("--csv", is_flag=True, help="Print the figures of the first table in full precision as CSV."),
    click.option("--out", type=_FOLDER, help="Write all tables (CSV, Markdown, LaTeX) and pictures of curves here."),
]

_training_options = [
    click.option("--out", type=_FOLDER, required=True, help="Folder of the model; an interrupted training goes on."),
    click.option(
        "--for", "target", metavar="MACHINE", help="With exposure 'other-machines': whose anomalies stay unheard."
    ),
    click.option(
        "--exposure",
        type=click.Choice(EXPOSURES),
        help="Whose anomalies it learns from; a benchmark says it itself.  [default: same-machine]",
    ),
    click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of what is trained."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the training."),
    click.option("--plugin", "plugin_files", multiple=True, type=_FILE, help="Python file with plugins."),
]
_part_options = [*_recording_options, *_training_options]


def _with(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class _Group(click.Group):
    """Lists commands in the order of use, and turns errors into one sentence and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from asdbench.errors import did_you_mean

            _fail(f"there is no command '{args[0]}'{did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _mend_streams()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)  # a scheduler's request to stop: save what can be saved
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except UserError as error:
            _fail(str(error))
        except BrokenPipeError:
            _discard_output()  # the reader has gone (`| head`)
            sys.exit(0)
        except OSError as error:
            _discard_output()
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}")
        except click.UsageError as error:
            _fail(error.format_message())
        except KeyboardInterrupt:
            goes_on = ctx.invoked_subcommand in ("run", "train")
            hint = "; the same command continues where this one stopped" if goes_on else ""
            click.echo(f"interrupted{hint}", err=True)
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="asdbench")
def main() -> None:
    """Can generated anomalies be trusted to evaluate an anomalous sound detector, and how far?

    SPEC is a YAML file, or the name of a benchmark that ships with asdbench.
    """


@main.command()
@_with(_spec_options)
@_with(_store_options)
@click.option("--workers", type=click.IntRange(min=0), help="Worker processes, 0 for none.  [default: one a CPU]")
@click.option("--quiet", is_flag=True, help="Print the tables only.")
def run(
    spec: str,
    overrides: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs: Path,
    store: Path | None,
    workers: int | None,
    quiet: bool,
) -> None:
    """Run a benchmark and print its tables; what is finished already is not done again."""
    if not quiet:
        click.echo(f"asdbench: reading {spec}", err=True)
    from asdbench.runner import IncompleteRunError
    from asdbench.runner import run as run_benchmark

    try:
        results = run_benchmark(
            spec,
            runs=runs,
            store=store,
            workers=workers,
            overrides=overrides,
            plugin_files=plugin_files,
            quiet=quiet,
        )
    except IncompleteRunError as error:
        _print_results(error.results)
        raise
    _print_results(results)


@main.command("list")
@click.argument("name", required=False)
@click.option("--plugin", "plugin_files", multiple=True, type=_FILE, help="Python file with plugins.")
def list_plugins(name: str | None, plugin_files: tuple[Path, ...]) -> None:
    """List datasets, detectors, generators, metrics and benchmarks; with NAME, the settings of one."""
    from asdbench import listing
    from asdbench.plugins import load_files

    load_files(plugin_files)
    click.echo(listing.details(name) if name else listing.overview())


@main.command()
@_with(_spec_options)
def validate(spec: str, overrides: tuple[str, ...], plugin_files: tuple[Path, ...]) -> None:
    """Check a spec, its plugins and its machines; nothing is run and no audio is read."""
    from asdbench.plan import choose_machines

    loaded = _load(spec, overrides, plugin_files)
    machines = choose_machines(loaded)
    counts = {
        "machine": machines,
        "detector": loaded.detectors,
        "generator": loaded.generators,
        "seed": loaded.spec.seeds,
    }
    parts = (f"{len(things)} {name}{'' if len(things) == 1 else 's'}" for name, things in counts.items())
    click.echo(f"{spec}: valid: {', '.join(parts)}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--generated", is_flag=True, help="Show each generated clip with its provenance instead.")
def show(run: Path, generated: bool) -> None:
    """Print the tables of a run: its folder, or a folder of runs, of which the newest is shown."""
    from asdbench.results import load

    results = load(run)
    if generated:
        click.echo(results.generated.to_csv(index=False), nl=False)
    else:
        _print_results(results)


@main.command()
@_with(_spec_options)
@_with(_store_options)
@click.option("--all", "everything", is_flag=True, help="List every unit, also those that are stored.")
def plan(
    spec: str,
    overrides: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs: Path,
    store: Path | None,
    everything: bool,
) -> None:
    """Say what a run would do: which units would run, which are in the store.

    Recordings on disk are checked for it, and remembered in the store.
    """
    from asdbench.plan import finished, make_plan, outstanding
    from asdbench.progress import Progress
    from asdbench.runner import store_for

    loaded = _load(spec, overrides, plugin_files)
    artefacts = store_for(runs, store)
    units = make_plan(loaded, artefacts, Progress())
    done = finished(units, artefacts)
    to_run = {unit.key for unit in outstanding(units, done)}
    shown = [unit for key, unit in units.units.items() if everything or key in to_run]
    for unit in shown if everything else shown[:_SHOWN_UNITS]:
        state = "run   " if unit.key in to_run else "stored" if unit.key in done else "unused"
        click.echo(f"{state}  {unit.key[:12]}  {unit.label}")
    if not everything and len(shown) > _SHOWN_UNITS:
        click.echo(f"… and {len(shown) - _SHOWN_UNITS} more to run (--all lists every unit)")
    for stage in dict.fromkeys(unit.stage for unit in units.units.values()):
        keys = {key for key, unit in units.units.items() if unit.stage == stage}
        click.echo(f"{stage + ':':<10}{len(keys & done):>5} stored {len(keys & to_run):>5} to run")
    click.echo(f"{len(units.units)} units: {len(done)} stored, {len(to_run)} to run; store: {artefacts.root}")


@main.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@_with(_table_options)
def compare(runs: tuple[Path, ...], csv: bool, out: Path | None) -> None:
    """Put the generators of RUNS side by side; without RUNS, judge the published Table IV.

    A run is its folder. All must have been tested on the same real clips, with the same detectors and seeds. Where a
    generator was run with several values of a setting (guidance, checkpoints, exposure), a table follows it as a curve.
    """
    from asdbench.results import load
    from asdbench.side_by_side import curves, side_by_side

    loaded = [load(run) for run in dict.fromkeys(runs)]
    followed = curves(loaded)
    _show_tables([*side_by_side(loaded), *followed], csv, out, followed)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_with(_table_options)
def leaderboard(folder: Path, csv: bool, out: Path | None) -> None:
    """Rank the generators of all runs below FOLDER.

    Runs on other real clips, machines, detectors or seeds have a board of their own: ranks across them would mean
    nothing.
    """
    from asdbench import side_by_side

    _show_tables([board.table for board in side_by_side.leaderboard(folder)], csv, out)


def _show_tables(shown: list[Table], csv: bool, out: Path | None, drawn: list[Table] | None = None) -> None:
    """Print tables, or the numbers of the first; write them to a folder where there is one, with pictures of some."""
    from asdbench.report import formats, render_tables
    from asdbench.report.write import texts_of, write_texts
    from asdbench.side_by_side.curves import draw
    from asdbench.store import disk_errors

    if out is not None:
        with disk_errors(out):
            write_texts(texts_of(shown), out)
            for table in drawn or []:
                draw(table, out / f"{table.name}.png")
    if csv:
        click.echo(formats.to_csv(shown[0].numbers), nl=False)
    else:
        click.echo(render_tables(shown), nl=False)
    if out is not None:
        click.echo(f"{out}: {len(shown)} tables", err=True)


@main.command()
@click.option("--auc", type=click.FloatRange(0, 1, min_open=True, max_open=True), required=True, help="On real clips.")
@click.option("--gap", type=float, help="Gap that is to be found, as a fraction: 0.05 is 5 points.")
@click.option("--clips", type=click.IntRange(2), help="Clips of each kind, to ask which gap they show.")
@click.option("--power", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.8, show_default=True)
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
def power(auc: float, gap: float | None, clips: int | None, power: float, alpha: float) -> None:
    """Say how many clips a study needs to show a gap, or which gap a number of clips shows."""
    from asdbench.compare.power import clips_needed, detectable_gap

    if (gap is None) == (clips is None):
        raise UserError("give either --gap (to ask for clips) or --clips (to ask for the gap)")
    how = f"with a probability of {power:.0%} at level {alpha:g}, at AUC {auc:g} on real clips"
    try:
        if gap is not None:
            needed = clips_needed(auc, gap, power, alpha)
            click.echo(
                f"{needed} clips each (normal, real anomalous, generated) show a gap of {100 * abs(gap):g} points {how}"
            )
        else:
            found = detectable_gap(auc, clips or 0, power, alpha)
            shown = "no gap at all" if found != found else f"a gap of {100 * found:.1f} points or more"
            click.echo(f"{clips} clips each (normal, real anomalous, generated) show {shown} {how}")
    except ValueError as error:
        raise UserError(f"--gap {gap}: {error}") from error


@main.command("metrics")
@click.argument("reference", type=_FOLDER)
@click.argument("generated", type=_FOLDER)
@click.option("--embedding", default="logmel_stats", show_default=True, help="Embedding plugin (`asdbench list`).")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the embedding.")
@click.option("--clap", metavar="MODEL", help="Hub id or folder of a CLAP model, for the CLAP score.")
@click.option("--captions", type=_FILE, help="CSV with clip_id and caption.  [default: captions beside the clips]")
@click.option("--sample-rate", type=click.IntRange(1000, 768000), help="Read all files at this rate, in Hz.")
@click.option("--plugin", "plugin_files", multiple=True, type=_FILE, help="Python file with plugins.")
def audio_metrics(
    reference: Path,
    generated: Path,
    embedding: str,
    overrides: tuple[str, ...],
    clap: str | None,
    captions: Path | None,
    sample_rate: int | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Compare the sound of two folders: FAD, KAD, and with the right embedding KL, IS and CLAP score."""
    from asdbench import plugins
    from asdbench.audio import AUDIO_SUFFIXES
    from asdbench.metrics.audio.folders import compare_folders
    from asdbench.progress import Progress
    from asdbench.settings_text import build_plugin

    plugins.load_files(plugin_files)
    model = build_plugin(plugins.embeddings.get(embedding), overrides)
    judge = None if clap is None else build_plugin(plugins.embeddings.get("clap"), [f"model={clap!r}"])
    files = sum(path.suffix.lower() in AUDIO_SUFFIXES for part in (reference, generated) for path in part.rglob("*"))
    with Progress().steps("embedding clips", files * (1 if judge is None else 2), "clip") as steps:
        report = compare_folders(
            reference,
            generated,
            embedding=model,
            clap=judge,
            captions=captions,
            sample_rate=sample_rate,
            advance=steps.advance,
        )
    click.echo(report.text())


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--machines", help="Comma-separated machine types.  [default: all]")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the simulated dataset.")
def simulate(folder: Path, machines: str | None, overrides: tuple[str, ...]) -> None:
    """Write simulated machine recordings to FOLDER, in the layout and names of DCASE Task 2."""
    from asdbench.simulate import simulate_folder

    names = [name.strip() for name in machines.split(",")] if machines else None
    count = simulate_folder(folder, names, overrides)
    click.echo(f"{folder}: {count} clips")


class _TrainGroup(click.Group):
    """Has a command for generators, and one for each part that is trained by itself; the parts are plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from asdbench.plugins import parts

        return [*self.commands, *parts.names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        from asdbench.errors import did_you_mean
        from asdbench.plugins import parts

        if cmd_name not in parts.names():
            raise UserError(
                f"there is nothing named '{cmd_name}' to train{did_you_mean(cmd_name, self.list_commands(ctx))}"
            )

        @_with(_part_options)
        def train(**options: Any) -> None:
            _train_part(cmd_name, **options)

        summary = f"Train a part of a generator: {parts.summary(cmd_name)}\n\nSettings: asdbench list {cmd_name}."
        return click.command(cmd_name, help=summary)(train)


@main.group(cls=_TrainGroup)
def train() -> None:
    """Train what learns."""


@train.command("generator")
@click.argument("name")
@_with(_part_options)
def train_generator(name: str, overrides: tuple[str, ...], out: Path, **options: Any) -> None:
    """Train the generator NAME on all recordings of a folder, or on those that a benchmark keeps for generators.

    On several GPUs: `accelerate launch --multi_gpu -m asdbench train generator …`.
    """
    from asdbench import training

    if _learn(lambda loaded: training.generator_for_training(name, loaded, overrides), out=out, **options):
        click.echo(f"{out}: the model; use it with `--set generators.NAME.checkpoint={out}` or `asdbench generate`")


def _train_part(name: str, overrides: tuple[str, ...], out: Path, **options: Any) -> None:
    """Train a part of a generator on all recordings of a folder, or on those that a benchmark keeps for generators."""
    from asdbench import plugins
    from asdbench.settings_text import build_plugin

    part = _learn(lambda loaded: build_plugin(plugins.parts.get(name), overrides), out=out, **options)
    if part is not None:
        click.echo(f"{out}: the model; {part.usage.format(out=out)}")


def _lesson_source(
    data: Path | None, spec: str | None, exposure: Exposure | None, plugin_files: tuple[Path, ...]
) -> LoadedSpec | None:
    """The benchmark to learn from, None for a folder; plugin files are loaded."""
    from asdbench.plugins import load_files

    if (data is None) == (spec is None):
        raise UserError("give either --data (a folder) or --spec (a benchmark), to say what to learn from")
    if spec is None:
        load_files(plugin_files)
        return None
    loaded = _load(spec, (), plugin_files)
    if exposure is not None:
        raise UserError("--exposure is for --data; a benchmark says it in its field 'exposure'")
    return loaded


def _learn(
    build: Callable[[LoadedSpec | None], L],
    *,
    data: Path | None,
    dataset: str,
    dataset_settings: tuple[str, ...],
    spec: str | None,
    machines: tuple[str, ...],
    out: Path,
    target: str | None,
    exposure: Exposure | None,
    seed: int,
    plugin_files: tuple[Path, ...],
) -> L | None:
    """Build what learns, once plugins are loaded, and train it; return it where this process wrote the model."""
    from asdbench import training
    from asdbench.progress import Progress

    loaded = _lesson_source(data, spec, exposure, plugin_files)
    learner = build(loaded)
    exposure = loaded.spec.exposure if loaded is not None else exposure or "same-machine"
    clips, store = _recordings(data, dataset, dataset_settings, machines, loaded)
    lesson = training.lesson(clips, exposure, target)
    cache = store.cache_folder(learner.name)
    return learner if training.train(learner, lesson, exposure, out, cache, Progress(), seed) else None


@main.command()
@click.argument("name")
@click.argument("out", type=_FOLDER)
@_with(_recording_options)
@click.option(
    "--condition",
    type=click.Choice(["normal", "anomaly", "both"]),
    default="both",
    show_default=True,
    help="Condition of the clips.",
)
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="Clips a machine and condition.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="Attribute of the clips.")
@click.option("--caption", help="Text for generators that read one, in place of what they make of the labels.")
@click.option("--sample-rate", type=click.IntRange(1000, 768000), default=16000, show_default=True, help="In Hz.")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the generator.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the clips.")
@click.option("--plugin", "plugin_files", multiple=True, type=_FILE, help="Python file with plugins.")
def generate(
    name: str,
    out: Path,
    data: Path | None,
    dataset: str,
    dataset_settings: tuple[str, ...],
    spec: str | None,
    machines: tuple[str, ...],
    condition: str,
    count: int,
    attributes: tuple[str, ...],
    caption: str | None,
    sample_rate: int,
    overrides: tuple[str, ...],
    seed: int,
    plugin_files: tuple[Path, ...],
) -> None:
    """Write clips that the generator NAME makes to OUT, in the layout of DCASE Task 2, with how each was made.

    Labels are those of the recordings (--data or --spec), else those that the generator's model has learnt from.
    """
    from asdbench import generating, plugins
    from asdbench.plugins import load_files
    from asdbench.progress import Progress
    from asdbench.settings_text import build_plugin

    if data is not None and spec is not None:
        raise UserError("give --data (a folder) or --spec (a benchmark), not both")
    loaded = _load(spec, (), plugin_files) if spec is not None else None
    if loaded is None:
        load_files(plugin_files)
    generator = build_plugin(plugins.generators.get(name), overrides)
    if generator.needs_training():
        raise UserError(f"the generator '{name}' has not been trained: give its model, such as --set checkpoint=FOLDER")
    generator.seed = seed
    pool = None
    if data is not None or loaded is not None:
        pool, _ = _recordings(data, dataset, dataset_settings, machines, loaded)
    wish = generating.Wish(
        machines=machines,
        conditions=("normal", "anomaly") if condition == "both" else (condition,),
        count=count,
        attributes=generating.parse_attributes(attributes) if attributes else None,
        caption=caption,
    )
    examples = generator.learnt_from(None) if generator.learns else None
    if pool is not None:
        examples = pool.frame
    rows = generating.rows_for(wish, examples)
    clips = generating.generate(generator, rows, pool, sample_rate, out, Progress())
    click.echo(f"{out}: {len(clips)} clips; how each was made is in {out / generating.TABLE}")


@main.command()
@click.argument("kind", type=click.Choice(["detector", "generator"]))
@click.argument("name")
@click.option("--into", type=_FOLDER, default=Path(), help="Folder to write to.  [default: this one]")
def new(kind: str, name: str, into: Path) -> None:
    """Write a working plugin file NAME.py and its contract test test_NAME.py."""
    from asdbench.scaffold import write_plugin

    plugin, test = write_plugin(kind, name, into)
    click.echo(f"{plugin}: the plugin; use it with `--plugin {plugin}` and `use: {name}`")
    click.echo(f"{test}: its contract test for pytest; `asdbench check {plugin}` runs the same checks")


@main.command()
@click.argument("plugin")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the plugin.")
def check(plugin: str, overrides: tuple[str, ...]) -> None:
    """Run the contract tests on PLUGIN: a Python file, or the name of a plugin."""
    from asdbench.checking import check_plugin

    if not check_plugin(plugin, overrides):
        sys.exit(1)


def _load(spec: str, overrides: tuple[str, ...], plugin_files: tuple[Path, ...]) -> LoadedSpec:
    from asdbench.spec import load_spec

    return load_spec(spec, overrides, plugin_files)


def _recordings(
    data: Path | None,
    dataset: str,
    dataset_settings: tuple[str, ...],
    machines: tuple[str, ...],
    loaded: LoadedSpec | None,
) -> tuple[ClipSet, Store]:
    """The clips of a folder or of a benchmark's pool, and the store that they were found with."""
    from asdbench import recordings
    from asdbench.progress import Progress
    from asdbench.runner import DEFAULT_RUNS, store_for

    store = store_for(DEFAULT_RUNS, None)
    store.prepare()
    if loaded is not None:
        return recordings.of_benchmark(loaded, machines, store, Progress()), store
    assert data is not None
    return recordings.of_folder(data, dataset, dataset_settings, machines, store, Progress()), store


def _print_results(results: Results) -> None:
    click.echo(str(results))
    folder = results.folder
    click.echo(f"Results: {folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder}")


def _mend_streams() -> None:
    """Make sure that there is somewhere to write to, and that tables can be printed in any encoding."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _discard_output() -> None:
    """Have what is still to be written to standard output go nowhere, so that leaving says nothing more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)


def _fail(sentence: str) -> NoReturn:
    click.echo(f"asdbench: error: {' '.join(sentence.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
