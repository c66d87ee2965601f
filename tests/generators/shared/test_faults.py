"""Which fault an anomaly has: drawn from training clips, or as asked for."""

from __future__ import annotations

import numpy as np

from asdbench.generators.shared.captions import Description
from asdbench.generators.shared.faults import with_fault

ASKED = Description("fan", "anomaly", {"vel": "6"})
KNOWN = [
    Description("fan", "anomaly", fault="clogging", severity=0.6),
    Description("fan", "anomaly", fault="unbalance", severity=1.4),
    Description("fan", "anomaly"),
    Description("valve", "anomaly", fault="sticking", severity=1.0),
]


def drawn(**asked: object) -> set[tuple[str | None, float | None]]:
    random = np.random.default_rng(0)
    found = [with_fault(ASKED, KNOWN, random, **asked) for _ in range(50)]  # type: ignore[arg-type]
    assert all(each.attributes == ASKED.attributes for each in found)
    return {(each.fault, each.severity) for each in found}


def test_faults_and_severities_go_together_as_in_training_clips_of_the_machine() -> None:
    assert drawn() == {("clogging", 0.6), ("unbalance", 1.4)}


def test_a_fault_that_is_asked_for_has_a_severity_of_its_clips() -> None:
    assert drawn(fault="unbalance") == {("unbalance", 1.4)}
    assert drawn(fault="wear") == {("wear", None)}


def test_a_severity_that_is_asked_for_replaces_those_of_training_clips() -> None:
    assert drawn(severity=2.0) == {("clogging", 2.0), ("unbalance", 2.0)}


def test_normal_clips_and_machines_without_known_faults_have_none() -> None:
    normal = Description("fan", "normal")
    assert with_fault(normal, KNOWN, np.random.default_rng(0), "wear", 1.0) is normal
    assert with_fault(ASKED, KNOWN[2:], np.random.default_rng(0)) == ASKED
