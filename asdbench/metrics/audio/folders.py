"""Any two folders of audio files, compared: what `asdbench metrics DIR_A DIR_B` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asdbench.audio import AUDIO_SUFFIXES, OTHER_AUDIO_SUFFIXES, AudioInfo, Channel, inspect_all
from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.inspection import BadClipsError, bad_clips, notes_on, skipped_note, unread_note
from asdbench.metrics.audio.embedding import embedding_of
from asdbench.metrics.audio.quality import POOLED, Options, clap_quality, quality
from asdbench.plugins import Embedding

if TYPE_CHECKING:
    import pandas as pd

CAPTION_FILES = ("generated_clips.csv", "captions.csv")
"""Tables that are looked for in a folder: columns ``clip_id`` (or ``file``) and ``caption``; perhaps ``machine`` and
``attributes``."""
_NAME_COLUMNS = ("clip_id", "file", "file_name", "path")


@dataclass(frozen=True)
class AudioReport:
    """The comparison of two folders.

    Attributes:
        reference, generated: the folders.
        table: see `asdbench.metrics.audio.quality.Row`.
        notes: what holds for all figures, a sentence each.
    """

    reference: Path
    generated: Path
    table: pd.DataFrame
    notes: tuple[str, ...]

    def text(self) -> str:
        """The table as text for a terminal, remarks as footnotes."""
        return "\n".join(_lines(self)) + "\n"

    __str__ = text


def compare_folders(
    reference: Path,
    generated: Path,
    *,
    embedding: str | Embedding = "logmel_stats",
    settings: Mapping[str, Any] | None = None,
    clap: str | Embedding | None = None,
    captions: Path | None = None,
    sample_rate: int | None = None,
    channel: Channel = 0,
    options: Options | None = None,
    cache: Path | None = None,
    skip_bad_clips: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> AudioReport:
    """Compare the audio files of two folders, which are searched with the folders in them.

    Folders of the first level that both have, such as those of machines, are told apart beside the pooled figures. KL
    is paired by file name where all generated files have the name of a reference file, else by captions, else at random
    within a machine and its attributes.

    Args:
        reference: folder of real clips.
        generated: folder of the clips that are judged.
        embedding: name of an embedding, or an embedding.
        settings: of the embedding that is given by name.
        clap: for the CLAP score, which needs captions.
        captions: a CSV file for both folders (``clip_id`` relative to its folder, ``caption``); None to look for
            `CAPTION_FILES` in each.
        sample_rate: rate in Hz at which all files are read before the embedding resamples them; None for their own, or
            for that of the embedding where they differ. A note then says which files lack the upper band.
        channel: of files with several.
        options: see `Options`.
        cache: folder for vectors.
        skip_bad_clips: leave files out that cannot be used, with a note, in place of refusing them.
        advance: called after each clip that was embedded.

    Raises:
        UserError: a folder is absent, holds no audio file or one, or files cannot be used.
    """
    model = embedding_of(embedding, settings)
    tables = [_captions(captions or folder, required=captions is not None) for folder in (reference, generated)]
    parts = [
        _rows(folder, what, table)
        for folder, what, table in zip((reference, generated), ("reference", "generated"), tables, strict=True)
    ]
    paths = [row["path"] for part in parts for row in part]
    infos = dict(zip(paths, inspect_all(paths), strict=True))
    bad = bad_clips(paths, infos.values(), channel, sample_rate or model.sample_rate)
    if bad and not skip_bad_clips:
        raise BadClipsError(bad)
    useless = {one.path for one in bad}
    good = {path: info for path, info in infos.items() if path not in useless}
    sets = [
        _clips(folder, what, [row for row in part if row["path"] in good], good, channel)
        for folder, what, part in zip((reference, generated), ("reference", "generated"), parts, strict=True)
    ]
    rate = sample_rate or _rate_of(good, model)
    notes = [*([skipped_note(bad)] if bad else []), *_unread((reference, generated))]
    notes += notes_on(good, good.values(), rate)
    by_name = _paired_by_name(*sets)
    texts = _texts(sets)
    if by_name is not None:
        pairs: dict[str, str] | None = by_name
        if model.has_logits:
            notes.append("KL pairs files of the same name")
    else:
        pairs = texts or None
    real, made = (ClipSet(part.frame, rate, channel) for part in sets)
    if clap is not None and not texts:
        raise UserError(
            f"the CLAP score needs captions: neither {reference} nor {generated} holds "
            f"{' or '.join(CAPTION_FILES)} with a caption of every file"
        )
    if rate < model.sample_rate:
        notes.append(
            f"the files have {rate} Hz and are resampled to the {model.sample_rate} Hz of {model.name}: "
            f"it hears nothing above {rate // 2} Hz"
        )
    table = quality(real, made, captions=pairs, embedding=model, options=options, cache=cache, advance=advance)
    if clap is not None:
        import pandas as pd

        scores = clap_quality(real, made, texts, clap=clap, options=options, cache=cache, advance=advance)
        table = pd.concat([table, scores], ignore_index=True)
    return AudioReport(reference, generated, table, tuple(notes))


def _rows(folder: Path, what: str, table: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The labels of the audio files of a folder, and of the folders in it."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    files = _files(folder, AUDIO_SUFFIXES)
    if not files:
        raise UserError(f"{folder}: the folder holds no audio file ({', '.join(AUDIO_SUFFIXES)})")
    rows = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        known = table.get(name, table.get(path.stem, {}))
        machine = known.get("machine") or (name.partition("/")[0] if "/" in name else "clips")
        labels = {"clip_id": f"{what}/{name}", "path": str(path), "machine": machine, "section": "00"}
        labels |= {"domain": "unknown", "split": "test", "condition": "unknown"}
        origin = {"caption": str(known.get("caption", ""))}
        rows.append(labels | {"attributes": known.get("attributes", {}), "provenance": origin})
    return rows


def _clips(
    folder: Path, what: str, rows: list[dict[str, Any]], infos: Mapping[str, AudioInfo], channel: Channel
) -> ClipSet:
    """The clips of a folder that can be used."""
    if len(rows) < 2:
        count = "one audio file" if rows else "no audio file that can be used"
        raise UserError(f"{folder}: the folder holds {count}, audio metrics need at least two")
    return ClipSet.from_files(rows, None, channel, source=what, infos=[infos[row["path"]] for row in rows])


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files below a folder whose names end so, those of hidden folders left out, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _unread(folders: Sequence[Path]) -> list[str]:
    """How many recordings are left out because libsndfile does not know their format."""
    unread = [str(path) for folder in folders for path in _files(folder, OTHER_AUDIO_SUFFIXES)]
    return [unread_note(unread)] if unread else []


def _rate_of(infos: Mapping[str, AudioInfo], model: Embedding) -> int:
    """The sample rate of all files, or that of the embedding where they have several."""
    rates = {info.sample_rate for info in infos.values()}
    return rates.pop() if len(rates) == 1 else model.sample_rate


def _texts(sets: list[ClipSet]) -> dict[str, str]:
    """The captions, empty unless every clip has one."""
    texts = {
        name: origin["caption"]
        for part in sets
        for name, origin in zip(part.frame["clip_id"], part.frame["provenance"], strict=True)
    }
    return texts if all(texts.values()) else {}


def _paired_by_name(reference: ClipSet, generated: ClipSet) -> dict[str, str] | None:
    """File names as keys of pairs, None where not every generated file has its namesake."""
    names = [
        [Path(name).with_suffix("").as_posix().partition("/")[2] for name in part.frame["clip_id"]]
        for part in (reference, generated)
    ]
    if not set(names[1]) <= set(names[0]):
        return None
    ids = [*reference.frame["clip_id"], *generated.frame["clip_id"]]
    return dict(zip(ids, [*names[0], *names[1]], strict=True))


def _captions(place: Path, *, required: bool) -> dict[str, dict[str, Any]]:
    """Captions, and machines and attributes where they are told, by file."""
    import pandas as pd

    files = [place] if place.is_file() or required else [place / name for name in CAPTION_FILES]
    for file in files:
        if not file.is_file():
            continue
        try:
            frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: the file cannot be read as CSV ({error})") from None
        name = next((column for column in _NAME_COLUMNS if column in frame), None)
        if name is None or "caption" not in frame:
            raise UserError(
                f"{file}: expected the columns 'clip_id' and 'caption', found {', '.join(map(str, frame.columns))}"
            )
        rows: dict[str, dict[str, Any]] = {}
        for record in frame.to_dict("records"):
            row: dict[str, Any] = {"caption": record["caption"], "machine": record.get("machine", "")}
            row["attributes"] = _attributes(record.get("attributes", ""))
            rows[str(record[name])] = row
        return rows
    if required:
        raise UserError(f"{place}: there is no such file of captions")
    return {}


def _attributes(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lines(report: AudioReport) -> list[str]:
    lines = [f"{report.generated} against {report.reference}", ""]
    header = [
        "machine",
        "metric",
        "value",
        "interval",
        "floor",
        "at floor's n",
        "n real",
        "n generated",
        "vectors x dim",
    ]
    cells, remarks = [header], list[str]()
    for row in report.table.to_dict("records"):
        mark = ""
        if row["remark"]:
            if row["remark"] not in remarks:
                remarks.append(row["remark"])
            mark = f" [{remarks.index(row['remark']) + 1}]"
        interval = f"{_number(row['low'])} to {_number(row['high'])}" if row["low"] == row["low"] else "-"
        floors = (
            f"{_number(row['floor'])} (95 %: {_number(row['floor_high'])})" if row["floor"] == row["floor"] else "-"
        )
        vectors = f"{row['vectors_real']}+{row['vectors_generated']} x {row['dim']}" if row["vectors_real"] else "-"
        cells.append(
            [
                row["machine"],
                f"{row['metric']}{mark}",
                _number(row["value"]),
                interval,
                floors,
                _number(row["value_at_floor_n"]),
                str(row["n_real"]),
                str(row["n_generated"]),
                vectors,
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    for line in cells:
        lines.append("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    models = sorted(set(report.table["embedding"]))
    notes = [f"embedding: {', '.join(models)}", *report.notes]
    if "kad" in set(report.table["metric"]):
        notes.append("KAD and KID are unbiased and may be negative near equality")
    if set(report.table["machine"]) != {POOLED}:
        notes.append("pooled figures are dominated by the differences between machines")
    return [*lines, "", *notes, *(f"[{number}] {remark}" for number, remark in enumerate(remarks, start=1))]


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"
