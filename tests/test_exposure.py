"""What generators may learn from, and what a model may have learnt from."""

from __future__ import annotations

import pandas as pd
import pytest

from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.exposure import model_for, refuse_leaks, training_clips, without_hidden
from asdbench.roles import assign_roles
from asdbench.spec import Holdout
from asdbench.testing import example_clips

HOLDOUT = Holdout(train=0.25)


@pytest.fixture
def fan(tmp_path):
    return ClipSet.concat([example_clips(tmp_path, 12, 0, "train"), example_clips(tmp_path, 10, 8, "test")])


@pytest.fixture
def pump(fan, tmp_path):
    part = example_clips(tmp_path / "pump", 10, 6, "test", seed=5)
    frame = part.frame.assign(machine="pump", clip_id="pump/" + part.frame["clip_id"])
    train = frame.iloc[:4].assign(split="train")
    return ClipSet(pd.concat([train, frame.iloc[4:]]), 16000)


def machine_of(fan):
    return fan.frame["machine"].iat[0]


def counts(clips):
    return clips.frame.groupby(["machine", "condition"]).size().to_dict()


def test_the_pool_of_every_machine_is_learnt_from_but_no_fit_or_test_clip(fan, pump):
    learnt = training_clips([fan, pump], HOLDOUT, "same-machine", None)
    for clips in (fan, pump):
        roles = assign_roles(clips, HOLDOUT)
        assert set(roles.pool.frame["content_hash"]) <= set(learnt.frame["content_hash"])
        for part in (roles.fit, roles.test):
            assert not set(part.frame["content_hash"]) & set(learnt.frame["content_hash"])
    assert set(learnt.frame["condition"]) == {"normal", "anomaly"}


def test_exposure_hides_the_anomalies_of_the_machine_or_all(fan, pump):
    name = machine_of(fan)
    whole = counts(training_clips([fan, pump], HOLDOUT, "same-machine", None))
    others = counts(training_clips([fan, pump], HOLDOUT, "other-machines", name))
    none = counts(training_clips([fan, pump], HOLDOUT, "none", None))
    assert others == {key: value for key, value in whole.items() if key != (name, "anomaly")}
    assert none == {key: value for key, value in whole.items() if key[1] == "normal"}
    assert model_for(name, "other-machines") == name
    assert model_for(name, "same-machine") is None


def test_what_generators_see_while_they_generate(fan):
    pool = assign_roles(fan, HOLDOUT).pool
    assert without_hidden(pool, "same-machine", machine_of(fan)) is pool
    for exposure in ("other-machines", "none"):
        assert set(without_hidden(pool, exposure, machine_of(fan)).frame["condition"]) == {"normal"}


def learnt(*parts):
    return ClipSet.concat(parts).frame[["clip_id", "machine", "condition", "content_hash"]]


def test_a_model_that_knows_a_test_or_a_training_clip_is_refused(fan):
    roles = assign_roles(fan, HOLDOUT)
    refuse_leaks(learnt(roles.pool), fan, roles, "same-machine")
    for part, words in ((roles.test, "tests on"), (roles.fit, "trains detectors on")):
        leak = part.select([0])
        with pytest.raises(UserError, match=f"1 of the {len(part)} clips that .* {words}.*{leak.frame['path'].iat[0]}"):
            refuse_leaks(learnt(roles.pool, leak), fan, roles, "same-machine")


def test_a_model_that_knows_hidden_anomalies_is_refused_by_content_whatever_it_calls_them(fan, pump):
    roles = assign_roles(fan, HOLDOUT)
    known = learnt(roles.pool)
    for exposure in ("other-machines", "none"):
        with pytest.raises(UserError, match=f"has learnt from 4 anomalous clips .* exposure '{exposure}'"):
            refuse_leaks(known, fan, roles, exposure)
        with pytest.raises(UserError, match="anomalous clips"):
            refuse_leaks(known.assign(condition="normal", machine="other"), fan, roles, exposure)
    elsewhere = learnt(roles.pool.where(condition="normal"), assign_roles(pump, HOLDOUT).pool)
    refuse_leaks(elsewhere, fan, roles, "other-machines")
    with pytest.raises(UserError, match="no anomaly of any machine"):
        refuse_leaks(elsewhere, fan, roles, "none")


def test_a_model_that_does_not_say_what_it_knows_is_refused(fan):
    with pytest.raises(UserError, match="does not say which clips it has learnt from"):
        refuse_leaks(None, fan, assign_roles(fan, HOLDOUT), "same-machine")
