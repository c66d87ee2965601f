"""Groups of scored clips: which of them are cuts of one recording, and so no evidence that is independent.

A generated clip that was made of a real one (its provenance names a ``host``) is of the group of its host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asdbench.execute.job import load_clips
from asdbench.plan import Plan
from asdbench.store import Store

if TYPE_CHECKING:
    import pandas as pd

HOST = "host"
"""Name in the provenance of a generated clip of the real clip that it was made of."""

Clip = tuple[str, str, int, str]
"""Machine, source, generation seed (-1: real) and name."""


def score_groups(plan: Plan, store: Store) -> dict[Clip, str]:
    """Group of every clip that shares one, by clip; empty where the data have no groups."""
    groups: dict[Clip, str] = {}
    of_real: dict[str, dict[str, str]] = {}
    for machine, key in plan.clips.items():
        of_real[machine] = _named(load_clips(store, key).frame) if store.has(key) else {}
        groups |= {(machine, "real", -1, clip): group for clip, group in of_real[machine].items()}
    for (machine, generator, seed), key in plan.generated.items():
        if of_real.get(machine) and store.has(key):
            frame = load_clips(store, key).frame
            for clip, provenance in zip(frame["clip_id"], frame["provenance"], strict=True):
                group = of_real[machine].get(str(provenance.get(HOST, "")))
                if group is not None:
                    groups[machine, generator, seed, str(clip)] = group
    return groups


def _named(frame: pd.DataFrame) -> dict[str, str]:
    """Groups that are more than a name for the clip itself, by clip."""
    pairs = zip(frame["clip_id"], frame["group"], strict=True)
    return {str(clip): str(group) for clip, group in pairs if group and group != clip}
