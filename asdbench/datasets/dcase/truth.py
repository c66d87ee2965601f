"""Truth of anonymous evaluation clips, from the CSV files that the organisers publish after a challenge.

Layouts: ``ground_truth_{data,domain,attributes}/ground_truth_<machine>_section_<ss>[_source|_target]_test.csv`` without
a header (one clip and one value a row), ``ground_truth_attributes/<machine>/attributes_<ss>.csv`` (2022), and
``eval_data_list*.csv`` (2020): a row with a machine type alone, then rows of clip, full name and 0 or 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from asdbench import UserError
from asdbench.datasets.dcase.attributes import TABLE_NAME, merge_attributes, read_attributes
from asdbench.datasets.dcase.names import ClipName, clip_key, parse_attributes, parse_name, stem
from asdbench.datasets.dcase.tree import machine_name
from asdbench.datasets.listing import Folder
from asdbench.datasets.tables import Row, read_rows
from asdbench.errors import did_you_mean

_FOLDER = re.compile(r"ground_truth_(?P<kind>data|domain|attributes)", re.IGNORECASE)
_FILE = re.compile(
    r"ground_truth_(?P<machine>.+?)_(?:section|id)_\d+(?:_(?:source|target))?(?:_test)?\.csv", re.IGNORECASE
)
_LIST = re.compile(r"eval_data_list\w*\.csv", re.IGNORECASE)
_CONDITIONS = {"0": "normal", "1": "anomaly", "normal": "normal", "anomaly": "anomaly"}
_DOMAINS = {"0": "source", "1": "target", "source": "source", "target": "target"}


@dataclass
class ClipTruth:
    """What the truth files say of one clip.

    Attributes:
        values: by kind ("condition", "domain"): the value and where it stands.
        attributes: the attributes and where they stand.
    """

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def say(self, kind: str, value: str, place: str) -> None:
        """Note a value; another value for the same clip is an error."""
        known = self.values.get(kind)
        if known is not None and known[0] != value:
            raise UserError(f"{place}: the clip's {kind} is '{value}' here but '{known[0]}' in {known[1]}")
        self.values.setdefault(kind, (value, place))
        self.places.setdefault(kind, place)

    def describe(self, attributes: dict[str, str], place: str) -> None:
        """Note attributes; a second value for one of them is an error."""
        known_place = self.places.get("attributes", "")
        self.attributes = merge_attributes(self.attributes, attributes, place, known_place)
        self.places.setdefault("attributes", place)


Truth = dict[str, dict[str, ClipTruth]]
"""What is known of each clip, by machine type and by `asdbench.datasets.dcase.names.clip_key`."""


def truth_files(folders: Iterable[Folder]) -> list[tuple[Folder, str]]:
    """Find the truth files among the CSV files of folders."""
    found = []
    for folder in folders:
        inside = any(_FOLDER.fullmatch(part) for part in folder.path.replace("\\", "/").split("/")[-2:])
        for name in folder.tables:
            if _LIST.fullmatch(name) or _FILE.fullmatch(name) or (inside and TABLE_NAME.fullmatch(name)):
                found.append((folder, name))
    return found


def read_truth(files: Iterable[tuple[Folder, str]], any_names: bool = False) -> Truth:
    """Read truth files.

    Args:
        files: what `truth_files` found.
        any_names: whether clips may have other names than those of DCASE Task 2.

    Raises:
        UserError: a file is malformed, or two rows contradict each other; the message names file and row.
    """
    truth: Truth = {}
    for folder, name in files:
        path = folder.file(name)
        if _LIST.fullmatch(name):
            _read_list(path, truth)
        elif TABLE_NAME.fullmatch(name):
            clips = truth.setdefault(machine_name(folder.parts[-1] if folder.parts else ""), {})
            for listed in read_attributes(path):
                clips.setdefault(listed.clip, ClipTruth()).describe(listed.attributes, listed.place)
        else:
            match = _FILE.fullmatch(name)
            assert match is not None
            _read_values(path, _kind(folder, path), truth.setdefault(match["machine"], {}), any_names)
    return truth


def _kind(folder: Folder, path: str) -> str:
    for part in reversed(folder.path.replace("\\", "/").split("/")):
        match = _FOLDER.fullmatch(part)
        if match is not None:
            return match["kind"].lower()
    raise UserError(
        f"{path}: expected it in a folder named ground_truth_data, ground_truth_domain or ground_truth_attributes"
    )


def _read_values(path: str, kind: str, clips: dict[str, ClipTruth], any_names: bool) -> None:
    named: dict[str, str] = {}
    for row in _clip_rows(path, any_names):
        clip = clip_key(row.cells[0])
        if clip in named:
            raise UserError(
                f"{row.place}: the clip '{row.cells[0]}' stands there a second time (first in {named[clip]})"
            )
        named[clip] = row.place
        known = clips.setdefault(clip, ClipTruth())
        if kind == "data":
            known.say("condition", _word(row, 1, _CONDITIONS, "normal or anomaly"), row.place)
        elif kind == "domain":
            known.say("domain", _word(row, 1, _DOMAINS, "source or target"), row.place)
        else:
            known.describe(_attributes(row), row.place)


def _read_list(path: str, truth: Truth) -> None:
    machine = ""
    for row in read_rows(path):
        cells = [cell for cell in row.cells if cell]
        if len(cells) == 1 and not _is_clip(cells[0]):
            machine = cells[0]
            continue
        if not machine:
            raise UserError(f"{row.place}: a clip stands before the first row that holds a machine type alone")
        _require_clip(row)
        full = _full_name(row)
        known = truth.setdefault(machine, {}).setdefault(stem(row.cells[0]), ClipTruth())
        if len(row.cells) > 2:
            known.say("condition", _word(row, 2, _CONDITIONS, "normal or anomaly"), row.place)
        known.say("condition", full.condition, row.place)
        if full.domain:
            known.say("domain", full.domain, row.place)
        if full.attributes:
            known.describe(full.attributes, row.place)


def _full_name(row: Row) -> ClipName:
    full = parse_name(stem(row.cells[1])) if len(row.cells) > 1 else None
    if full is None or not full.condition:
        raise UserError(f"{row.place}: expected a clip's name and its full name, such as anomaly_id_01_00000000.wav")
    return full


def _clip_rows(path: str, any_names: bool) -> Iterator[Row]:
    for position, row in enumerate(read_rows(path)):
        if (
            position == 0
            and not _is_clip(row.cells[0])
            and row.cells[0].lower() in ("file_name", "filename", "file", "name")
        ):
            continue
        if not any_names:
            _require_clip(row)
        yield row


def _is_clip(cell: str) -> bool:
    return parse_name(stem(cell)) is not None


def _require_clip(row: Row) -> None:
    if not _is_clip(row.cells[0]):
        raise UserError(f"{row.place}: '{row.cells[0]}' is not the name of a clip, such as section_00_0000.wav")


def _word(row: Row, index: int, words: dict[str, str], meaning: str) -> str:
    if len(row.cells) != index + 1:
        raise UserError(f"{row.place}: {len(row.cells)} cells, but {index + 1} are expected")
    value = row.cells[index].lower()
    if value not in words:
        raise UserError(f"{row.place}: '{row.cells[index]}' is neither 0 nor 1 ({meaning}){did_you_mean(value, words)}")
    return words[value]


def _attributes(row: Row) -> dict[str, str]:
    """Attributes of a row without header: the clip's full name, the text of its attributes, or names and values."""
    cells = [cell for cell in row.cells[1:] if cell]
    if len(cells) > 1:
        if len(cells) % 2:
            raise UserError(
                f"{row.place}: attributes come as names and values in turn, but there are {len(cells)} cells"
            )
        return dict(zip(cells[::2], cells[1::2], strict=True))
    if not cells:
        return {}
    full = parse_name(stem(cells[0]))
    return full.attributes if full is not None else parse_attributes(cells[0])
