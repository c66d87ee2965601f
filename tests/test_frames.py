"""Rows of tables as mappings: plain Python values, whatever the columns hold."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from asdbench.frames import frame_of, records


def test_rows_are_plain_values() -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", "b"],
            "number": [1, 2],
            "share": np.array([0.5, 0.25], dtype=np.float32),
            "flag": [True, False],
            "count": pd.array([3, None], dtype="Int64"),
            "mixed": pd.Series([np.int64(4), "c"], dtype=object),
            "mapping": [{"x": 1}, {}],
            7: [8, 9],
        }
    )
    first, second = records(frame)
    names = ["text", "number", "share", "flag", "count", "mixed", "mapping", "7"]
    assert first == dict(zip(names, ["a", 1, 0.5, True, 3, 4, {"x": 1}, 8], strict=True))
    assert second == dict(zip(names, ["b", 2, 0.25, False, None, "c", {}, 9], strict=True))
    assert json.loads(json.dumps(first)) == first  # JSON knows no numbers of numpy


def test_what_is_missing_from_texts_stays_nan() -> None:
    rows = records(pd.DataFrame({"text": ["a", None]}))
    assert rows[0]["text"] == "a" and np.isnan(rows[1]["text"])


def test_rows_come_back_from_a_table_of_them() -> None:
    rows = [{"a": "x", "b": 1.5}, {"a": "y", "b": 2.5}]
    assert records(frame_of(rows)) == rows
    assert records(frame_of([], ["a", "b"])) == []
