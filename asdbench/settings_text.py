"""Settings written on the command line: ``SETTING=VALUE``, the value as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import pydantic
import yaml

from asdbench.errors import UserError, did_you_mean
from asdbench.plugins import Plugin

P = TypeVar("P", bound=Plugin)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``field=value``.

    Raises:
        UserError: there is no ``=``, or the value is not YAML.
    """
    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        raise UserError(f"--set {text}: expected NAME=VALUE")
    try:
        return field.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {text}: {value!r} is not a valid YAML value") from None


def build_plugin(plugin: type[P], assignments: Iterable[str]) -> P:
    """Make a plugin with settings from the command line.

    Raises:
        UserError: a setting is unknown or has a wrong value.
    """
    settings = dict(parse_assignment(text) for text in assignments)
    for name in settings:
        if name not in plugin.setting_names():
            raise UserError(f"--set {name}: there is no setting '{name}'{did_you_mean(name, plugin.setting_names())}")
    try:
        return plugin(**settings)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(step) for step in first["loc"])
        raise UserError(f"--set {name}={settings.get(name)}: {first['msg']}") from None
