"""Parts of model cards: tables and front matter that can be read by machines and people."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from asdbench import UserError
from asdbench.generators.shared.model_cards import data_sections, front_matter, settings_table, table, write_card
from asdbench.generators.shared.record import data_hash


def test_cells_cannot_break_a_table() -> None:
    assert table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"


def test_settings_are_sorted_json_values() -> None:
    lines = settings_table({"z": None, "a": "text", "m": {"k": 1}}).splitlines()[2:]
    assert lines == ["| a | text |", '| m | {"k": 1} |', "| z | null |"]


def test_front_matter_is_yaml() -> None:
    head = front_matter({"license": "other", "tags": ["a: b"]})
    assert head.startswith("---\n") and head.endswith("---\n")
    assert yaml.safe_load(head.strip("-\n")) == {"license": "other", "tags": ["a: b"]}


def test_data_are_counted_and_hashed() -> None:
    text = "\n".join(data_sections({"fan": {"normal": 2, "anomaly": 1}}, ["b", "a", "c"], "none"))
    assert "| fan | anomaly | 1 |\n| fan | normal | 2 |" in text
    assert f"3 clips. Hash over their sorted content hashes: `{data_hash(['a', 'b', 'c'])}`" in text
    assert "**none** (no anomalies at all)." in text


def test_a_card_is_written_whole_or_refused(tmp_path: Path) -> None:
    write_card(tmp_path, "card")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    with pytest.raises(UserError, match="the model card cannot be written"):
        write_card(tmp_path / "none", "card")
