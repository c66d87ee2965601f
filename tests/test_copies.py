"""The same audio under several names."""

from __future__ import annotations

import pandas as pd
import pytest

from asdbench import UserError
from asdbench.copies import groups_with_copies, note_on_copies, refuse_contradictions


def clips(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Clips of (name, condition, content)."""
    frame = pd.DataFrame(rows, columns=["clip_id", "condition", "content_hash"])
    return frame.assign(path=frame["clip_id"] + ".wav", group=frame["clip_id"])


def test_all_contradictions_of_all_machines_are_named_at_once() -> None:
    fan = clips(("a", "normal", "1"), ("b", "anomaly", "1"), ("c", "normal", "2"), ("d", "anomaly", "2"))
    pump = clips(("e", "normal", "3"), ("f", "normal", "3"), ("g", "anomaly", "3"))
    message = "a.wav and b.wav; c.wav and d.wav; e.wav and g.wav; f.wav and g.wav; remove the wrong one"
    with pytest.raises(UserError, match=message):
        refuse_contradictions([fan, pump])


def test_copies_of_one_class_or_of_two_machines_are_no_contradiction() -> None:
    refuse_contradictions([clips(("a", "normal", "1"), ("b", "normal", "1")), clips(("c", "anomaly", "1"))])


def test_many_pairs_are_counted() -> None:
    rows = [(f"{what}{i}", what, str(i)) for i in range(25) for what in ("normal", "anomaly")]
    with pytest.raises(UserError, match=r"normal19\.wav and anomaly19\.wav; and 5 more; remove"):
        refuse_contradictions([clips(*rows)])


def test_copies_join_the_groups_that_hold_them() -> None:
    frame = clips(
        ("a", "normal", "1"), ("b", "normal", "2"), ("c", "normal", "1"), ("d", "normal", "3"), ("e", "normal", "4")
    )
    assert groups_with_copies(frame).tolist() == ["a", "b", "a", "d", "e"]
    frame["group"] = ["r3", "r2", "r2", "r1", "r1"]  # a and c are copies, so r2 and r3 are one
    assert groups_with_copies(frame).tolist() == ["r2", "r2", "r2", "r1", "r1"]
    frame["content_hash"] = ["1", "2", "1", "2", "4"]  # and b and d, so all are
    assert groups_with_copies(frame).tolist() == ["r1"] * 5


def test_copies_are_told_once() -> None:
    fan = clips(("a", "normal", "1"), ("b", "normal", "1"), ("c", "normal", "2"))
    pump = clips(("d", "anomaly", "1"), ("e", "anomaly", "5"), ("f", "anomaly", "5"))
    note = note_on_copies([fan, pump])
    assert note.startswith("4 clips are copies of each other")
    assert note.endswith("a.wav = b.wav; e.wav = f.wav")
    assert note_on_copies([clips(("a", "normal", "1"), ("b", "normal", "2"))]) == ""


def test_twins_as_they_are_read_are_copies() -> None:
    frame = clips(("a", "normal", "1"), ("stereo", "normal", "2"), ("48k", "anomaly", "3"), ("other", "normal", "4"))
    frame["audio_hash"] = ["1", "1", "1", ""]
    with pytest.raises(UserError, match=r"a\.wav and 48k\.wav; stereo\.wav and 48k\.wav; remove"):
        refuse_contradictions([frame])
    assert note_on_copies([frame]).endswith("a.wav = stereo.wav = 48k.wav")
    assert groups_with_copies(frame).tolist() == ["48k", "48k", "48k", "other"]
