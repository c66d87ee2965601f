"""What pydantic finds wrong, as one sentence for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from asdbench.errors import did_you_mean

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument")
_EXPECTED = {
    "too_short": "expected at least {min_length} of them",
    "string_pattern_mismatch": "expected letters, digits, _ and -",
    "string_too_long": "expected at most {max_length} characters",
    "model_type": "expected a mapping such as {{use: NAME}}",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
}


def first_error(
    error: pydantic.ValidationError, known: Iterable[str], nested: Mapping[str, Iterable[str]] | None = None
) -> tuple[tuple[str | int, ...], str]:
    """Pick the most telling error and put it in words.

    Args:
        error: what pydantic raised; a misspelt word comes before what it left out.
        known: names of the fields, for "did you mean".
        nested: names of the fields of nested mappings, by the name of the field that holds them.

    Returns:
        Where the value stands, and what is wrong with it.
    """
    first = min(error.errors(include_url=False), key=lambda item: item["type"] not in _UNKNOWN)
    where = tuple(step for step in first["loc"] if step not in ("function-plain", "[key]"))
    others = error.error_count() - 1
    more = f" (and {others} more {'field is' if others == 1 else 'fields are'} wrong)" if others else ""
    if first["type"] in _UNKNOWN:
        word = str(where[-1])
        names = known if len(where) == 1 else (nested or {}).get(str(where[0]), ())
        return where, f"there is no setting '{word}'{did_you_mean(word, names)}{more}"
    if first["type"] in _MISSING:
        return where, f"this setting is required{more}"
    return where, f"{_found(first['input'])}{_expected(first)}{more}"


def _found(value: Any) -> str:
    if isinstance(value, dict | list) and value:
        return ""
    return f"found {shown(value)}, "


def _expected(item: Any) -> str:
    if item["type"] in _EXPECTED:
        return _EXPECTED[item["type"]].format(**item.get("ctx", {}))
    if item["type"] == "value_error":
        return re.sub(r"^Value error, ?", "", item["msg"])
    return "expected " + re.sub(r"^Input should be ?", "", item["msg"])


def shown(value: Any) -> str:
    """A value as it is quoted in messages: on one line, and not too long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
