"""What `asdbench generate` does: a folder of generated clips in the layout of DCASE Task 2, with how they were made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench.clips import ClipSet
from asdbench.datasets.writing import write_attributes, write_table
from asdbench.errors import UserError
from asdbench.folders import temporary_folder
from asdbench.frames import records
from asdbench.generation import name_rows, write_clips
from asdbench.plugins import Generator, Request
from asdbench.progress import Progress
from asdbench.store import disk_errors

if TYPE_CHECKING:
    import pandas as pd

TABLE, ABOUT = "generated_clips.csv", "generation.json"


@dataclass(frozen=True)
class Wish:
    """What is to be made.

    Attributes:
        machines: machine types; none for all that are known.
        conditions: "normal", "anomaly" or both.
        count: number of clips of each machine and condition.
        attributes: of every clip; None for those of the real clips that are known, in turn.
        caption: for generators that read text; None for what they make of the labels.
    """

    machines: Sequence[str] = ()
    conditions: Sequence[str] = ("normal", "anomaly")
    count: int = 10
    attributes: dict[str, str] | None = None
    caption: str | None = None


def rows_for(wish: Wish, examples: pd.DataFrame | None) -> pd.DataFrame:
    """The rows of a request.

    Args:
        wish: what is to be made.
        examples: labels of real clips, which are taken in turn: of the same machine and condition, else of the same
            machine; clips whose attributes are missing are no examples.

    Raises:
        UserError: no machine is known.
    """
    import pandas as pd

    if examples is not None and "attributes" in examples:
        examples = examples[examples["attributes"].notna()]
    known = [] if examples is None else sorted(examples["machine"].unique())
    machines = list(wish.machines) or known
    if not machines:
        raise UserError("no machine type is known: name one with --machines, or give recordings with --data")
    for machine in machines:
        if machine in (".", "..") or not machine.strip() or any(letter in machine for letter in "/\\\0"):
            raise UserError(f"--machines: found {machine!r}, expected a name that can be that of a folder")
    if wish.caption is not None and not wish.caption.strip():
        raise UserError(f"--caption: found {wish.caption!r}, expected a text that describes the sound")
    rows: list[dict[str, Any]] = []
    for machine in machines:
        for condition in wish.conditions:
            labels = _labels(examples, machine, condition)
            for index in range(wish.count):
                row = {"machine": machine, "condition": condition, "split": "test", **labels[index % len(labels)]}
                if wish.attributes is not None:
                    row["attributes"] = dict(wish.attributes)
                if wish.caption is not None:
                    row["caption"] = wish.caption
                rows.append(row)
    return name_rows(pd.DataFrame(rows))


def _labels(examples: pd.DataFrame | None, machine: str, condition: str) -> list[dict[str, Any]]:
    columns = ["section", "domain", "attributes"]
    if examples is not None and set(columns) <= set(examples.columns):
        of_machine = examples[examples["machine"] == machine]
        for found in (of_machine[of_machine["condition"] == condition], of_machine):
            if len(found):
                return records(found[columns])
    return [{"section": "00", "domain": "source", "attributes": {}}]


def generate(
    generator: Generator, rows: pd.DataFrame, pool: ClipSet | None, sample_rate: int, out: Path, progress: Progress
) -> ClipSet:
    """Make clips and write them to a folder, which appears when it is complete, or not at all.

    Args:
        generator: with its seed set.
        rows: what to make, from `rows_for`.
        pool: real clips that the generator may use.
        sample_rate: of the clips, in Hz.
        out: absent or empty.

    Returns:
        The clips.

    Raises:
        UserError: the folder holds files, or the generator cannot meet the request.
    """
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: expected no folder or an empty one, but it holds files; choose another place")
    request = Request(rows, pool if pool is not None else ClipSet.from_files([], sample_rate), sample_rate)
    with disk_errors(out), temporary_folder(out.absolute().parent) as part:
        folder = part / "clips"
        folder.mkdir()
        with progress.steps(str(out), len(rows), "clip") as steps:
            clips = write_clips(generator, request, folder, steps.advance)
        _write_tables(generator, clips, folder)
        folder.replace(out)
    frame = clips.frame.assign(path=[str(out / clip_id) for clip_id in clips.frame["clip_id"]])
    return ClipSet(frame, clips.sample_rate, clips.channel)


def _write_tables(generator: Generator, clips: ClipSet, folder: Path) -> None:
    for (machine, section), part in clips.frame.groupby(["machine", "section"], sort=True):
        write_attributes(folder / str(machine), str(section), records(part))
    columns = ["clip_id", "machine", "section", "domain", "condition", "attributes", "caption"]
    lines = []
    for row in records(clips.frame):
        caption = row["provenance"].get("caption", "")
        texts = {name: json.dumps(row[name], sort_keys=True) for name in ("attributes", "provenance")}
        values = row | texts | {"caption": caption}
        lines.append([values[name] for name in (*columns, "provenance", "content_hash")])
    write_table(folder / TABLE, [*columns, "provenance", "content_hash"], lines)
    about = {
        "generator": generator.name,
        "version": generator.version,
        "settings": generator.settings(),
        "seed": generator.seed,
        "inputs": generator.inputs(),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def parse_attributes(texts: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts.

    Raises:
        UserError: a text has no ``=``.
    """
    attributes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--attribute {text}: expected NAME=VALUE")
        attributes[name.strip()] = value.strip()
    return attributes
