"""Commands of generators: train one or a part of one, generate clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asdbench.cli.options import (
    FOLDER,
    load,
    part_options,
    plugin_option,
    recording_options,
    recordings_of,
    with_options,
)
from asdbench.errors import UserError

if TYPE_CHECKING:
    from asdbench.plugins import Generator, Part
    from asdbench.spec import Exposure, LoadedSpec


L = TypeVar("L", bound="Generator | Part")


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

        @with_options(part_options)
        def train(**options: Any) -> None:
            _train_part(cmd_name, **options)

        summary = f"Train a part of a generator: {parts.summary(cmd_name)}\n\nSettings: asdbench list {cmd_name}."
        return click.command(cmd_name, help=summary)(train)


@click.group(cls=_TrainGroup)
def train() -> None:
    """Train what learns."""


@train.command("generator")
@click.argument("name")
@with_options(part_options)
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
        click.echo(f"{out}: the model; {part.usage_with(out)}")


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
    loaded = load(spec, (), plugin_files)
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
    clips, store = recordings_of(data, dataset, dataset_settings, machines, loaded)
    lesson = training.lesson(clips, exposure, target)
    cache = store.cache_folder(learner.name)
    return learner if training.train(learner, lesson, exposure, out, cache, Progress(), seed) else None


@click.command()
@click.argument("name")
@click.argument("out", type=FOLDER)
@with_options(recording_options)
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
@plugin_option
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
    loaded = load(spec, (), plugin_files) if spec is not None else None
    if loaded is None:
        load_files(plugin_files)
    generator = build_plugin(plugins.generators.get(name), overrides)
    if generator.needs_training():
        raise UserError(f"the generator '{name}' has not been trained: give its model, such as --set checkpoint=FOLDER")
    generator.seed = seed
    pool = None
    if data is not None or loaded is not None:
        pool, _ = recordings_of(data, dataset, dataset_settings, machines, loaded)
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
