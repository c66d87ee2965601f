"""Who may see which clips."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench.errors import UserError
from asdbench.plan import choose_machines
from asdbench.roles import assign_roles
from asdbench.spec import Holdout, load_spec
from asdbench.testing import example_clips


@pytest.fixture
def clips(tmp_path):
    from asdbench.clips import ClipSet

    return ClipSet.concat([example_clips(tmp_path, 12, 0, "train"), example_clips(tmp_path, 10, 9, "test")])


def names(clips):
    return set(clips.frame["clip_id"])


def test_roles_are_disjoint_and_complete(clips):
    roles = assign_roles(clips, Holdout(train=0.25, normal=0.5, anomaly=4))
    assert len(roles.fit) == 9
    assert set(roles.fit.frame["condition"]) == {"normal"}
    assert len(roles.pool.where(split="train")) == 3
    assert len(roles.pool.where(split="test", condition="normal")) == 5
    assert len(roles.pool.where(condition="anomaly")) == 4
    assert names(roles.fit) | names(roles.test) | names(roles.pool) == names(clips)
    assert len(roles.fit) + len(roles.test) + len(roles.pool) == len(clips)


def test_domains_are_held_out_evenly(clips):
    before = clips.where(split="test", condition="normal").frame["domain"].value_counts()
    held = assign_roles(clips, Holdout()).pool.where(condition="normal").frame["domain"].value_counts()
    assert (held - before / 2).abs().max() <= 1


def test_the_choice_depends_on_content_and_seed_only(clips):
    first = assign_roles(clips, Holdout())
    order = np.random.default_rng(0).permutation(len(clips))
    shuffled = clips.select(order)
    shuffled.frame["path"] = "elsewhere"
    assert names(assign_roles(shuffled, Holdout()).pool) == names(first.pool)
    assert names(assign_roles(clips, Holdout(seed=1)).pool) != names(first.pool)


def test_one_clip_is_not_held_out_by_a_half(clips):
    few = clips.select(~((clips.frame["condition"] == "anomaly") & (clips.frame.index > 22)).to_numpy())
    assert len(few.where(condition="anomaly")) == 1
    assert len(assign_roles(few, Holdout()).test.where(condition="anomaly")) == 1


@pytest.mark.parametrize("other", [{"split": "test"}, {"split": "test", "condition": "anomaly"}])
def test_the_same_audio_in_training_and_test_names_both_files(clips, other):
    frame = clips.frame
    copy = frame.iloc[[0]].assign(clip_id="copy", path="/data/copy.wav", **other)
    import pandas as pd

    from asdbench.clips import ClipSet

    with pytest.raises(UserError) as error:
        assign_roles(ClipSet(pd.concat([frame, copy])), Holdout(normal=0, anomaly=0))
    assert "/data/copy.wav (test" in str(error.value)
    assert frame["path"][0] in str(error.value)
    assert "(detector training)" in str(error.value)


def test_nothing_to_fit_on_is_an_error(clips):
    with pytest.raises(UserError, match=r"no normal training clip left .*0 found"):
        assign_roles(clips.where(split="test"), Holdout())
    with pytest.raises(UserError, match=r"12 found, 12 of them held out"):
        assign_roles(clips, Holdout(train=12))


def test_unknown_machines_get_the_nearest_name(spec_data, write_spec):
    spec_data["machines"] = ["fan", "punp"]
    with pytest.raises(UserError, match=r"spec.yaml:\d+: machines.1: .*'punp'; did you mean 'pump'"):
        choose_machines(load_spec(write_spec(spec_data)))
