"""How many clips the test sets of DCASE Task 2 have, and which tables of scores have fewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

CLIPS_OF_SECTION = dict.fromkeys((2022, 2023, 2024, 2025), 200)
"""Test clips of a section by year, 100 normal and 100 anomalous, as the challenges' descriptions of their data say."""


def notes_on_size(systems: Mapping[str, pd.DataFrame], year: int) -> list[str]:
    """A sentence for each system with sections that have fewer clips than the test set of the year.

    Args:
        systems: labelled clips by system, with the columns ``machine`` and ``section``.
        year: of the challenge; for years whose sections differ in size nothing is said.
    """
    full = CLIPS_OF_SECTION.get(year)
    if full is None:
        return []
    sentences = []
    for name, clips in systems.items():
        counts = clips.groupby(["machine", "section"], sort=True).size()
        small = counts[counts < full]
        if len(small):
            machine, section = small.index[0]
            sentences.append(
                f"{name}: {len(small)} of {len(counts)} sections have scores of fewer clips than the {full} of the "
                f"test set of {year}, such as {machine}, section {section}, with {small.iloc[0]}; the figures are of "
                "these clips alone"
            )
    return sentences
