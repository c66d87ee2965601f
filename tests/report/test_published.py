from __future__ import annotations

import pytest

from asdbench.errors import UserError
from asdbench.report import published


@pytest.mark.parametrize(
    ("name", "auc"),
    [("slider", 0.5588), ("slide rail", 0.5588), ("Slide_rail", 0.5588), ("bearing", 0.5468), ("fan", 0.9496)],
)
def test_names_of_the_data_find_the_machines_of_the_paper(name: str, auc: float) -> None:
    values = published.figures("mimii_gen").aucs_of(name)
    assert values is not None
    assert values[0] == auc


def test_machines_that_the_paper_does_not_have() -> None:
    known = published.figures("mimii_gen")
    assert known.aucs_of("ToyCar") is None
    assert known.counts_of("ToyCar") is None
    assert len(known.gaps) == len(known.counts) == 5


def test_no_figures_unless_they_are_asked_for() -> None:
    assert published.figures(None).aucs_of("fan") is None
    assert published.figures(None).counts_of("fan") is None
    assert published.names() == ["mimii_gen"]
    with pytest.raises(UserError, match="there are no published figures 'mimi_gen'; did you mean 'mimii_gen'"):
        published.figures("mimi_gen")
