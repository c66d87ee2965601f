"""Official scores of DCASE Task 2 by year, and the result table that the challenge's files hold.

| year | averaged | over | mean | source |
|---|---|---|---|---|
| 2020 | AUC, pAUC | machine types, of the mean over machine IDs | arithmetic | Koizumi et al., arXiv 2006.05822 |
| 2021 | AUC and pAUC within each domain | machine types, sections, domains | harmonic | Kawaguchi et al., arXiv 2106.04492 |
| 2022 | AUC of each domain's normal clips against all anomalous ones; pAUC of all clips | machine types, sections | harmonic | Dohi et al., arXiv 2206.05876 |
| 2023 | as 2022, one section | | harmonic | Dohi et al., arXiv 2305.07828 |
| 2024-2026 | as 2023 | | harmonic | Nishida et al., arXiv 2406.07250, 2506.10097, 2606.01578 |

In 2020 teams were ranked by AUC and pAUC apart; the mean of the two is what one number is usually quoted for.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asdbench.metrics import detection
from asdbench.metrics.threshold import precision_recall_f1

if TYPE_CHECKING:
    import pandas as pd

_SINCE_2022 = ("auc_source", "auc_target", "pauc")
MEASURES = {
    2020: ("auc", "pauc"),
    2021: ("auc_source_only", "auc_target_only", "pauc_source", "pauc_target"),
    2022: _SINCE_2022,
    2023: _SINCE_2022,
    2024: _SINCE_2022,
    2025: _SINCE_2022,
    2026: _SINCE_2022,
}
"""What is averaged in each year: names of functions in `asdbench.metrics.detection`."""

EPSILON = float(np.finfo(np.float64).eps)

ALL = "all"
"""Stands in the columns ``machine`` and ``section`` of rows over all of them."""


@dataclass(frozen=True)
class OfficialScore:
    """An official score with everything it is made of.

    Attributes:
        year: year of the challenge.
        rows: one row a value, with the columns

            - ``machine``, ``section``: `ALL` for rows over all of them;
            - ``row``: "section", "arithmetic mean" or "harmonic mean" (over the sections of a machine or, where machine
              is `ALL`, over all machines);
            - ``measure``, ``value`` (NaN where undefined), ``n_normal``, ``n_anomaly``, ``reason``.
        total: the official score; NaN unless every machine can be scored.
        reason: why ``total`` is NaN, or "".
        partial: the same mean over the machines that can be scored; NaN if there are none.
        scored: names of these machines.
        missing: reason by name of the machines that cannot be scored.
    """

    year: int
    rows: pd.DataFrame
    total: float
    reason: str
    partial: float
    scored: tuple[str, ...]
    missing: dict[str, str]


def official_score(
    scores: pd.DataFrame, year: int, machines: Sequence[str], reasons: dict[str, str] | None = None
) -> OfficialScore:
    """Compute the official score of one detector on one test set.

    Args:
        scores: one row a test clip with ``machine``, ``section``, ``domain``, ``condition`` ("normal" or "anomaly";
            clips of unknown condition are left out) and ``score``.
        year: one of `MEASURES`.
        machines: the machine types that make up the score. One that is absent from ``scores`` is missing, not skipped.
        reasons: why a machine has no scores, where that is known already.

    Raises:
        ValueError: the year is unknown, or scores are not finite.
    """
    import pandas as pd

    if year not in MEASURES:
        raise ValueError(
            f"there is no official score of {year}; expected a year from {min(MEASURES)} to {max(MEASURES)}"
        )
    rows: list[dict[str, object]] = []
    values: dict[str, npt.NDArray[np.float64]] = {}
    missing: dict[str, str] = {}
    for machine in machines:
        sections = _section_rows(scores[scores["machine"] == machine], machine, MEASURES[year])
        rows += sections
        undefined = [row for row in sections if row["reason"]]
        if not sections:
            missing[machine] = (reasons or {}).get(machine) or "no scored test clip"
        elif undefined:
            one_section = len({row["section"] for row in sections}) == 1
            texts = [str(r["reason"]) if one_section else f"section {r['section']}: {r['reason']}" for r in undefined]
            missing[machine] = (reasons or {}).get(machine) or "; ".join(dict.fromkeys(texts))
        else:
            values[machine] = np.array([row["value"] for row in sections]).reshape(-1, len(MEASURES[year]))
            rows += _mean_rows(machine, MEASURES[year], values[machine])
    partial = _total(year, list(values.values()))
    reason = _name_missing(missing)
    if not missing and values:
        by_machine = [table.mean(axis=0) for table in values.values()] if year == 2020 else list(values.values())
        rows += _mean_rows(ALL, MEASURES[year], np.vstack(by_machine))
    else:
        rows += [
            _row(ALL, ALL, mean, measure, float("nan"), reason=reason)
            for mean in ("arithmetic mean", "harmonic mean")
            for measure in MEASURES[year]
        ]
    return OfficialScore(
        year=year,
        rows=pd.DataFrame(rows),
        total=float("nan") if missing else partial,
        reason=reason,
        partial=partial,
        scored=tuple(values),
        missing=missing,
    )


def harmonic_mean(values: npt.ArrayLike) -> float:
    """Harmonic mean with values below machine epsilon floored there, so that one AUC of 0 gives about 0 and no error.

    NaN if a value is NaN or there is none.
    """
    array = np.asarray(values, dtype=np.float64)
    return float(array.size / np.sum(1.0 / np.maximum(array, EPSILON))) if array.size else float("nan")


def arithmetic_mean(values: npt.ArrayLike) -> float:
    """Arithmetic mean; NaN if a value is NaN or there is none."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if array.size else float("nan")


