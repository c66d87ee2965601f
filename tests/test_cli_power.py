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


def test_clips_in_groups_count_for_fewer(asdbench_command):
    alone = asdbench_command("power", "--auc", 0.7, "--gap", 0.05).stdout
    done = asdbench_command("power", "--auc", 0.7, "--gap", 0.05, "--group-size", 20, "--group-correlation", 0.5)
    assert done.returncode == 0, done.stderr
    clips, groups = map(int, re.match(r"(\d+) clips each .* in groups of 20 \((\d+) groups\)", done.stdout).groups())
    assert clips == round(10.5 * int(re.match(r"(\d+)", alone)[1]) + 0.25)
    assert 20 * (groups - 1) < clips <= 20 * groups
    options = ("--group-size", 20, "--group-correlation", 0.5)
    back = asdbench_command("power", "--auc", 0.7, "--clips", clips, *options).stdout
    assert float(re.search(r"a gap of ([\d.]+) points", back)[1]) == 5.0
    assert "no gap at all" in asdbench_command("power", "--auc", 0.7, "--clips", 20, *options).stdout


def test_groups_take_a_size_and_a_correlation(refusal):
    assert "go together" in refusal("power", "--auc", 0.7, "--gap", 0.1, "--group-size", 5)
    assert "go together" in refusal("power", "--auc", 0.7, "--gap", 0.1, "--group-correlation", 0.5)
    assert "--group-size" in refusal("power", "--auc", 0.7, "--gap", 0.1, "--group-size", 0)
