"""Commands for recordings: compare the sound of two folders, simulate machines."""

from __future__ import annotations

from pathlib import Path

import click

from asdbench.cli.options import FILE, FOLDER, bad_clip_options, bad_clips_listed, plugin_option, with_options


@click.command("metrics")
@click.argument("reference", type=FOLDER)
@click.argument("generated", type=FOLDER)
@click.option("--embedding", default="logmel_stats", show_default=True, help="Embedding plugin (`asdbench list`).")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the embedding.")
@click.option("--clap", metavar="MODEL", help="Hub id or folder of a CLAP model, for the CLAP score.")
@click.option("--captions", type=FILE, help="CSV with clip_id and caption.  [default: captions beside the clips]")
@click.option(
    "--sample-rate",
    type=click.IntRange(1000, 768000),
    help="Read all files at this rate, in Hz.  [default: their own, or the embedding's where they differ]",
)
@with_options(bad_clip_options)
@plugin_option
def audio_metrics(
    reference: Path,
    generated: Path,
    embedding: str,
    overrides: tuple[str, ...],
    clap: str | None,
    captions: Path | None,
    sample_rate: int | None,
    on_bad_clip: str,
    bad_list: Path | None,
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
    progress = Progress()
    with (
        bad_clips_listed(bad_list),
        progress.steps("embedding clips", files * (1 if judge is None else 2), "clip") as steps,
    ):
        report = compare_folders(
            reference,
            generated,
            embedding=model,
            clap=judge,
            captions=captions,
            sample_rate=sample_rate,
            skip_bad_clips=on_bad_clip == "skip",
            advance=steps.advance,
        )
    click.echo(report.text())


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--machines", help="Comma-separated machine types.  [default: all]")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the simulated dataset.")
def simulate(folder: Path, machines: str | None, overrides: tuple[str, ...]) -> None:
    """Write simulated machine recordings to FOLDER, in the layout and names of DCASE Task 2."""
    from asdbench.simulate import simulate_folder

    names = [name.strip() for name in machines.split(",")] if machines else None
    count = simulate_folder(folder, names, overrides)
    click.echo(f"{folder}: {count} clips")
