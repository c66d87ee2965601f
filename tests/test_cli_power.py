"""`asdbench power`, as a user meets it."""

from __future__ import annotations

import re


def test_clips_and_gap_are_each_others_inverse(asdbench_command):
    done = asdbench_command("power", "--auc", 0.7, "--gap", 0.05)
    assert done.returncode == 0, done.stderr
    clips = int(re.match(r"(\d+) clips each", done.stdout)[1])
    assert 200 < clips < 1000
    back = asdbench_command("power", "--auc", 0.7, "--clips", clips).stdout
    assert float(re.search(r"a gap of ([\d.]+) points", back)[1]) == 5.0


def test_mistakes_are_told_in_one_sentence(refusal):
    assert "either --gap" in refusal("power", "--auc", 0.7)
    assert "either --gap" in refusal("power", "--auc", 0.7, "--gap", 0.1, "--clips", 50)
    assert "expected the size of the gap" in refusal("power", "--auc", 0.7, "--gap", 0)
    assert "--auc" in refusal("power", "--auc", 1.5, "--gap", 0.1)
