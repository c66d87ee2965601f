"""Shares of repetitions with their standard errors: what the simulations of coverage count."""

from __future__ import annotations

import numpy as np


class Share:
    """A share of repetitions."""

    def __init__(self) -> None:
        self.hits: list[bool] = []

    def add(self, hit: object) -> None:
        self.hits.append(bool(hit))

    def row(self, quantity: str, method: str, **names: object) -> dict[str, object]:
        share = float(np.mean(self.hits))
        error = np.sqrt(share * (1 - share) / len(self.hits))
        return {
            "quantity": quantity,
            "method": method,
            **names,
            "repetitions": len(self.hits),
            "percent": round(100 * share, 2),
            "standard_error": round(100 * error, 2),
        }


def within(limits: tuple[float, float], truth: float) -> bool:
    return limits[0] <= truth <= limits[1]
