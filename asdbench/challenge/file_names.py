"""Names of score and decision files of DCASE Task 2: what they say, and how asdbench writes them.

| year | name |
|---|---|
| 2020 | ``anomaly_score_<machine>_id_<nn>.csv`` |
| 2021 | ``anomaly_score_<machine>_section_<ss>_source_test.csv``, the same with ``target`` |
| 2022 on | ``anomaly_score_<machine>_section_<ss>_test.csv`` |
| baselines of 2023 on | ``anomaly_score_DCASE2023T2<machine>_section_<ss>_test_seed<seed>_id(<ids>).csv`` |

Decisions have the same names with ``decision_result`` in place of ``anomaly_score``. ``…_train.csv`` holds the scores
of training clips: no challenge asks for them, but thresholds follow from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from asdbench import UserError

SCORES, DECISIONS = "anomaly_score", "decision_result"

EXPECTED = "anomaly_score_<machine>_section_<ss>_test.csv"
"""For error messages."""

_NAME = re.compile(
    r"(?P<kind>anomaly_score|decision_result)_(?:DCASE(?P<year>\d{4})T2)?(?P<machine>.+?)_"
    r"(?:id_(?P<id>\d{2,})|section_(?P<section>\d{2,})(?:_(?P<domain>source|target))?)(?:_(?P<split>train|test))?"
    r"(?P<suffix>_seed(?P<seed>\d+)(?:_id\([^()]*\))?\w*)?\.csv"
)
_LOOKS_LIKE_ONE = re.compile(r"(anomaly[-_ ]?score|decision[-_ ]?result).*\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class FileName:
    """What the name of a score or decision file says; "" stands for what it does not say.

    Attributes:
        kind: `SCORES` or `DECISIONS`.
        machine: machine type.
        section: section or machine ID, such as "00".
        by_id: the name follows the scheme of 2020.
        domain: "source", "target" or "" (2021 has a file for each).
        split: "train" or "test".
        year: year of the challenge, None where the name does not say it.
        seed: seed of a baseline's run.
    """

    kind: str
    machine: str
    section: str
    by_id: bool = False
    domain: str = ""
    split: str = "test"
    year: int | None = None
    seed: str = ""

    @property
    def years(self) -> range:
        """The years whose naming it is."""
        if self.by_id:
            return range(2020, 2021)
        if self.domain:
            return range(2021, 2022)
        return range(2022, 2027) if self.year is None else range(self.year, self.year + 1)


def parse_file_name(name: str) -> FileName | None:
    """Read the name of a file; None where it is neither a score nor a decision file.

    Raises:
        UserError: the name looks like that of one, but follows no scheme, or that of another year than it says.
    """
    match = _NAME.fullmatch(name)
    if match is not None and (match["id"] or match["domain"] or match["split"]):
        found = FileName(
            kind=match["kind"],
            machine=match["machine"],
            section=match["id"] or match["section"],
            by_id=match["id"] is not None,
            domain=match["domain"] or "",
            split=match["split"] or "test",
            year=int(match["year"]) if match["year"] else None,
            seed=match["seed"] or "",
        )
        allowed = replace(found, year=None).years
        if found.year is not None and found.year not in allowed:
            expected = f"{allowed[0]} to {allowed[-1]}" if len(allowed) > 1 else str(allowed[0])
            raise UserError(f"{name}: found the year {found.year}, but files are named so in {expected}")
        return found
    if _LOOKS_LIKE_ONE.fullmatch(name):
        raise UserError(
            f"{name}: not the name of a score or decision file; expected {EXPECTED}, decision_result_… likewise, or "
            "anomaly_score_<machine>_id_<nn>.csv (2020)"
        )
    return None


def format_file_name(name: FileName) -> str:
    """The name of a file as it is handed in: without year and seed."""
    part = f"id_{name.section}" if name.by_id else f"section_{name.section}"
    domain = f"_{name.domain}" if name.domain else ""
    split = "" if name.by_id and name.split == "test" else f"_{name.split}"
    return f"{name.kind}_{name.machine}_{part}{domain}{split}.csv"


def can_be_named(machine: str, section: str) -> bool:
    """Whether files of a machine and section can be named so that the name is read back."""
    name = FileName(SCORES, machine, section)
    written = format_file_name(name)
    match = _NAME.fullmatch(written) if "/" not in written and "\\" not in written else None
    return match is not None and parse_file_name(written) == name
