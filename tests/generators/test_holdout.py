"""The bounds: real clips given out as if generated."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from asdbench import ClipSet, GeneratedClip, Generator, NotApplicableError, Request, UserError
from asdbench.generators.holdout import NormalHoldout, RealHoldout
from asdbench.generators.shared.matching import LEVELS
from asdbench.testing import check_generator

MakePool = Callable[..., ClipSet]
MakeRequest = Callable[..., Request]

BOTH = pytest.mark.parametrize(
    ("plugin", "condition"), [(RealHoldout, "anomaly"), (NormalHoldout, "normal")], ids=["real", "normal"]
)


def generate(plugin: type[Generator], request: Request, seed: int = 0) -> list[GeneratedClip]:
    instance = plugin()
    instance.seed = seed
    return list(instance.generate(request))


def hosts(clips: list[GeneratedClip]) -> list[str]:
    return [clip.provenance["host"] for clip in clips]


@BOTH
def test_keeps_the_contract(plugin: type[Generator], condition: str) -> None:
    assert not plugin.independent_rows
    check_generator(plugin)


@BOTH
def test_gives_each_clip_of_its_condition_once_and_unchanged(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    pool = make_pool([{"condition": c} for c in ("normal", "anomaly") * 8])
    clips = generate(plugin, make_request(pool, [{}] * 8))
    names = hosts(clips)
    assert sorted(names) == sorted(pool.where(condition=condition).frame["clip_id"])
    for clip in clips:
        index = list(pool.frame["clip_id"]).index(clip.provenance["host"])
        np.testing.assert_array_equal(clip.waveform, pool.waveform(index))
        assert clip.provenance == {
            "host": pool.frame["clip_id"][index],
            "host_content_hash": pool.frame["content_hash"][index],
            "match": "attributes",
            "seed": 0,
        }
        json.dumps(clip.provenance)


@BOTH
def test_order_of_request_and_pool_do_not_matter_and_the_seed_does(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    pool = make_pool([{"condition": condition}] * 9)
    request = make_request(pool, [{}] * 6)
    names = hosts(generate(plugin, request))
    order = [3, 0, 5, 1, 4, 2]
    shuffled = Request(request.rows.iloc[order], pool.select([4, 8, 0, 1, 7, 2, 6, 3, 5]), 16000)
    assert hosts(generate(plugin, shuffled)) == [names[index] for index in order]
    assert hosts(generate(plugin, request, seed=1)) != names
    assert names != sorted(names)


@BOTH
def test_best_matches_come_first(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    pool = make_pool(
        [
            {"clip_id": "exact", "domain": "target", "attributes": {"vel": "6"}, "condition": condition},
            {"clip_id": "speed", "domain": "target", "attributes": {"vel": "8"}, "condition": condition},
            {"clip_id": "domain", "domain": "source", "attributes": {"vel": "6"}, "condition": condition},
            {"clip_id": "section", "section": "01", "domain": "target", "condition": condition},
        ]
    )
    request = make_request(pool, [{"domain": "target", "attributes": {"vel": "6"}}] * 4)
    for seed in range(5):
        clips = generate(plugin, request, seed)
        assert {clip.provenance["host"]: clip.provenance["match"] for clip in clips} == {
            "exact": "attributes",
            "speed": "domain",
            "domain": "section",
            "section": "machine",
        }
        given = {clip.provenance["host"]: clip.attributes for clip in clips}
        assert given == {"exact": None, "speed": {"vel": "8"}, "domain": None, "section": {}}


def test_no_other_pairing_has_more_matches(make_pool: MakePool, make_request: MakeRequest) -> None:
    """Against all pairings of small random cases."""
    draw = np.random.default_rng(0)

    def labels(count: int) -> list[dict[str, object]]:
        return [
            {
                "section": f"0{draw.integers(2)}",
                "domain": str(draw.choice(["source", "target"])),
                "attributes": {"vel": str(draw.integers(2))},
            }
            for _ in range(count)
        ]

    for _ in range(8):
        pool = make_pool([{**label, "condition": "anomaly"} for label in labels(5)])
        request = make_request(pool, labels(4))

        def level(row: int, clip: int, request: Request = request, pool: ClipSet = pool) -> int:
            """How good a match is: 0 (best) to 3."""
            return next(
                number
                for number, columns in enumerate(LEVELS.values())
                if all(request.rows[c].iloc[row] == pool.frame[c].iloc[clip] for c in columns)
            )

        def quality(levels: list[int]) -> list[int]:
            """Pairs that match at each level or better."""
            return [sum(one <= bound for one in levels) for bound in range(3)]

        found = quality([list(LEVELS).index(c.provenance["match"]) for c in generate(RealHoldout, request)])
        best = [quality([level(*pair) for pair in enumerate(order)]) for order in permutations(range(5), 4)]
        assert found == np.max(best, axis=0).tolist()


def test_real_holdout_gives_normal_clips_for_normal_rows(make_pool: MakePool, make_request: MakeRequest) -> None:
    pool = make_pool([{"condition": c} for c in ("normal", "anomaly") * 4])
    asked = ["normal", "anomaly", "normal", "anomaly", "anomaly"]
    clips = generate(RealHoldout, make_request(pool, [{"condition": c} for c in asked]))
    by_name = pool.frame.set_index("clip_id")["condition"]
    assert [by_name[name] for name in hosts(clips)] == asked


@BOTH
def test_too_few_clips_are_refused_with_the_numbers(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    other = "normal" if condition == "anomaly" else "anomaly"
    pool = make_pool([{"condition": condition}] * 2 + [{"condition": other}] * 5 + [{"machine": "pump"}])
    pattern = (
        rf"3 {condition} clips of machine 'fan' are needed, but 2 kept for generators; 'holdout: {{{condition}: …}}'"
    )
    with pytest.raises(UserError, match=pattern):
        generate(plugin, make_request(pool, [{}] * 3))
    with pytest.raises(NotApplicableError, match=rf"no {condition} clip of machine 'valve' is kept for generators"):
        generate(plugin, make_request(pool, [{"machine": "valve"}]))


@BOTH
def test_an_empty_pool_is_refused(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    with pytest.raises(NotApplicableError, match=f"no {condition} clip of machine 'fan' is kept"):
        generate(plugin, make_request(make_pool([]), [{}]))


@BOTH
def test_nothing_asked_for_nothing_given(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    request = make_request(make_pool([{"condition": condition}]), [{}])
    assert generate(plugin, Request(request.rows.iloc[:0], request.pool, 16000)) == []


def test_floor_and_ceiling_with_an_oracle_detector(make_pool: MakePool, make_request: MakeRequest) -> None:
    """A detector that knows the truth: the floor is 0.5 and the ceiling 1."""
    pool = make_pool([{"condition": c} for c in ("normal", "anomaly") * 20])
    truth = (pool.frame.set_index("clip_id")["condition"] == "anomaly").astype(float)
    request = make_request(pool, [{}] * 20)
    real_normals = np.zeros(20)
    for plugin, auc in ((RealHoldout, 1.0), (NormalHoldout, 0.5)):
        scores = truth[hosts(generate(plugin, request))].to_numpy()
        labels = pd.Series([0] * 20 + [1] * 20)
        assert roc_auc_score(labels, np.concatenate([real_normals, scores])) == auc


def test_clips_are_returned_at_the_rate_asked_for(make_pool: MakePool, make_request: MakeRequest) -> None:
    pool = make_pool([{"condition": "anomaly"}])
    (clip,) = generate(RealHoldout, make_request(pool, [{}], sample_rate=8000))
    assert len(clip.waveform) == pool.frame["num_samples"][0] // 2


@BOTH
def test_as_many_rows_are_met_as_there_are_clips(
    plugin: type[Generator], condition: str, make_pool: MakePool, make_request: MakeRequest
) -> None:
    pool = make_pool([{"condition": condition}, {"condition": condition, "domain": "target"}])
    request = make_request(pool, [{}, {}, {"domain": "target"}, {}])
    instance = plugin()
    instance.seed = 0
    met = list(instance.met_rows(request))
    assert len(met) == 2 and 2 in met  # the row that a clip fits best is among them
    rows = request.rows.iloc[met].reset_index(drop=True)
    assert len(generate(plugin, Request(rows, pool, 16000))) == 2
    assert list(instance.met_rows(make_request(pool, [{}]))) == [0]
    with pytest.raises(NotApplicableError, match=f"no {condition} clip of machine 'fan' is kept"):
        instance.met_rows(make_request(make_pool([]), [{}]))
