"""Words for the condition of a recording, and patterns that name folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

import pydantic

from asdbench import UserError

FOLDER_WORDS = {"normal": "normal", "anomaly": "anomaly", "abnormal": "anomaly", "anomalous": "anomaly"}
"""Names of folders that say the condition where no setting does, in any case."""

CELL_WORDS = FOLDER_WORDS | {
    **dict.fromkeys(("0", "ok", "good", "healthy", "pass", "passed", "fine", "io", "i.o."), "normal"),
    **dict.fromkeys(("1", "ng", "nok", "not ok", "bad", "faulty", "fault", "broken", "defect"), "anomaly"),
    **dict.fromkeys(("defective", "damaged", "unhealthy", "fail", "failed", "failure", "nio", "n.i.o."), "anomaly"),
}
"""Words that say the condition in a manifest where no setting does, in any case."""


def _listed(value: object) -> object:
    several = [value] if isinstance(value, str) else value
    if isinstance(several, list | tuple) and several and all(isinstance(one, str) and one for one in several):
        return tuple(several)
    raise ValueError("expected a name or glob, or a list of them")


Patterns = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed)]
"""One name or glob, or several."""


@dataclass(frozen=True)
class Conditions:
    """Which names mean normal and which anomalous.

    Attributes:
        normal, anomaly: names or globs, in any case; None for the usual words.
    """

    normal: Sequence[str] | None = None
    anomaly: Sequence[str] | None = None

    @property
    def are_given(self) -> bool:
        """Whether both are given, so that other names mean neither."""
        return self.normal is not None and self.anomaly is not None

    def of(self, name: str, words: dict[str, str], place: str) -> str:
        """The condition that a name says, "" where it says none.

        Args:
            name: of a folder, or what stands in a cell.
            words: the usual words, for a condition that has no patterns.
            place: for messages.

        Raises:
            UserError: it says both.
        """
        usual = words.get(name.lower(), "")
        said = [
            condition
            for condition, patterns in (("normal", self.normal), ("anomaly", self.anomaly))
            if (usual == condition if patterns is None else matches(name, patterns))
        ]
        if len(said) > 1:
            raise UserError(f"{place}: '{name}' is named by both 'normal' and 'anomaly'; expected one of them")
        return said[0] if said else ""


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of the names, or fits one of the globs, in any case."""
    return any(name.lower() == pattern.lower() or fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def is_glob(text: str) -> bool:
    """Whether a text is a glob rather than a name."""
    return any(mark in text for mark in "*?[")