_RESULT_AREAS = {
    "AUC (source)": "auc_source",
    "AUC (target)": "auc_target",
    "pAUC": "pauc",
    "pAUC (source)": "pauc_source",
    "pAUC (target)": "pauc_target",
}


def result_areas(year: int) -> dict[str, str]:
    """The areas of a year's result files: name of the measure in `asdbench.metrics.detection` by column."""
    if year == 2020:
        return {"AUC": "auc", "pAUC": "pauc"}
    within = {"AUC (source)": "auc_source_only", "AUC (target)": "auc_target_only"} if year == 2021 else {}
    return _RESULT_AREAS | within


def decision_columns(year: int) -> list[tuple[str, str | None]]:
    """Columns of a year's result files that follow from decisions, and the domain of each; None for all clips."""
    domains = (None,) if year == 2020 else ("source", "target")
    names = ("precision", "recall", "F1 score")
    return [(name if domain is None else f"{name} ({domain})", domain) for name in names for domain in domains]


def result_table(scores: pd.DataFrame, year: int = 2023) -> pd.DataFrame:
    """Build the result file of one machine as the challenge publishes it.

    Args:
        scores: one row a test clip with ``section``, ``domain``, ``condition``, ``score`` and ``decision`` (1 where the
            clip is called anomalous; NaN where nothing was decided).
        year: of the challenge: before 2021 there are no domains, and in 2021 the AUC of a domain is within the domain.

    Returns:
        One row a section, then "arithmetic mean" and "harmonic mean"; the columns are those of the published files.
        Precision, recall and F1 of a domain are over its own clips. NaN where a value is not defined; means of a column
        with such a value are NaN too.
    """
    import pandas as pd

    table = []
    for section, clips in sorted(scores.groupby("section"), key=lambda item: str(item[0])):
        is_anomaly, score, domain = arrays(clips)
        row: dict[str, object] = {"section": section}
        for header, name in result_areas(year).items():
            row[header] = getattr(detection, name)(is_anomaly, score, domain)
        decision = _known(clips)["decision"].to_numpy(dtype=np.float64)
        for header, wanted in decision_columns(year):
            inside = np.ones(len(score), dtype=bool) if wanted is None else domain == wanted
            decided = not np.isnan(decision[inside]).any()
            values = precision_recall_f1(is_anomaly[inside], decision[inside] == 1) if decided else (float("nan"),) * 3
            row[header] = values[("precision", "recall", "F1 score").index(header.partition(" (")[0])]
        table.append(row)
    return with_means(pd.DataFrame(table))


def with_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Add "arithmetic mean" and "harmonic mean" to a table whose first column is named ``section``."""
    import pandas as pd

    means = [
        {"section": name, **{column: mean(rows[column]) for column in rows.columns[1:]}}
        for name, mean in (("arithmetic mean", arithmetic_mean), ("harmonic mean", harmonic_mean))
    ]
    return pd.concat([rows, pd.DataFrame(means)], ignore_index=True)


def arrays(clips: pd.DataFrame) -> tuple[detection.Labels, detection.Scores, detection.Domains]:
    """Return ``is_anomaly``, ``score`` and ``domain`` of the clips whose condition is known."""
    known = _known(clips)
    return (
        (known["condition"] == "anomaly").to_numpy(dtype=bool),
        known["score"].to_numpy(dtype=np.float64),
        known["domain"].to_numpy(dtype=object),
    )


def _known(clips: pd.DataFrame) -> pd.DataFrame:
    return clips[clips["condition"].isin(["normal", "anomaly"])]


def _section_rows(clips: pd.DataFrame, machine: str, measures: Sequence[str]) -> list[dict[str, object]]:
    rows = []
    for section in sorted(clips["section"].unique()):
        is_anomaly, score, domain = arrays(clips[clips["section"] == section])
        for measure in measures:
            contrast = detection.CONTRASTS[measure]
            value = getattr(detection, measure)(is_anomaly, score, domain)
            mask = contrast.mask(is_anomaly, domain)
            counts = int((mask & ~is_anomaly).sum()), int((mask & is_anomaly).sum())
            reason = detection.why_undefined(contrast, is_anomaly, domain)
            rows.append(_row(machine, section, "section", measure, value, *counts, reason=reason))
    return rows


def _mean_rows(machine: str, measures: Sequence[str], values: npt.NDArray[np.float64]) -> list[dict[str, object]]:
    """Rows with the means of ``values``, shape (sections or machines, measures), over the first axis."""
    return [
        _row(machine, ALL, name, measure, mean(column))
        for name, mean in (("arithmetic mean", arithmetic_mean), ("harmonic mean", harmonic_mean))
        for measure, column in zip(measures, values.T, strict=True)
    ]


def _row(
    machine: str,
    section: str,
    row: str,
    measure: str,
    value: float,
    n_normal: int | None = None,
    n_anomaly: int | None = None,
    reason: str = "",
) -> dict[str, object]:
    return {
        "machine": machine,
        "section": section,
        "row": row,
        "measure": measure,
        "value": value,
        "n_normal": n_normal,
        "n_anomaly": n_anomaly,
        "reason": reason,
    }


def _total(year: int, values: list[npt.NDArray[np.float64]]) -> float:
    """The official mean over machines; each array is (sections, measures)."""
    if not values:
        return float("nan")
    if year == 2020:  # IDs are averaged within a machine first: machines have different numbers of them
        return arithmetic_mean([table.mean() for table in values])
    return harmonic_mean(np.concatenate([table.ravel() for table in values]))


def _name_missing(missing: dict[str, str]) -> str:
    return "; ".join(f"{machine}: {reason}" for machine, reason in missing.items())
