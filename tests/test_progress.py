"""Progress where there is no terminal: a line now and then, in units that people read."""

from __future__ import annotations

import pytest

from asdbench.progress import BYTES, Progress, readable_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_bytes_for_people(count, text):
    assert readable_bytes(count) == text


@pytest.mark.parametrize(("unit", "line"), [(BYTES, "x: 2.0 kB of 2.0 kB"), ("file", "x: 2000 of 2000 files")])
def test_the_last_step_is_always_told(capfd, unit, line):
    with Progress().steps("x", 2000, unit) as steps:
        steps.advance(500)
        steps.advance(1500)
    assert capfd.readouterr().err.splitlines()[-1] == line
