from __future__ import annotations

import numpy as np
import pytest

from asdbench.generators.mimii_gen.compact.chance import share_to_draw

CLIPS, BANDS = 400, 40


def parts(coded: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean spectra of clips that differ smoothly over the bands; a share of the variance by chance is coded."""
    random = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(random.standard_normal((CLIPS, BANDS)), axis=1), axis=1) * 0.002
    coded_chance = np.sqrt(coded) * random.standard_normal((CLIPS, BANDS)) * 0.3
    left = np.sqrt(1 - coded) * random.standard_normal((CLIPS, BANDS)) * 0.3
    drawn = 0.3 * random.standard_normal((CLIPS, BANDS))
    return smooth + coded_chance + left, left, drawn


@pytest.mark.parametrize("coded", [0.0, 0.2, 0.5])
def test_what_is_coded_of_the_chance_is_not_drawn_again(coded: float) -> None:
    real, left, drawn = parts(coded)
    share = share_to_draw(real, left, drawn)
    assert share**2 == pytest.approx(1 - coded, abs=0.05)
    decoded = real - left + share * drawn
    rough = [np.diff(values, n=2, axis=1).var() for values in (decoded, real)]
    assert rough[0] == pytest.approx(rough[1], rel=0.03)


def test_the_share_has_limits_and_is_all_where_nothing_can_be_measured() -> None:
    real, left, drawn = parts(0.99)
    assert share_to_draw(real, left, drawn) == 0.5
    assert share_to_draw(real[:1], left[:1], drawn[:1]) == 1.0
    assert share_to_draw(real[:, :2], left[:, :2], drawn[:, :2]) == 1.0
    assert share_to_draw(real, left, np.zeros_like(drawn)) == 1.0
