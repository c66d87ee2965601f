"""Hashes of the audio of scored clips as it is read, by which a stereo or 48 kHz twin is known as a repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asdbench.clips import AUDIO_HASH
from asdbench.execute.job import load_clips

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.plan import Plan
    from asdbench.store import Store


def with_audio_hashes(scores: pd.DataFrame, plan: Plan, store: Store) -> pd.DataFrame:
    """The score table with the column ``audio_hash``, where that of a clip is another than its content hash."""
    hashes: dict[tuple[str, str, int, str], str] = {}
    sets = [(machine, "real", -1, key) for machine, key in plan.clips.items()]
    sets += [(machine, generator, seed, key) for (machine, generator, seed), key in plan.generated.items()]
    for machine, source, seed, key in sets:
        if store.has(key):
            frame = load_clips(store, key).frame
            other = frame[(frame[AUDIO_HASH] != frame["content_hash"]) & (frame[AUDIO_HASH] != "")]
            pairs = zip(other["clip_id"], other[AUDIO_HASH], strict=True)
            hashes |= {(machine, source, seed, str(clip)): str(audio) for clip, audio in pairs}
    if not hashes:
        return scores
    names = zip(scores["machine"], scores["source"], scores["generation_seed"], scores["clip_id"], strict=True)
    found = [hashes.get(name, content) for name, content in zip(names, scores["content_hash"], strict=True)]
    return scores.assign(**{AUDIO_HASH: found})
