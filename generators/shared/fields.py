"""Values that were read from JSON, checked by type.

The libraries take whatever a file says, put a default where it says nothing, and fail late where a value is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from asdbench import UserError

__all__ = ["Field", "check_fields", "is_count", "is_number"]

Field: TypeAlias = tuple[Callable[[Any], bool], str]
"""What a value must satisfy, and that in words."""

_LARGEST = 3.4e38  # of single precision


def check_fields(values: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    """Check values by name.

    Raises:
        UserError: If one is missing or not as its field asks for; the message names it.
    """
    for name, (fits, expected) in fields.items():
        if name not in values:
            raise UserError(f"there is no {name}, expected {expected}")
        if not fits(values[name]):
            raise UserError(f"{name} is {_shown(values[name])}, expected {expected}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that single precision holds; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def is_count(value: Any) -> bool:
    """Whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
