"""Who may see which real clips: detector training, test sets and generators are disjoint, and this is checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asdbench.clips import ClipSet
from asdbench.copies import pairs_named
from asdbench.errors import NotApplicableError, UserError
from asdbench.holding_out import held_out
from asdbench.segments import overlaps
from asdbench.spec import Holdout


@dataclass(frozen=True)
class Roles:
    """The clips of one machine, by who may use them.

    Attributes:
        fit: normal training clips that detectors learn from.
        test: the real clips of the test sets.
        pool: real clips, normal and anomalous, that generators may use.
        notes: a sentence for each group (such as a recording) that had to be divided between roles.
    """

    fit: ClipSet
    test: ClipSet
    pool: ClipSet
    notes: tuple[str, ...] = ()


def assign_roles(clips: ClipSet, holdout: Holdout) -> Roles:
    """Divide the clips of one machine.

    A group of clips, such as those that are cut from one recording, has one role. A group of the test side with normal
    and anomalous clips goes where its normal clips go. Where there are too few groups to divide, single clips are
    divided and a note says so. See `asdbench.holding_out.held_out` for what is chosen.

    Raises:
        NotApplicableError: the machine has no normal training clip.
        UserError: all of these are held out, or the same audio, or a part of it, would have two roles (the message
            names the files).
    """
    frame = clips.frame
    train = (frame["split"] == "train").to_numpy()
    normal, anomaly = (frame["condition"] == "normal").to_numpy(), (frame["condition"] == "anomaly").to_numpy()
    held = train & anomaly  # no detector learns from anomalies; a generator may
    notes = []
    machine = str(frame["machine"].iat[0]) if len(frame) else "?"

    def divide(name: str, what: str, mask: np.ndarray, amount: float) -> None:
        chosen, note = held_out(frame, np.flatnonzero(mask), name, amount, holdout.seed)
        held[chosen] = True
        if note:
            notes.append(f"machine '{machine}', {what}: {note}")

    divide("train", "normal training clips", train & normal, holdout.train)
    divide("normal", "normal test clips", ~train & normal, holdout.normal)
    # Anomalies follow the normal clips of their group, unless these had to be divided: then they are divided as well.
    kept, given = (set(frame["group"][~train & normal & where]) for where in (~held, held))
    follows = ~train & anomaly & frame["group"].isin(kept ^ given).to_numpy()
    held |= follows & frame["group"].isin(given).to_numpy()
    amount = holdout.anomaly
    if amount >= 1:
        amount = max(0.0, amount - int((held & ~train & anomaly).sum()))
    divide("anomaly", "anomalous test clips", ~train & anomaly & ~follows, amount)
    roles = np.where(held, "pool", np.where(train, "fit", "test"))
    labelled = np.char.add(roles.astype(str), np.where(anomaly, ", anomaly", ""))
    columns = (frame[name] for name in ("path", "content_hash", "audio_hash"))
    refuse_shared_audio(zip(labelled.tolist(), *columns, strict=True))
    if shared := overlaps(frame["path"].tolist(), roles.tolist()):
        pairs = pairs_named([f"{one} and {other}" for one, other in shared])
        raise UserError(
            f"clips of a recording that overlap would have two roles: {pairs}; with so few recordings of machine "
            f"'{machine}' clips must not overlap (hop_seconds as clip_seconds)"
        )
    fit = clips.select((roles == "fit") & normal)
    if not len(fit):
        raise (UserError if (train & normal).any() else NotApplicableError)(
            f"machine '{machine}' has no normal training clip left to fit detectors on "
            f"({int((train & normal).sum())} found, {int((held & train).sum())} of them held out)"
        )
    return Roles(fit=fit, test=clips.select(roles == "test"), pool=clips.select(roles == "pool"), notes=tuple(notes))


def refuse_shared_audio(uses: Iterable[tuple[str, str, str, str]]) -> None:
    """Check that no audio has two roles: neither a whole file nor the audio that is read of it.

    Args:
        uses: (role, path, content hash, audio hash) of each clip.

    Raises:
        UserError: names the pairs of files.
    """
    seen: dict[str, tuple[str, str, str]] = {}
    found: dict[tuple[str, str], str] = {}
    for role, path, *hashes in uses:
        for one in dict.fromkeys(filter(None, hashes)):
            first_role, first_path, content = seen.setdefault(one, (role, path, hashes[0]))
            if first_role != role:
                how = "" if content == hashes[0] else ", the same in the channel and at the rate that are read"
                names = f"{first_path} ({_WORDS.get(first_role, first_role)}) and {path} ({_WORDS.get(role, role)})"
                found.setdefault((first_path, path), names + how)
    if found:
        named = pairs_named(list(found.values()))
        raise UserError(f"the same audio has two roles: {named}; remove one of the files of each pair")


_WORDS = {
    "fit": "detector training",
    "test": "test, normal",
    "test, anomaly": "test, anomalous",
    "pool": "held out for generators, normal",
    "pool, anomaly": "held out for generators, anomalous",
}
