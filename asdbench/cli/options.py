"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from asdbench.clips import ClipSet
    from asdbench.spec import LoadedSpec
    from asdbench.store import Store


EXPOSURES = ("same-machine", "other-machines", "none")
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def bad_clips_listed(file: Path | None) -> Iterator[None]:
    """Write all recordings that cannot be used to a CSV file, where they are refused; a sentence names some only."""
    from asdbench.inspection import SHOWN, BadClipsError

    try:
        yield
    except BadClipsError as error:
        if file is None:
            hint = "`--bad-clips FILE` lists all of them in a file" if len(error.bad) > SHOWN else ""
        else:
            with file.open("w", newline="", encoding="utf-8") as opened:
                rows = csv.writer(opened)
                rows.writerow(("path", "problem"))
                rows.writerows((one.path, one.problem) for one in error.bad)
            hint = f"all are listed in {file}"
        raise BadClipsError(error.bad, error.place, hint) from error


def split_names(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split comma-separated names."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip())) if value else ()


bad_clip_options = [
    click.option(
        "--on-bad-clip",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="Refuse recordings that cannot be used, or leave them out and say so.",
    ),
    click.option("--bad-clips", "bad_list", type=FILE, help="CSV file to list them all in, where they are refused."),
]
plugin_option = click.option("--plugin", "plugin_files", multiple=True, type=FILE, help="Python file with plugins.")

spec_options = [
    click.argument("spec"),
    click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override one value of the spec."),
    plugin_option,
]

store_options = [
    click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder of the runs."),
    click.option(
        "--store", type=FOLDER, envvar="ASDBENCH_STORE", help="Folder of finished work.  [default: RUNS/.store]"
    ),
]

folder_options = [
    click.option("--data", type=FOLDER, help="Folder with recordings."),
    click.option("--dataset", default="dcase", show_default=True, help="Dataset plugin that reads the folder."),
    click.option(
        "--dataset-set", "dataset_settings", multiple=True, metavar="SETTING=VALUE", help="Setting of the dataset."
    ),
]
recording_options = [
    *folder_options,
    click.option("--spec", help="Benchmark whose pool of recordings is used, in place of a folder."),
    click.option("--machines", callback=split_names, help="Comma-separated machine types.  [default: all]"),
]

table_options = [
    click.option("--csv", is_flag=True, help="Print the figures of the first table in full precision as CSV."),
    click.option("--out", type=FOLDER, help="Write all tables (CSV, Markdown, LaTeX) and pictures of curves here."),
]

training_options = [
    click.option("--out", type=FOLDER, required=True, help="Folder of the model; an interrupted training goes on."),
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
    plugin_option,
]

part_options = [*recording_options, *training_options]


def with_options(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    """Decorate a command with options, in their order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def load(spec: str, overrides: tuple[str, ...], plugin_files: tuple[Path, ...]) -> LoadedSpec:
    """The benchmark of the options `spec_options`."""
    from asdbench.spec import load_spec

    return load_spec(spec, overrides, plugin_files)


def recordings_of(
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
