"""Commands of a benchmark: run it, check it, plan it, show what it left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asdbench.cli.options import load, spec_options, store_options, with_options

if TYPE_CHECKING:
    from asdbench.results import Results
    from asdbench.spec import LoadedSpec


_SHOWN_UNITS = 20


@click.command()
@with_options(spec_options)
@with_options(store_options)
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


@click.command()
@with_options(spec_options)
@click.option("--audio", is_flag=True, help="Open every recording, and list all that cannot be used.")
def validate(spec: str, overrides: tuple[str, ...], plugin_files: tuple[Path, ...], audio: bool) -> None:
    """Check a spec, its plugins and its machines; nothing is run, and no audio is read unless you ask for it."""
    from asdbench.plan import choose_machines

    loaded = load(spec, overrides, plugin_files)
    machines = choose_machines(loaded)
    counts = {
        "machine": machines,
        "detector": loaded.detectors,
        "generator": loaded.generators,
        "seed": loaded.spec.seeds,
    }
    parts = (_counted(len(things), name) for name, things in counts.items())
    if audio:
        click.echo(_opened(loaded, machines))
    click.echo(f"{spec}: valid: {', '.join(parts)}")


def _opened(loaded: LoadedSpec, machines: list[str]) -> str:
    """Open the recordings of machines and divide them as a run would; return how many there are.

    Raises:
        UserError: some cannot be used; all of them are printed before.
    """
    from asdbench.audio import inspect_all
    from asdbench.inspection import BadClipsError
    from asdbench.plan import divided_clips, listed_clips
    from asdbench.progress import Progress

    if loaded.dataset.makes_audio:
        return f"the dataset '{loaded.spec.dataset.use}' makes its recordings; there is none to open"
    try:
        sound = listed_clips(loaded, machines, lambda paths, tell: list(inspect_all(paths, tell)), Path(), Progress())
    except BadClipsError as error:
        for one in error.bad:
            click.echo(f"{one.path}: {one.problem}")
        raise
    usable, _ = divided_clips(loaded, sound)
    skipped = sum(map(len, sound.skipped.values()))
    count = sum(map(len, sound.sets.values()))
    what = f"{_counted(count, 'recording')} of {_counted(len(usable), 'machine')} can be used"
    return what + (f", {skipped} {'is' if skipped == 1 else 'are'} skipped" if skipped else "")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


@click.command()
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


@click.command()
@with_options(spec_options)
@with_options(store_options)
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
    from asdbench.plan import finished, outstanding
    from asdbench.progress import Progress
    from asdbench.runner import plan_run, store_for

    loaded = load(spec, overrides, plugin_files)
    artefacts = store_for(runs, store)
    units = plan_run(loaded, artefacts, runs, Progress())
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


def _print_results(results: Results) -> None:
    click.echo(str(results))
    folder = results.folder
    click.echo(f"Results: {folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder}")
