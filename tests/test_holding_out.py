"""Division of clips and of groups of clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asdbench.clips import ClipSet
from asdbench.holding_out import held_out
from asdbench.roles import assign_roles
from asdbench.spec import Holdout
from asdbench.testing import example_clips


def table(groups, domains=None):
    return pd.DataFrame(
        {
            "group": groups,
            "section": "00",
            "domain": domains or ["source"] * len(groups),
            "content_hash": [f"hash{place:03d}" for place in range(len(groups))],
        }
    )


def recordings(*sizes):
    return [f"r{place}" for place, size in enumerate(sizes) for _ in range(size)]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_held_out_whole_and_come_nearest_to_the_share(seed):
    frame = table(recordings(*[10] * 8))
    rows, note = held_out(frame, np.arange(80), "normal", 0.5, seed)
    chosen = set(frame["group"].iloc[rows])
    assert note == ""
    assert len(chosen) == 4
    assert list(rows) == list(np.flatnonzero(frame["group"].isin(chosen)))


def test_another_seed_and_another_name_draw_other_groups_and_the_order_of_clips_does_not_matter():
    frame = table(recordings(*[5] * 12))

    def groups(name="normal", seed=0, frame=frame):
        return frozenset(frame["group"].iloc[held_out(frame, np.arange(60), name, 0.5, seed)[0]])

    assert len({groups(seed=seed) for seed in range(5)} | {groups("anomaly")}) > 3
    shuffled = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    assert groups(frame=shuffled) == groups()


def test_a_count_takes_groups_until_their_size_comes_nearest():
    rows, _ = held_out(table(recordings(10, 10, 10, 10)), np.arange(40), "normal", 21, 0)
    assert len(rows) == 20


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.99, 3)])
def test_at_least_one_group_is_held_out_and_one_stays(share, expected):
    frame = table(recordings(10, 10, 10, 10))
    rows, note = held_out(frame, np.arange(40), "normal", share, 0)
    assert frame["group"].iloc[rows].nunique() == expected
    assert note == ""


def test_nothing_is_held_out_by_nothing():
    rows, note = held_out(table(recordings(10, 10)), np.arange(20), "normal", 0.0, 0)
    assert len(rows) == 0
    assert note == ""


def test_a_single_group_is_divided_by_clip_with_a_note():
    rows, note = held_out(table(recordings(10)), np.arange(10), "normal", 0.5, 0)
    assert len(rows) == 5
    assert "'r0', which is divided; at least two groups are needed" in note


def test_each_domain_gives_its_share_where_it_has_groups_enough():
    frame = table(recordings(*[10] * 8), ["source"] * 40 + ["target"] * 40)
    rows, _ = held_out(frame, np.arange(80), "normal", 0.5, 0)
    assert frame["domain"].iloc[rows].value_counts().to_dict() == {"source": 20, "target": 20}


def test_domains_with_a_single_group_are_divided_together():
    frame = table(recordings(10, 10), ["source"] * 10 + ["target"] * 10)
    rows, note = held_out(frame, np.arange(20), "normal", 0.5, 0)
    assert frame["group"].iloc[rows].nunique() == 1
    assert note == ""


@pytest.fixture
def clips(tmp_path):
    return ClipSet.concat([example_clips(tmp_path, 12, 0, "train"), example_clips(tmp_path, 12, 12, "test")])


def with_groups(clips, groups):
    return ClipSet(clips.frame.assign(group=groups))


def test_no_group_has_two_roles(clips):
    groups = [f"{split}-{condition}-{place % 4}" for place, (split, condition) in enumerate(_labels(clips))]
    roles = assign_roles(with_groups(clips, groups), Holdout(train=0.5, normal=0.5, anomaly=0.5))
    of_role = [set(part.frame["group"]) for part in (roles.fit, roles.test, roles.pool)]
    assert sum(map(len, of_role)) == len(set(groups)) == 12
    assert [len(one) for one in of_role] == [2, 4, 6]
    assert roles.notes == ()


def test_anomalies_go_where_the_normal_clips_of_their_recording_go(clips):
    groups = [f"{split}-{place % 4}" for place, (split, _) in enumerate(_labels(clips))]
    roles = assign_roles(with_groups(clips, groups), Holdout())
    pool, test = set(roles.pool.frame["group"]), set(roles.test.frame["group"])
    assert not pool & test
    assert len(roles.pool.where(condition="anomaly")) == len(roles.pool.where(condition="normal")) == 6


def test_a_recording_that_is_divided_is_named_with_its_machine(clips):
    groups = ["one" if condition == "anomaly" else f"n{place}" for place, (_, condition) in enumerate(_labels(clips))]
    roles = assign_roles(with_groups(clips, groups), Holdout())
    assert roles.notes == (
        "machine 'example', anomalous test clips: all 12 clips are of the group 'one', which is divided; "
        "at least two groups are needed",
    )
    assert len(roles.pool.where(condition="anomaly")) == 6


def test_a_recording_with_both_conditions_that_has_to_be_divided_leaves_anomalies_to_both_sides(clips):
    groups = ["one" if split == "test" else f"n{place}" for place, (split, _) in enumerate(_labels(clips))]
    roles = assign_roles(with_groups(clips, groups), Holdout())
    assert len(roles.pool.where(condition="anomaly")) == len(roles.test.where(condition="anomaly")) == 6
    assert len(roles.pool.where(condition="normal")) == len(roles.test.where(condition="normal")) == 6
    assert [note.split(":")[0] for note in roles.notes] == [
        "machine 'example', normal test clips",
        "machine 'example', anomalous test clips",
    ]


def _labels(clips):
    return list(zip(clips.frame["split"], clips.frame["condition"], strict=True))
