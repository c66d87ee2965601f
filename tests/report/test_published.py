from __future__ import annotations

import pytest

from asdbench.report import published


@pytest.mark.parametrize(
    ("name", "auc"),
    [("slider", 0.5588), ("slide rail", 0.5588), ("Slide_rail", 0.5588), ("bearing", 0.5468), ("fan", 0.9496)],
)
def test_names_of_the_data_find_the_machines_of_the_paper(name: str, auc: float) -> None:
    values = published.table_iv(name)
    assert values is not None
    assert values[0] == auc


def test_machines_that_the_paper_does_not_have() -> None:
    assert published.table_iv("ToyCar") is None
    assert len(published.TABLE_IV) == 5
