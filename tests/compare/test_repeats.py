"""Repeated audio counts once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from asdbench.compare import compare
from asdbench.compare.repeats import by_audio, without_repeats

SETS = {
    "original": {"normal": "real", "anomaly": "real"},
    "generated": {"normal": "real", "anomaly": "generated"},
}


def table(copies: int) -> pd.DataFrame:
    """20 normal and 20 anomalous real clips, 10 generated ones, of which all but one are copies of the first."""
    rng = np.random.default_rng(0)
    rows = []
    for source, condition, count in (("real", "normal", 20), ("real", "anomaly", 20), ("g", "anomaly", copies)):
        for index in range(count):
            name = f"{source}/{condition}/{index}"
            rows.append({"source": source, "condition": condition, "clip_id": name, "content_hash": name})
            rows[-1]["score"] = float(rng.normal(condition == "anomaly"))
            if source == "g":
                rows[-1] |= {"content_hash": "one", "score": 1.5}
    frame = pd.DataFrame(rows).assign(seed=0, machine="fan", section="00", domain="none", detector="d", split="test")
    return frame.assign(generation_seed=np.where(frame["source"] == "real", -1, 0))


def test_copies_of_one_generated_clip_are_one_clip() -> None:
    once, often = (compare(table(count), SETS, ["fan"], resamples=50) for count in (1, 10))
    columns = ["auc_original", "auc_generated", "gap", "gap_low", "gap_high"]
    pd.testing.assert_frame_equal(often.gaps[columns], once.gaps[columns])
    assert often.metrics.loc[often.metrics["source"] == "g", "n_anomaly"].tolist() == [
        1,
        1,
    ]  # of all sections, and of one
    generated = often.clips[often.clips["source"] == "g"]
    assert generated[["n_clips", "n_different"]].to_numpy().tolist() == [[10, 1]]


def test_what_counts_as_repeated() -> None:
    scores = table(3)
    assert len(without_repeats(scores)) == 41
    assert len(without_repeats(scores.assign(content_hash=""))) == 43
    assert len(without_repeats(scores.assign(split="train"))) == 43
    assert len(without_repeats(pd.concat([scores, scores.assign(seed=1)], ignore_index=True))) == 82
    shuffled = scores.sample(frac=1, random_state=0)
    assert set(without_repeats(shuffled)["clip_id"]) == set(without_repeats(scores)["clip_id"])


def test_a_twin_with_a_content_hash_of_its_own_is_a_repeat() -> None:
    """Stereo or 48 kHz: another file, the same clip as it is read."""
    scores = table(10)
    twins = scores["source"] == "g"
    scores = scores.assign(audio_hash=scores["content_hash"])
    scores.loc[twins, "content_hash"] = [f"file {index}" for index in range(10)]
    assert len(without_repeats(scores)) == 50
    assert len(without_repeats(by_audio(scores))) == 41
    assert len(without_repeats(by_audio(scores.assign(audio_hash="")))) == 50
    once = compare(table(1), SETS, ["fan"], resamples=50)
    often = compare(scores, SETS, ["fan"], resamples=50)
    columns = ["auc_original", "auc_generated", "gap", "gap_low", "gap_high"]
    pd.testing.assert_frame_equal(often.gaps[columns], once.gaps[columns])
    assert often.clips.loc[often.clips["source"] == "g", ["n_clips", "n_different"]].to_numpy().tolist() == [[10, 1]]
