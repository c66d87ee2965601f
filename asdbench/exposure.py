"""What generators may have heard of the machines that they are judged on, enforced by hashes of clips.

Detector training clips and test clips are out of bounds for every generator. Of the clips that are kept for generators
(the pool), the exposure of a benchmark says whose anomalies they may use:

- ``same-machine``: those of every machine, the one that clips are made for included;
- ``other-machines``: those of other machine types only: a new machine, of which only normal recordings exist;
- ``none``: no anomalies at all.

Normal clips of the pool may always be used. Controls (`Generator.is_control`) are not limited: they give out real clips
to be measured against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.roles import Roles, assign_roles
from asdbench.spec import Exposure, Holdout

if TYPE_CHECKING:
    import pandas as pd


def training_clips(machines: Iterable[ClipSet], holdout: Holdout, exposure: Exposure, target: str | None) -> ClipSet:
    """The clips that a generator may learn from.

    Args:
        machines: all clips of each machine.
        holdout: says which clips are kept for generators.
        exposure: whose anomalies are among them.
        target: the machine that the model is for, where there is a model for each; see `model_for`.
    """
    pool = ClipSet.concat([assign_roles(clips, holdout).pool for clips in machines])
    return without_hidden(pool, exposure, target)


def without_hidden(clips: ClipSet, exposure: Exposure, target: str | None) -> ClipSet:
    """Leave out the anomalies that an exposure hides from a generator of clips of ``target``; see `training_clips`."""
    if exposure == "same-machine":
        return clips
    hidden = clips.frame["condition"] != "normal"
    if exposure == "other-machines":
        hidden &= clips.frame["machine"] == target
    return clips.select(~hidden.to_numpy(dtype=bool))


def model_for(machine: str, exposure: Exposure) -> str | None:
    """The machine that a trained model is for, None where one model serves all machines."""
    return machine if exposure == "other-machines" else None


def refuse_leaks(learnt: pd.DataFrame | None, clips: ClipSet, roles: Roles, exposure: Exposure) -> None:
    """Check what a model has learnt from against the clips of the machine that it is to make clips for.

    Args:
        learnt: what `Generator.learnt_from` says.
        clips: all clips of the machine.
        roles: who may see which of them.
        exposure: of the benchmark.

    Raises:
        UserError: the model does not say what it has learnt from; or it has learnt from detector training or test
            clips, or from anomalies that the exposure hides. The message names the files.
    """
    if learnt is None:
        raise UserError(
            "the model does not say which clips it has learnt from, so nobody can tell whether test clips are among "
            "them; expected a model with its list of training clips"
        )
    taught = _by_hash(learnt)
    for use, part in (("tests on", roles.test), ("trains detectors on", roles.fit)):
        known = part.frame[_is_known(part.frame, taught)]
        if len(known):
            first = known.iloc[0]
            theirs = taught.get(first["content_hash"]) or taught[first["audio_hash"]]
            raise UserError(
                f"the model has learnt from {len(known)} of the {len(part)} clips that this benchmark {use}, the first "
                f"is {first['path']} (to the model {theirs}); "
                "expected a model of other clips, such as trained with --spec"
            )
    if exposure == "same-machine":
        return
    machine = str(clips.frame["machine"].iat[0])
    apart = learnt["condition"] != "normal"
    if exposure == "other-machines":
        apart &= learnt["machine"] == machine
    hidden = _by_hash(clips.where(condition=["anomaly", "unknown"]).frame)  # whatever the model calls them
    anomalies = learnt[apart | _is_known(learnt, hidden)]
    if len(anomalies):
        whose = f"of {machine}" if exposure == "other-machines" else "of any machine"
        raise UserError(
            f"the model has learnt from {len(anomalies)} anomalous clips (the first is "
            f"{anomalies['clip_id'].iat[0]}), but with exposure '{exposure}' it may know no anomaly {whose}"
        )


def _by_hash(frame: pd.DataFrame) -> dict[str, str]:
    """Names of clips by each of their hashes; models of before know their training clips by content hash only."""
    return {
        str(one): str(name)
        for column in ("audio_hash", "content_hash")
        if column in frame
        for one, name in zip(frame[column], frame["clip_id"], strict=True)
        if one
    }


def _is_known(frame: pd.DataFrame, known: dict[str, str]) -> pd.Series[bool]:
    """Which clips have a hash that is known."""
    found = frame["content_hash"].isin(set(known))
    return found | frame["audio_hash"].isin(set(known)) if "audio_hash" in frame else found
