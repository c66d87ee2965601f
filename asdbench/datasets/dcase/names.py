"""What the name of a DCASE Task 2 clip says: section, domain, split, condition and attributes, found by pattern.

Names in use: ``section_00_source_train_normal_0046_vel_21_loc_A`` (2021 on, MIMII DG), the same without ``_train`` or
``_test`` (2024), ``section_03_source_test_0000`` (2021 evaluation) and ``section_00_0000`` (evaluation from 2022 on),
``normal_id_00_00000000`` and ``id_01_00000000`` (2020).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from asdbench.audio import AUDIO_SUFFIXES

EXPECTED_NAMES = (
    "section_00_source_train_normal_0000_<attributes>.wav, section_00_0000.wav or normal_id_00_00000000.wav"
)
"""For error messages."""

_SECTION_NAME = re.compile(
    r"section_(?P<section>\d{2,})"
    r"(?:_(?P<domain>source|target))?"
    r"(?:_(?P<split>train|test))?"
    r"(?:_(?P<condition>normal|anomaly))?"
    r"_\d{4,}"
    r"(?:_(?P<attributes>.*))?"
)
_ID_NAME = re.compile(r"(?:(?P<condition>normal|anomaly)_)?id_(?P<section>\d{2,})_\d{4,}")
_NO_ATTRIBUTE = "noattribute"


@dataclass(frozen=True)
class ClipName:
    """What a clip's name says; "" stands for what it does not say.

    Attributes:
        by_id: the name follows the scheme of 2020, which knows machine IDs and no domains.
        section: section or machine ID, such as "00".
        domain: "source", "target" or "".
        split: "train", "test" or "".
        condition: "normal", "anomaly" or "".
        attributes: such as ``{"vel": "21", "loc": "A"}``.
    """

    by_id: bool
    section: str
    domain: str = ""
    split: str = ""
    condition: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


def stem(file_name: str) -> str:
    """Name of an audio file without folders and suffix; values such as ``ac_0.11`` hold dots that are no suffix."""
    name = file_name.replace("\\", "/").rpartition("/")[2]
    base, _, suffix = name.rpartition(".")
    return base if f".{suffix.lower()}" in AUDIO_SUFFIXES else name


def clip_key(name: str) -> str:
    """What tells a clip from the others of its machine, of a file name or path in a list of clips.

    Names of DCASE Task 2 are unique without folders and suffix; of other names the whole path counts.
    """
    base = stem(name)
    if parse_name(base) is not None:
        return base
    path = name.replace("\\", "/").removeprefix("./")
    return path[: len(path) - len(path.rpartition("/")[2])] + base


def parse_name(name: str) -> ClipName | None:
    """Read a clip's name (without suffix), or return None where it follows no scheme of DCASE Task 2."""
    match = _SECTION_NAME.fullmatch(name)
    if match is not None:
        said = {key: value or "" for key, value in match.groupdict().items()}
        return ClipName(False, **{**said, "attributes": parse_attributes(said["attributes"])})  # type: ignore[arg-type]
    match = _ID_NAME.fullmatch(name)
    if match is not None:
        return ClipName(True, match["section"], condition=match["condition"] or "")
    return None


def parse_attributes(text: str) -> dict[str, str]:
    """Read the part of a name that holds attributes: names and values in turn, joined by underscores.

    Some names of 2021 hold attributes that do not pair up (``strength_1_ambient``, ``0_g_25_mm_2000_mV_none``,
    ``A1Spd6Mic1``). Guessing would give some clips wrong attributes; their text is kept whole as ``{"raw": text}``, so
    that clips of one operating condition can still be told from those of another.
    """
    text = text.strip("_")
    if not text or text.lower() == _NO_ATTRIBUTE:
        return {}
    words = text.split("_")
    names, values = words[::2], words[1::2]
    pairs_up = (
        len(names) == len(values)
        and len(set(names)) == len(names)
        and all(name[:1].isalpha() for name in names)
        and all(values)
    )
    return dict(zip(names, values, strict=True)) if pairs_up else {"raw": text}
