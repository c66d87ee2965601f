"""Captions: what is known of a clip, said in one English sentence.

The paper feeds the metadata of a recording to a T5 model and keeps its sentences (section IV-B-1; `caption_t5`). Here
are the metadata themselves, sentences made from templates that leave nothing out, the words that a generator was
trained on, and the file that captions are kept in.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from asdbench import UserError

Condition = Literal["normal", "anomaly"]


@dataclass(frozen=True)
class Description:
    """What a caption says of a clip.

    Attributes:
        machine: machine type, such as "fan" or "ToyCar".
        condition: "normal" or "anomaly".
        attributes: operating and environmental conditions, such as ``{"vel": "6", "loc": "A"}``; their order is of no
            matter.
        domain: "source" or "target"; a caption is silent about any other.
        section: section or machine ID; a caption is silent about "00", the only one of most data sets.
        fault: what is wrong, where that is known; only of an anomaly.
        severity: how strong the fault is, where that is known: 0 or more, 1 is typical.

    Raises:
        UserError: the machine or the fault has no name, the condition is another, the severity is no number of 0 or
            more, or a normal clip has a fault.
    """

    SEVERITIES: ClassVar[tuple[tuple[float, str], ...]] = (
        (0.4, "barely audible"),
        (0.8, "slight"),
        (1.2, "moderate"),
        (1.6, "severe"),
        (math.inf, "extreme"),
    )
    """Words for severities below a bound. The typical fault, 1, is moderate; simulated faults lie in 0.6 to 1.4."""
    NO_SEVERITY: ClassVar[str] = "inaudible"
    """The word for a severity of exactly 0."""

    machine: str
    condition: Condition
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    domain: str = "unknown"
    section: str = "00"
    fault: str | None = None
    severity: float | None = None

    def __post_init__(self) -> None:
        if not readable(self.machine):
            raise UserError(f"a clip to be described has the machine name '{self.machine}', expected a name")
        if self.condition not in ("normal", "anomaly"):
            raise UserError(f"{self.machine}: the condition is '{self.condition}', expected 'normal' or 'anomaly'")
        if self.fault is not None and not readable(self.fault):
            raise UserError(
                f"{self.machine}: the fault is '{self.fault}', expected a name, or none where it is unknown"
            )
        if self.severity is not None and not 0 <= self.severity < math.inf:
            raise UserError(f"{self.machine}: the severity is {self.severity}, expected a number of 0 or more")
        if self.condition == "normal" and (self.fault is not None or self.severity):
            raise UserError(
                f"{self.machine}: a normal clip has the fault '{self.fault or 'unknown'}',"
                " expected faults of anomalies only"
            )

    @classmethod
    def of_clip(cls, row: Mapping[str, Any]) -> Description:
        """Describe a row of a clip set or of a request.

        Fault and severity come from the row's provenance, where it has one that names them, and only for anomalies.

        Raises:
            UserError: see `Description`; of what a row may hold: no machine, or an unknown condition.
        """
        origin = row.get("provenance")
        fault, severity = None, None
        if row["condition"] == "anomaly" and isinstance(origin, Mapping):
            fault = readable(str(origin.get("fault") or "")) or None
            severity = origin.get("severity")
        return cls(
            machine=str(row["machine"]),
            condition=cast("Condition", row["condition"]),
            attributes={str(name): str(value) for name, value in row["attributes"].items()},
            domain=str(row["domain"]),
            section=str(row["section"]),
            fault=fault,
            severity=None if severity is None else _number(severity, str(row["machine"])),
        )

    @property
    def severity_word(self) -> str | None:
        """The severity in words, from "inaudible" to "extreme"; None where it is unknown."""
        if self.severity is None or self.condition == "normal":
            return None
        if self.severity == 0:
            return self.NO_SEVERITY
        return next(word for bound, word in self.SEVERITIES if self.severity < bound)

    def metadata_text(self) -> str:
        """All that is known in a compact form: ``machine: fan; condition: anomalous; m-n: W; fault: unbalance``.

        The severity is in words, as in captions: else nearly every clip would have a text of its own.
        """
        items = [("machine", machine_words(self.machine)), ("condition", _CONDITION_WORDS[self.condition])]
        if self._tells_section:
            items.append(("section", readable(self.section)))
        items += [(" ".join(name.split()), readable(value)) for name, value in _in_order(self.attributes)]
        if self.domain in _DOMAINS:
            items.append(("domain", self.domain))
        if self.fault is not None:
            items.append(("fault", readable(self.fault)))
        if self.severity_word is not None:
            items.append(("severity", self.severity_word))
        return "; ".join(f"{name}: {value}" for name, value in items)

    @property
    def _tells_section(self) -> bool:
        return bool(readable(self.section)) and self.section != "00"


_DOMAINS = ("source", "target")
_CONDITION_WORDS = {"normal": "normal", "anomaly": "anomalous"}

_PHRASES: Mapping[str, tuple[str, str]] = {
    # What the keys of MIMII DG and DCASE Task 2 stand for, each in two wordings that fit anywhere in a sentence. Units
    # are left out where the data sets give none.
    "id": ("as model {}", "built as model {}"),
    "model": ("as model {}", "built as model {}"),
    "car": ("as car model {}", "built as car model {}"),
    "vel": ("at a velocity of {}", "at velocity {}"),
    "spd": ("at a speed of {}", "at speed {}"),
    "ac": ("with an acceleration of {}", "at acceleration {}"),
    "volt": ("at a voltage of {}", "at voltage {}"),
    "wt": ("under a load of weight {}", "with weight {} as its load"),
    "pat": ("with operation pattern {}", "in operation pattern {}"),
    "v1pat": ("with operation pattern {} of the first valve", "with the first valve in operation pattern {}"),
    "v2pat": ("with operation pattern {} of the second valve", "with the second valve in operation pattern {}"),
    "panel": ("behind panel {}", "with panel {}"),
    "m-n": ("with machine noise {} in the background", "amid machine noise {}"),
    "f-n": ("with factory noise {} in the background", "amid factory noise {}"),
    "noise": ("with noise {} in the background", "amid noise {}"),
    "n-lv": ("at noise level {}", "with a noise level of {}"),
    "loc": ("with the microphone at location {}", "recorded at location {}"),
    "mic": ("recorded by microphone {}", "with microphone {}"),
    "raw": ("under the conditions {}", "in the conditions {}"),  # attributes of 2021 that cannot be distinguished
}
_SAME = {
    "velocity": "vel",
    "speed": "spd",
    "voltage": "volt",
    "weight": "wt",
    "pattern": "pat",
    "n-level": "n-lv",
    "location": "loc",
    "microphone": "mic",
}
"""Other keys for the same things."""
_UNKNOWN = ("with {name} {value}", "with a {name} of {value}")
_NOTHING = ("with {name}", "with a {name}")
_MACHINES = {"slider": "slide rail"}
"""Machine types whose name is not what people call them."""

_SENTENCES: tuple[tuple[str, str], ...] = (
    # For a normal and for an anomalous clip. "abnormal" is avoided: to a text encoder it is close to "normal".
    ("A recording of a normal {machine}{details}.", "A recording of an anomalous {machine}{details}, with {fault}."),
    (
        "The sound of {a_machine} in normal operation{details}.",
        "The sound of {a_machine} in anomalous operation{details}, caused by {fault}.",
    ),
    ("{lead} makes its normal sound.", "{lead} makes an anomalous sound because of {fault}."),
    ("Normal operating noise of {a_machine}{details}.", "Anomalous operating noise of {a_machine}{details}: {fault}."),
    (
        "{A_machine} is heard{details}; its condition is normal.",
        "{A_machine} is heard{details}; its condition is anomalous, with {fault}.",
    ),
    (
        "Machine sound in normal condition: {a_machine}{details}.",
        "Machine sound in anomalous condition: {a_machine}{details}, suffering from {fault}.",
    ),
    (
        "This {machine} sounds normal{details} and has no fault.",
        "This {machine} sounds anomalous{details} and has {fault}.",
    ),
    (
        "What a normal {machine} sounds like{details}.",
        "What an anomalous {machine} sounds like{details}, with {fault}.",
    ),
    ("{lead} runs without a fault and sounds normal.", "{lead} runs with {fault} and sounds anomalous."),
    ("With no fault, {a_machine} sounds normal{details}.", "With {fault}, {a_machine} sounds anomalous{details}."),
)
TEMPLATES = len(_SENTENCES)
"""Number of paraphrases."""


def caption(description: Description, variant: int) -> str:
    """Say a description in a sentence.

    Every paraphrase states all of it. Attributes with a key that is not known are stated as they are ("with foo bar").

    Args:
        description: what to say.
        variant: which paraphrase, modulo `TEMPLATES`; see `paraphrase_of`.
    """
    sentence = _SENTENCES[variant % TEMPLATES][description.condition == "anomaly"]
    machine = machine_words(description.machine)
    details = ", ".join(_details(description, variant % 2))
    a_machine = _with_article(machine)
    return sentence.format(
        machine=machine,
        a_machine=a_machine,
        A_machine=_capital(a_machine),
        details=f" {details}" if details else "",
        lead=_capital(f"{details}, {a_machine}" if details else a_machine),
        fault=_fault_words(description),
    )


def templates(description: Description) -> set[str]:
    """All paraphrases of a description."""
    return {caption(description, variant) for variant in range(TEMPLATES)}


def paraphrase_of(*name: object) -> int:
    """Draw a paraphrase for what ``name`` stands for, such as a seed and the content hash of a clip.

    The result depends on the text of the parts and on nothing else.
    """
    text = json.dumps([str(part) for part in name])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % TEMPLATES


def omitted(description: Description, caption: str) -> list[str]:
    """List what a caption leaves out of a description: machine, condition, values of attributes, fault, severity.

    Template captions leave nothing out; a caption written by a language model may. A value counts as stated where it
    stands as a word of its own, in upper or lower case.
    """
    text = caption.lower()
    parts = [("machine", machine_words(description.machine)), ("condition", _CONDITION_WORDS[description.condition])]
    parts += [(name, readable(value)) for name, value in _in_order(description.attributes)]
    parts += [("fault", readable(description.fault or "")), ("severity", description.severity_word or "")]
    return [
        f"{name}: {value}"
        for name, value in parts
        if value and not re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", text)
    ]


def group_words(description: Description) -> tuple[str, ...]:
    """Words of machine and condition, which every caption of such a clip says: ("slide", "rail", "anomalous")."""
    words = f"{machine_words(description.machine)} {_CONDITION_WORDS[description.condition]}"
    return tuple(words.lower().split())


def label_values(description: Description) -> list[str]:
    """What a caption states beside machine and condition: domain, values of attributes, fault and severity."""
    values = [readable(value) for _, value in _in_order(description.attributes)]
    values += [description.domain, readable(description.fault or ""), description.severity_word or ""]
    return [value for value in values if value]


def readable(text: str) -> str:
    """Words as people write them: spaces instead of underscores, none at the ends or doubled."""
    return " ".join(text.replace("_", " ").split())


def machine_words(machine: str) -> str:
    """Name of a machine type in words: "slide rail" for slider, "toy car" for ToyCar, "3D printer" for 3DPrinter."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", " ", readable(machine)).split()
    name = " ".join(word if word.isupper() else word.lower() for word in words)
    return _MACHINES.get(name, name)


