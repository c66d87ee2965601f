"""Commands for plugins: list them, write a new one, run its contract tests."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from asdbench.cli.options import FOLDER, plugin_option


@click.command("list")
@click.argument("name", required=False)
@plugin_option
def list_plugins(name: str | None, plugin_files: tuple[Path, ...]) -> None:
    """List datasets, detectors, generators, metrics and benchmarks; with NAME, the settings of one."""
    from asdbench import listing
    from asdbench.plugins import load_files

    load_files(plugin_files)
    click.echo(listing.details(name) if name else listing.overview())


@click.command()
@click.argument("kind", type=click.Choice(["detector", "generator"]))
@click.argument("name")
@click.option("--into", type=FOLDER, default=Path(), help="Folder to write to.  [default: this one]")
def new(kind: str, name: str, into: Path) -> None:
    """Write a working plugin file NAME.py and its contract test test_NAME.py."""
    from asdbench.scaffold import write_plugin

    plugin, test = write_plugin(kind, name, into)
    click.echo(f"{plugin}: the plugin; use it with `--plugin {plugin}` and `use: {name}`")
    click.echo(f"{test}: its contract test for pytest; `asdbench check {plugin}` runs the same checks")


@click.command()
@click.argument("plugin")
@click.option("--set", "overrides", multiple=True, metavar="SETTING=VALUE", help="Setting of the plugin.")
def check(plugin: str, overrides: tuple[str, ...]) -> None:
    """Run the contract tests on PLUGIN: a Python file, or the name of a plugin."""
    from asdbench.checking import check_plugin

    if not check_plugin(plugin, overrides):
        sys.exit(1)
