"""Training clips with captions: what they say, what is left out, and which words are those of severity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from asdbench import ClipSet
from asdbench.generators.shared.captions import Description
from asdbench.generators.texture.captioned import (
    CaptionedClip,
    captioned_clips,
    severity_phrases,
    vocabulary_of,
)


def described(index: int = 0, **changes: Any) -> CaptionedClip:
    description = Description(**{"machine": "slider", "condition": "anomaly", **changes})
    return CaptionedClip(index, {}, description, "")


def test_names_are_words_of_machine_and_condition_and_those_of_normal_clips_the_base() -> None:
    clip = described(fault="worn rail", severity=1.5)
    assert clip.names == ("slide", "rail", "anomalous")
    assert clip.base == ("slide", "rail", "normal")


def test_labels_are_by_name_whether_the_caption_names_them_or_not() -> None:
    clip = described(attributes={"vel": "6_fast"}, domain="target", fault="worn rail", severity=1.5)
    assert clip.labels == {
        "vel": {"6", "fast"},
        "domain": {"target"},
        "fault": {"worn", "rail"},
        "severity": {"severe"},
    }


def test_words_of_severity_that_mean_something_else_too_are_left_out() -> None:
    clips = [described(severity=0.6), described(severity=1.5), described(attributes={"load": "slight"})]
    assert severity_phrases(clips) == {"severe"}
    assert vocabulary_of(clips) == {"unknown", "slight", "severe"}


def test_some_anomalies_name_neither_fault_nor_severity(clips: ClipSet) -> None:
    many = pd.concat([clips.frame] * 40, ignore_index=True)
    many["content_hash"] = [str(number) for number in range(len(many))]
    for share in (0.0, 0.25, 1.0):
        captioned = captioned_clips(ClipSet(many), "same-machine", 3, share)
        anomalies = [clip for clip in captioned if clip.description.condition == "anomaly"]
        vague = np.mean([clip.description.fault is None for clip in anomalies])
        assert abs(vague - share) < 0.08
        for clip in anomalies:
            assert ("unknown type" in clip.caption) == (clip.description.fault is None)
            assert (clip.description.fault or "fault") in clip.caption


def test_captions_depend_on_seed_and_content_alone(clips: ClipSet) -> None:
    captions = {clip.row["content_hash"]: clip.caption for clip in captioned_clips(clips, "same-machine", 1, 0.1)}
    backwards = clips.select(np.arange(len(clips))[::-1])
    again = {clip.row["content_hash"]: clip.caption for clip in captioned_clips(backwards, "same-machine", 1, 0.1)}
    assert again == captions
    other = {clip.row["content_hash"]: clip.caption for clip in captioned_clips(clips, "same-machine", 2, 0.1)}
    assert other != captions