def _number(severity: object, machine: str) -> float:
    try:
        return float(cast("float", severity))
    except (TypeError, ValueError):
        raise UserError(f"{machine}: the severity is {severity!r}, expected a number of 0 or more") from None


def _in_order(attributes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Known attributes in the order of the table, then the others by name."""
    rank = {name: index for index, name in enumerate(_PHRASES)}
    return sorted(attributes.items(), key=lambda item: (rank.get(_SAME.get(item[0], item[0]), len(rank)), item[0]))


def _details(description: Description, wording: int) -> list[str]:
    """The operating and environmental conditions, each as a phrase."""
    phrases = [f"from section {readable(description.section)}"] if description._tells_section else []
    for name, value in _in_order(description.attributes):
        value = readable(value)
        known = _PHRASES.get(_SAME.get(name, name))
        if known is not None and value:
            phrases.append(known[wording].format(value))
        else:
            phrases.append((_UNKNOWN if value else _NOTHING)[wording].format(name=readable(name), value=value))
    if description.domain in _DOMAINS:
        phrases.append(f"in the {description.domain} domain")
    return phrases


def _fault_words(description: Description) -> str:
    severity = f"{description.severity_word} " if description.severity_word else ""
    if description.fault is None:
        return _with_article(f"{severity}fault of unknown type")
    return _with_article(f"{severity}{readable(description.fault)} fault")


def _with_article(words: str) -> str:
    vowel = words[:1].lower() in "aeiou" and not words.lower().startswith(("uni", "use", "eu"))
    return f"{'an' if vowel else 'a'} {words}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


@dataclass(frozen=True)
class Vocabulary:
    """What the descriptions that a generator was trained on said, by machine type.

    Attributes:
        machines: for each machine type, for each kind ("condition", "attribute", "domain", "section", "fault",
            "severity") what occurred, sorted. An attribute is written ``name=value``; a fault of "" is one not known.
    """

    machines: Mapping[str, Mapping[str, tuple[str, ...]]]

    def to_dict(self) -> dict[str, dict[str, list[str]]]:
        """Return JSON values."""
        return {machine: {kind: list(said) for kind, said in kinds.items()} for machine, kinds in self.machines.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Iterable[str]]]) -> Vocabulary:
        """Read what `to_dict` returned."""
        return cls({machine: {kind: tuple(said) for kind, said in kinds.items()} for machine, kinds in data.items()})


def seen(descriptions: Iterable[Description]) -> Vocabulary:
    """Collect what descriptions say."""
    found: dict[str, dict[str, set[str]]] = {}
    for description in descriptions:
        kinds = found.setdefault(description.machine, {})
        for kind, word in _words(description):
            kinds.setdefault(kind, set()).add(word)
    return Vocabulary(
        {
            machine: {kind: tuple(sorted(kinds[kind])) for kind in sorted(kinds)}
            for machine, kinds in sorted(found.items())
        }
    )


def unseen(description: Description, vocabulary: Vocabulary) -> list[str]:
    """List what a description says that was said of no training clip of that machine type, each as a short text.

    Combinations of things that all occurred are not listed: making those is what the generator is for.
    """
    machine = description.machine
    if machine not in vocabulary.machines:
        return [f"machine {machine}"]
    kinds = vocabulary.machines[machine]
    missing = [(kind, word) for kind, word in _words(description) if word not in kinds.get(kind, ())]
    if ("condition", description.condition) in missing:  # then nothing is known of its faults either
        missing = [(kind, word) for kind, word in missing if kind not in ("fault", "severity")]
    return [_missing_text(machine, kind, word) for kind, word in missing]


def _missing_text(machine: str, kind: str, word: str) -> str:
    if kind == "condition":
        return f"condition {word} of {machine}"
    if kind == "attribute":
        return f"{machine}: {word}"
    if kind == "fault" and not word:
        return f"{machine}: anomaly without a named fault"
    return f"{machine}: {kind} {word}"


def _words(description: Description) -> list[tuple[str, str]]:
    words = [("condition", str(description.condition))]
    words += [("attribute", f"{name}={value}") for name, value in _in_order(description.attributes)]
    if description._tells_section:
        words.append(("section", description.section))
    if description.domain in _DOMAINS:
        words.append(("domain", description.domain))
    if description.condition == "anomaly":
        words.append(("fault", readable(description.fault or "")))
    if description.severity_word is not None:
        words.append(("severity", description.severity_word))
    return words


@dataclass(frozen=True)
class CaptionRow:
    """One row of a file of captions.

    Attributes:
        content_hash: of the clip; the caption belongs to the audio, whatever its name.
        clip_id: name of the clip, for readers.
        caption: one sentence.
    """

    content_hash: str
    clip_id: str
    caption: str


_COLUMNS = ("content_hash", "clip_id", "caption")


def write_captions(path: Path, rows: Sequence[CaptionRow]) -> None:
    """Write captions as CSV in UTF-8, so that later steps and other people can use and change them.

    The file appears whole or not at all.

    Raises:
        UserError: a caption or content hash is empty, equal audio has two captions, or the file cannot be written.
    """
    captions: dict[str, str] = {}
    for row in rows:
        _add(captions, row.content_hash, row.caption, f"{path}: {row.clip_id}")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((row.content_hash, row.clip_id, row.caption) for row in rows)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.getvalue().encode())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: the captions cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):  # else this would hide why it could not be written
            part.unlink()


def read_captions(path: Path) -> dict[str, str]:
    """Read captions by content hash.

    Columns may stand in any order, and others may stand beside them.

    Raises:
        UserError: the file cannot be read, is no CSV in UTF-8, lacks a column, has a row with too many or too few
            cells, an empty caption or content hash, or two captions for equal audio; names the file and the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: the captions cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text; save the file as CSV in UTF-8") from error
    if "\0" in text:  # the csv module takes them for text
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}, line {line}: found a NUL byte, expected a CSV file in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    captions: dict[str, str] = {}
    try:
        columns = next(reader, [])
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise UserError(f"{path}, line 1: there is no column '{missing[0]}', expected {', '.join(_COLUMNS)}")
        hash_at, caption_at = columns.index("content_hash"), columns.index("caption")
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(columns):
                raise UserError(f"{place}: found {len(cells)} cells, expected {len(columns)}")
            _add(captions, cells[hash_at], cells[caption_at], place)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not a row of a CSV file ({error})") from error
    return captions


def _add(captions: dict[str, str], content_hash: str, caption: str, place: str) -> None:
    if not content_hash.strip():
        raise UserError(f"{place}: the content hash is empty, expected that of a clip")
    if not caption.strip():
        raise UserError(f"{place}: the caption is empty, expected a sentence")
    known = captions.setdefault(content_hash, caption)
    if known != caption:
        raise UserError(
            f"{place}: the content hash {content_hash} has the captions '{known}' and '{caption}', expected one"
        )
