"""Settings written on the command line: ``SETTING=VALUE``, the value as YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pydantic

from asdbench.errors import UserError, did_you_mean
from asdbench.plugins import Plugin
from asdbench.validation import first_error, shown
from asdbench.yaml_file import parse_value

P = TypeVar("P", bound=Plugin)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``field=value``.

    Raises:
        UserError: there is no ``=``, or the value is not YAML.
    """
    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        raise UserError(f"--set {text}: expected NAME=VALUE")
    return field.strip(), parse_value(value, f"--set {text}")


def build_plugin(plugin: type[P], assignments: Iterable[str], given: Mapping[str, Any] | None = None) -> P:
    """Make a plugin with settings from the command line.

    Args:
        plugin: its class.
        assignments: ``NAME=VALUE`` texts.
        given: settings that hold where the command line says nothing, such as those of a benchmark.

    Raises:
        UserError: a setting is unknown or has a wrong value.
    """
    settings = {**(given or {}), **dict(parse_assignment(text) for text in assignments)}
    for name in settings:
        if name not in plugin.setting_names() and not plugin.rest_name():
            raise UserError(f"--set {name}: there is no setting '{name}'{did_you_mean(name, plugin.setting_names())}")
        if isinstance(settings[name], bool) and plugin.is_number(name):
            raise UserError(f"--set {name}={settings[name]}: found {settings[name]}, expected a number")
    try:
        return plugin(**settings)
    except pydantic.ValidationError as error:
        where, sentence = first_error(error, plugin.setting_names())
        name = ".".join(map(str, where))
        raise UserError(f"--set {name}={shown(settings[name]) if name in settings else '…'}: {sentence}") from None
    except pydantic.errors.PydanticUserError as error:
        raise UserError(f"{plugin.__name__} cannot be set up: {error.message}") from None
