"""What `asdbench check` does: the contract tests of a plugin file or a plugin, one line each."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from asdbench import plugins
from asdbench.errors import UserError, did_you_mean
from asdbench.plugins import Detector, Generator, Plugin, Registry
from asdbench.settings_text import build_plugin, parse_assignment
from asdbench.testing import checks_for

_REGISTRIES: tuple[Registry[Any], ...] = (plugins.datasets, plugins.detectors, plugins.generators)


def check_plugin(target: str, assignments: Iterable[str]) -> bool:
    """Check every plugin of a file, or the plugin of a name; print one line a check; return whether all hold.

    Raises:
        UserError: no such file or plugin, or a wrong setting.
    """
    settings = dict(parse_assignment(text) for text in assignments)
    sound = True
    for name, plugin in _targets(target):
        instance = build_plugin(plugin, assignments)
        if isinstance(instance, Generator) and instance.needs_training():
            raise UserError(f"'{name}' has to be trained before it is checked: name a model, --set checkpoint=FOLDER")
        if isinstance(instance, Detector) and instance.looks_up:
            raise UserError(f"'{name}' looks scores up; without a benchmark there is nothing to check")
        click.echo(f"{name}:")
        for what, check in checks_for(plugin, settings):
            try:
                check()
            except Exception as error:
                with suppress(Exception):  # an error that cannot be printed
                    what += f": {type(error).__name__}: {error}"
                click.echo(f"  FAILED  {what}")
                sound = False
                break  # later checks rely on earlier ones
            click.echo(f"  ok      {what}")
    return sound


def _targets(target: str) -> list[tuple[str, type[Plugin]]]:
    if target.endswith(".py"):
        loaded = plugins.load_files([Path(target)])
        found = [
            (name, registry.get(name)) for registry in _REGISTRIES for kind, name in loaded if kind == registry.kind
        ]
        if not found:
            raise UserError(f"{target}: the file registers no dataset, detector or generator")
        return found
    for registry in _REGISTRIES:
        if target in registry.names():
            return [(target, registry.get(target))]
    if target in plugins.metrics.names():
        raise UserError(f"'{target}' is a metric; contract tests are for datasets, detectors and generators")
    known = [name for registry in _REGISTRIES for name in registry.names()]
    raise UserError(f"there is no plugin '{target}'{did_you_mean(target, known)}")
