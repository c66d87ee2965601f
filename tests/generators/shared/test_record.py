"""The table of training clips: read back as it was written, and sealed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asdbench import UserError
from asdbench.generators.shared.captions import Description
from asdbench.generators.shared.record import (
    COLUMNS,
    RECORD,
    SEAL,
    data_hash,
    describe,
    read_table,
    record_row,
    seal_of,
    write_seal,
    write_table,
)


def row(number: int, **own: Any) -> dict[str, Any]:
    labels = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly"}
    values = {
        "clip_id": f"fan/{number}.wav",
        "content_hash": f"hash {number}",
        "audio_hash": f"audio {number}",
        "caption": 'a "fan", broken',
    }
    return labels | values | {"attributes": {"vel": "6", "ä": "ö,"}, "fault": "clogging", "severity": None} | own


def written(folder: Path, rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    write_table(folder / RECORD, rows)
    write_seal(folder / SEAL, seal_of(each["content_hash"] for each in rows))
    return folder / RECORD, folder / SEAL


def test_the_table_is_read_back(tmp_path: Path) -> None:
    rows = [row(0, severity=0.5), row(1), row(2, condition="normal", fault="", attributes={})]
    table = read_table(*written(tmp_path, rows))
    assert list(table.columns) == list(COLUMNS)
    assert table.to_dict("records") == rows


def test_a_table_of_before_has_no_hash_of_what_is_read(tmp_path: Path) -> None:
    path, seal = written(tmp_path, [row(0)])
    pd.read_csv(path).drop(columns="audio_hash").to_csv(path, index=False)
    assert list(read_table(path, seal)["audio_hash"]) == [""]
    assert list(read_table(path, seal)["content_hash"]) == ["hash 0"]


def test_a_table_that_lost_a_clip_or_is_none_is_refused(tmp_path: Path) -> None:
    path, seal = written(tmp_path, [row(0), row(1)])
    lines = path.read_text().splitlines(keepends=True)
    for damaged in ("".join(lines[:2]), "nothing\n", "".join(lines).replace("{", "[")):
        path.write_text(damaged)
        with pytest.raises(UserError, match="the table of training clips is damaged"):
            read_table(path, seal)


def test_a_row_is_described_as_it_was() -> None:
    description = Description("fan", "anomaly", {"vel": "6"}, "source", "01", "clogging", 0.5)
    clip = {
        "clip_id": "a",
        "machine": "fan",
        "section": "01",
        "domain": "source",
        "condition": "anomaly",
        "attributes": {"vel": "6"},
        "content_hash": "h",
        "path": "not recorded",
    }
    made = record_row(clip, description, "A fan.")
    assert set(made) == set(COLUMNS) and made["caption"] == "A fan."
    assert describe(made) == description
    assert describe({**made, "fault": ""}).fault is None


def test_the_hash_is_that_of_the_sorted_lines() -> None:
    assert data_hash(["cc", "aa"]) == hashlib.blake2b(b"aa\ncc\n", digest_size=16).hexdigest()
    assert data_hash(["aab", "bcc"]) != data_hash(["aa", "bbcc"])
