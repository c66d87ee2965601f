"""Captions of the clips that are compared: a generated clip's own, a real clip's by its labels."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from asdbench.execute.examining import _captions


class Clips:
    """What is asked of a clip set: its table."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.frame = pd.DataFrame(rows)


def clip(name: str, speed: str, caption: str | None = None) -> dict[str, Any]:
    labels = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly"}
    told = {} if caption is None else {"caption": caption}
    return {"clip_id": name, **labels, "attributes": {"speed": speed}, "provenance": told}


def captions(real: list[dict[str, Any]], made: list[dict[str, Any]]) -> tuple[dict[str, str], str]:
    return _captions(Clips(real), Clips(made))  # type: ignore[arg-type]


def test_a_real_clip_takes_the_caption_of_a_generated_one_with_its_labels() -> None:
    made = [clip("g1", "1", "slow"), clip("g2", "1", "very slow"), clip("g3", "2", "fast")]
    found, why = captions([clip("r1", "2"), clip("r2", "1")], made)
    assert found == {"g1": "slow", "g2": "very slow", "g3": "fast", "r1": "fast", "r2": "slow"}
    assert why == ""


def test_a_generated_clip_keeps_its_caption_where_a_real_one_has_its_name() -> None:
    found, _ = captions([clip("same", "1")], [clip("first", "1", "slow"), clip("same", "1", "very slow")])
    assert found["same"] == "very slow"


@pytest.mark.parametrize(
    ("real", "made", "count"),
    [
        ([clip("r", "3")], [clip("g", "1", "slow")], "1 of 2 clips"),
        ([clip("r", "1")], [clip("g", "1")], "2 of 2 clips"),
    ],
)
def test_where_a_clip_is_left_without_there_is_none(
    real: list[dict[str, Any]], made: list[dict[str, Any]], count: str
) -> None:
    found, why = captions(real, made)
    assert found == {}
    assert why.startswith(count)
