"""The generator `effects`: hosts, draws, provenance, refusals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import soundfile

from asdbench import ClipSet, GeneratedClip, Request, UserError
from asdbench.generators.effects import EFFECTS, Effects
from asdbench.testing import check_generator

MakePool = Callable[..., ClipSet]
MakeRequest = Callable[..., Request]


def generate(request: Request, seed: int = 0, **settings: Any) -> list[GeneratedClip]:
    effects = Effects(**settings)
    effects.seed = seed
    return list(effects.generate(request))


@pytest.fixture
def pool(make_pool: MakePool) -> ClipSet:
    return make_pool([{}, {}, {}, {}, {"condition": "anomaly"}, {"machine": "pump"}])


def test_keeps_the_contract() -> None:
    check_generator(Effects)
    check_generator(Effects, effects=["pitch_shift", "clipping"], severity=1.0)


def test_every_effect_is_drawn_about_equally_often(make_request: MakeRequest, pool: ClipSet) -> None:
    clips = generate(make_request(pool, [{}] * 330), effects=["tones", "clipping", "modulation"])
    drawn = Counter(clip.provenance["effect"] for clip in clips)
    assert set(drawn) == {"tones", "clipping", "modulation"}
    assert min(drawn.values()) > 80


def test_all_effects_by_default() -> None:
    assert Effects().effects == sorted(EFFECTS)


def test_provenance_says_how_to_make_the_clip_again(make_request: MakeRequest, pool: ClipSet) -> None:
    for clip in generate(make_request(pool, [{}] * 30), seed=3, severity=0.7):
        origin = clip.provenance
        assert set(origin) == {
            *("effect", "severity", "snr_db", "parameters", "host", "host_content_hash", "host_match", "seed")
        }
        assert json.loads(json.dumps(origin)) == origin
        assert (origin["severity"], origin["seed"], origin["host_match"]) == (0.7, 3, "attributes")
        index = list(pool.frame["clip_id"]).index(origin["host"])
        assert pool.frame["content_hash"][index] == origin["host_content_hash"]
        assert pool.frame["machine"][index] == "fan"
        assert pool.frame["condition"][index] == "normal"
        host = pool.waveform(index).astype(np.float64)
        change = clip.waveform - host
        assert 10 * np.log10(host.var() / np.mean(change**2)) == pytest.approx(origin["snr_db"], abs=5e-3)
        assert origin["snr_db"] == pytest.approx(EFFECTS[origin["effect"]].snr_db - 10 * np.log10(0.7))


def test_a_row_that_asks_for_a_normal_clip_gets_its_host(make_request: MakeRequest, pool: ClipSet) -> None:
    request = make_request(pool, [{"condition": "normal"}, {"condition": "anomaly"}])
    normal, anomaly = generate(request)
    index = list(pool.frame["clip_id"]).index(normal.provenance["host"])
    np.testing.assert_array_equal(normal.waveform, pool.waveform(index))
    assert normal.provenance["effect"] is None
    assert normal.provenance["severity"] == 0
    assert normal.provenance["snr_db"] is None
    assert anomaly.provenance["effect"] in EFFECTS


def test_severity_zero_gives_the_host(make_request: MakeRequest, pool: ClipSet) -> None:
    for clip in generate(make_request(pool, [{}] * 5), severity=0):
        index = list(pool.frame["clip_id"]).index(clip.provenance["host"])
        np.testing.assert_array_equal(clip.waveform, pool.waveform(index))


def test_any_part_of_a_request_gives_the_same_clips_in_any_order(make_request: MakeRequest, pool: ClipSet) -> None:
    whole = make_request(pool, [{}] * 12)
    everything = generate(whole)
    chosen = [7, 2, 9]
    part = generate(Request(whole.rows.iloc[chosen], pool, 16000))
    for index, clip in zip(chosen, part, strict=True):
        np.testing.assert_array_equal(clip.waveform, everything[index].waveform)
        assert clip.provenance == everything[index].provenance


def test_order_of_the_pool_does_not_matter(make_request: MakeRequest, pool: ClipSet) -> None:
    rows: list[dict[str, str]] = [{}] * 6
    backwards = pool.select(np.arange(len(pool))[::-1])
    for one, other in zip(generate(make_request(pool, rows)), generate(make_request(backwards, rows)), strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)


def test_settings_do_not_change_the_hosts(make_request: MakeRequest, pool: ClipSet) -> None:
    request = make_request(pool, [{}] * 20)
    hosts = [
        [clip.provenance["host"] for clip in generate(request, **settings)]
        for settings in ({}, {"severity": 0.1}, {"effects": ["rub"]}, {"snr_db": 20}, {"severity": 0})
    ]
    assert all(names == hosts[0] for names in hosts)
    assert len(set(hosts[0])) > 1
    assert [clip.provenance["host"] for clip in generate(request, seed=1)] != hosts[0]


def test_host_is_the_best_match(make_request: MakeRequest, make_pool: MakePool) -> None:
    pool = make_pool(
        [
            {"clip_id": "same", "domain": "target", "attributes": {"vel": "6"}},
            {"clip_id": "other speed", "domain": "target", "attributes": {"vel": "8"}},
            {"clip_id": "other domain", "section": "01", "domain": "source", "attributes": {"vel": "6"}},
            {"clip_id": "anomalous", "domain": "target", "attributes": {"vel": "6"}, "condition": "anomaly"},
            {"clip_id": "other machine", "machine": "pump", "domain": "target", "attributes": {"vel": "6"}},
        ]
    )
    request = make_request(
        pool,
        [
            {"domain": "target", "attributes": {"vel": "6"}},
            {"domain": "target", "attributes": {"vel": "9"}},
            {"domain": "target", "section": "01", "attributes": {"vel": "6"}},
            {"domain": "target", "section": "02", "attributes": {"vel": "6"}},
        ],
    )
    clips = generate(request)
    assert [clip.provenance["host_match"] for clip in clips] == ["attributes", "domain", "section", "machine"]
    assert clips[0].provenance["host"] == "same"
    assert clips[0].attributes is None
    assert clips[1].provenance["host"] in {"same", "other speed"}
    assert clips[1].attributes in ({"vel": "6"}, {"vel": "8"})  # those of the host, not those asked for
    assert clips[2].provenance["host"] == "other domain"
    assert clips[3].provenance["host"] in {"same", "other speed", "other domain"}


def test_clips_are_returned_at_the_rate_asked_for(make_request: MakeRequest, pool: ClipSet) -> None:
    (at_16k,) = generate(make_request(pool, [{}]), severity=0)
    (at_8k,) = generate(make_request(pool, [{}], sample_rate=8000), severity=0)
    assert len(at_8k.waveform) == pytest.approx(len(at_16k.waveform) / 2, abs=1)


def test_snr_can_be_set_for_all_or_by_effect(make_request: MakeRequest, pool: ClipSet) -> None:
    request = make_request(pool, [{}] * 20)
    for clip in generate(request, effects=["rub", "knocks"], snr_db=12, severity=1):
        assert clip.provenance["snr_db"] == 12
    for clip in generate(request, effects=["rub", "knocks"], snr_db={"rub": 25}, severity=1):
        expected = 25 if clip.provenance["effect"] == "rub" else EFFECTS["knocks"].snr_db
        assert clip.provenance["snr_db"] == expected


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"effects": ["knock"]}, "effects", "there is no effect named 'knock'; did you mean 'knocks'?"),
        ({"effects": []}, "effects", "at least 1 item"),
        ({"snr_db": {"rubb": 3}}, "snr_db", "there is no effect named 'rubb'; did you mean 'rub'?"),
        ({"snr_db": {"clipping": 0}}, "snr_db", "'clipping' can reach an SNR of 0.10 dB at least, 0 dB was given"),
        ({"snr_db": 0}, "snr_db", "can reach an SNR of 1.00 dB at least, 0 dB was given"),
        ({"snr_db": float("nan")}, "snr_db", "nan dB was given"),
        ({"severity": 1.5}, "severity", "less than or equal to 1"),
        ({"severity": -1}, "severity", "greater than or equal to 0"),
        ({"severity": "high"}, "severity", "valid number"),
        ({"strength": 1}, "strength", "keyword"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Effects(**settings)
    error = caught.value.errors()[0]
    assert error["loc"][0] == field
    assert message in error["msg"]


def test_an_snr_that_only_other_effects_cannot_reach_is_accepted() -> None:
    assert Effects(effects=["tones", "rub"], snr_db=-10).snr_db == -10


@pytest.mark.parametrize("labels", [[], [{"condition": "anomaly"}, {"machine": "pump"}, {"condition": "unknown"}]])
def test_a_pool_without_a_normal_clip_of_the_machine_is_refused(
    make_request: MakeRequest, make_pool: MakePool, labels: list[dict[str, str]]
) -> None:
    with pytest.raises(UserError, match=r"no normal clip of machine 'fan'.*'holdout: \{normal: …\}'"):
        generate(make_request(make_pool(labels), [{}]))


def test_a_silent_host_is_named(make_request: MakeRequest, make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool([{}])
    path = tmp_path / "half.wav"
    soundfile.write(path, np.stack([0.1 * np.sin(np.arange(8000)), np.zeros(8000)], axis=1), 16000)
    stereo = ClipSet(pool.frame.assign(path=str(path)), 16000, channel=1)
    with pytest.raises(UserError, match=r"half\.wav: the clip is silent"):
        generate(make_request(stereo, [{}]))


def test_faults_on_genuine_clips_stand_out_more_the_more_severe_they_are(
    shared_data: Path, make_request: MakeRequest
) -> None:
    paths = sorted((shared_data / "mimii_fan" / "normal").glob("*.wav"))
    labels = {"machine": "fan", "section": "00", "domain": "none", "split": "test", "condition": "normal"}
    pool = ClipSet.from_files([labels | {"clip_id": p.name, "path": str(p), "attributes": {}} for p in paths[:4]])
    request = make_request(pool, [{"domain": "none"}] * 6)
    by_severity = [generate(request, severity=severity) for severity in (0.1, 0.5, 1.0)]
    for weak, medium, strong in zip(*by_severity, strict=True):
        index = list(pool.frame["clip_id"]).index(weak.provenance["host"])
        changes = [np.std(clip.waveform - pool.waveform(index)) for clip in (weak, medium, strong)]
        assert changes[1] / changes[0] == pytest.approx(np.sqrt(5), rel=1e-3)
        assert changes[2] / changes[1] == pytest.approx(np.sqrt(2), rel=1e-3)
