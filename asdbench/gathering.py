"""Collects what the units of a run left in its store beside scores: audio quality, nearest clips, costs, and so on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asdbench.compare.heard import (
    COST_COLUMNS,
    DEPENDENCE_COLUMNS,
    LEVEL_COLUMNS,
    NEAR_COLUMNS,
    QUALITY_COLUMNS,
    ROLE_COLUMNS,
    Heard,
)
from asdbench.compare.memorisation import NEAREST_COLUMNS
from asdbench.copies_in_run import examine, say
from asdbench.execute.examining import NEAREST, QUALITY
from asdbench.execute.job import load_clips
from asdbench.execute.stages import META
from asdbench.frames import frame_of, records
from asdbench.progress import Progress
from asdbench.roles import assign_roles

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.execute.local import Failure
    from asdbench.plan import Listening, Plan
    from asdbench.spec import LoadedSpec
    from asdbench.store import Store


def gather(
    loaded: LoadedSpec, plan: Plan, store: Store, failures: Sequence[Failure], progress: Progress | None = None
) -> Heard:
    """Collect the tables of a run from its store; near copies across roles are said on standard error."""
    near, levels = examine(loaded, plan, store, progress or Progress(quiet=True))
    say(near)
    reasons = {failure.unit.key: failure.reason for failure in failures}
    return Heard(
        quality=_quality(plan, store, reasons),
        nearest=_nearest(plan, store, reasons),
        costs=_costs(plan, store),
        roles=_roles(loaded, plan, store),
        dependence=_dependence(plan, store),
        near=frame_of(near, NEAR_COLUMNS),
        levels=frame_of(levels, LEVEL_COLUMNS),
    )


def _quality(plan: Plan, store: Store, reasons: dict[str, str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    found = {use: _rows(store, use, QUALITY) for use in plan.quality}
    known: dict[tuple[str, str, str], dict[tuple[str, str], None]] = {}  # what other seeds have
    for use, own_rows in found.items():
        for row in own_rows or []:
            known.setdefault((use.machine, use.generator, use.embedding), {})[row["condition"], row["metric"]] = None
    for use, own_rows in found.items():
        own = {"generator": use.generator, "seed": use.seed, "embedding_name": use.embedding, "machine": use.machine}
        if own_rows is None:
            remark = reasons.get(use.key, "not computed")
            keys = known.get((use.machine, use.generator, use.embedding), {("anomaly", "fad"): None})
            rows += [own | {"condition": condition, "metric": metric, "remark": remark} for condition, metric in keys]
        rows += [row | own for row in own_rows or []]
    frame = frame_of(rows, QUALITY_COLUMNS)
    counts = ["n_real", "n_generated", "vectors_real", "vectors_generated", "dim", "floor_n"]
    texts = ["embedding", "remark"]
    return frame.fillna(dict.fromkeys(counts, 0) | dict.fromkeys(texts, "")).astype(dict.fromkeys(counts, "int64"))


def _nearest(plan: Plan, store: Store, reasons: dict[str, str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for use in plan.copies:
        own = {"machine": use.machine, "generator": use.generator, "seed": use.seed}
        found = _rows(store, use, NEAREST)
        if found is None:
            rows.append(own | {"set": "", "n_training": 0, "reason": reasons.get(use.key, "not computed")})
        rows += [row | own for row in found or []]
    return frame_of(rows, NEAREST_COLUMNS)


def _rows(store: Store, use: Listening, file: str) -> list[dict[str, Any]] | None:
    import pandas as pd

    path = store.path(use.key) / file
    return records(pd.read_parquet(path)) if path.is_file() else None


def _costs(plan: Plan, store: Store) -> pd.DataFrame:
    rows = []
    for (machine, generator, seed), key in plan.generated.items():
        if not store.has(key) or "." in generator:  # a variant costs what its generator costs
            continue
        facts = _facts(store, key)
        model = plan.units[key].task["model"]
        trained = _facts(store, model)["seconds"] if model and store.has(model) else float("nan")
        rows.append(
            {"machine": machine, "generator": generator, "seed": seed, "n_clips": len(load_clips(store, key))}
            | {"seconds": facts["seconds"], "training_seconds": trained, "parameters": facts.get("parameters")}
        )
    return frame_of(rows, COST_COLUMNS).astype({"parameters": "float64"})


def _facts(store: Store, key: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((store.path(key) / META).read_text())
    return facts


def _dependence(plan: Plan, store: Store) -> pd.DataFrame:
    rows = []
    for use in plan.scores:
        if store.has(use.key):
            own = {"machine": use.machine, "detector": use.detector, "seed": use.seed}
            rows += [own | found for found in _facts(store, use.key).get("dependence", [])]
    return frame_of(rows, DEPENDENCE_COLUMNS).astype({"difference": "float64"})


def _roles(loaded: LoadedSpec, plan: Plan, store: Store) -> pd.DataFrame:
    rows = []
    for machine, key in plan.clips.items():
        if not store.has(key):
            continue
        roles = assign_roles(load_clips(store, key), loaded.spec.holdout)
        for role in ("fit", "pool", "test"):
            counts = getattr(roles, role).frame["condition"].value_counts()
            for condition in ("normal", "anomaly", "unknown"):
                if counts.get(condition, 0):
                    count = int(counts[condition])
                    rows.append({"machine": machine, "role": role, "condition": condition, "n_clips": count})
    return frame_of(rows, ROLE_COLUMNS)
