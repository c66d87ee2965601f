"""What every effect must do, whatever it is."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asdbench import UserError, logmel
from asdbench.generators.effects import EFFECTS
from asdbench.generators.effects.effect import Effect, target_snr_db

ALL = pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS.keys())
Waveform = npt.NDArray[np.float32]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def machine(num_samples: int = 16001, sample_rate: int = 16000) -> Waveform:
    """Noise, a hum and its harmonic."""
    time = np.arange(num_samples) / sample_rate
    hum = np.sin(2 * np.pi * 180 * time) + 0.5 * np.sin(2 * np.pi * 360 * time)
    return (0.05 * hum + 0.05 * rng(9).standard_normal(num_samples)).astype(np.float32)


def measured_snr_db(host: Waveform, faulty: Waveform) -> float:
    change = faulty.astype(np.float64) - host
    return float(10 * np.log10(np.var(host, dtype=np.float64) / np.mean(change**2)))


@ALL
def test_severity_zero_returns_the_host_bit_for_bit(effect: Effect) -> None:
    host = machine()
    faulty, parameters = effect(host, 16000, 0.0, rng())
    np.testing.assert_array_equal(faulty, host)
    assert parameters == {}


@ALL
@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.2, 1.2345])
def test_target_snr_is_reached_at_any_rate_and_length(effect: Effect, sample_rate: int, seconds: float) -> None:
    host = machine(int(seconds * sample_rate) | 1, sample_rate)
    for severity in (0.1, 0.5, 1.0):
        faulty, _ = effect(host, sample_rate, severity, rng(3))
        assert faulty.shape == host.shape
        assert faulty.dtype == np.float32
        expected = effect.snr_db + 10 * np.log10(1 / severity)
        assert measured_snr_db(host, faulty) == pytest.approx(expected, abs=2e-3)


@ALL
@pytest.mark.parametrize("seed", range(8))
def test_target_snr_is_reached_for_any_draw_down_to_the_least(effect: Effect, seed: int) -> None:
    host = machine(8000)
    lowest = max(effect.least_snr_db, -20)
    for snr_db in (lowest, lowest + 1, 40.0):
        faulty, _ = effect(host, 16000, 1.0, rng(seed), snr_db)
        assert measured_snr_db(host, faulty) == pytest.approx(snr_db, abs=2e-3)


@ALL
@pytest.mark.parametrize("kind", ["click", "burst", "tone", "square", "offset", "hum", "loud"])
def test_target_snr_is_reached_on_awkward_hosts(effect: Effect, kind: str) -> None:
    time = np.arange(6001) / 16000
    hosts = {
        "click": np.where(np.arange(6001) == 1234, 0.7, 0.0),
        "burst": np.where((time > 0.1) & (time < 0.12), rng().standard_normal(6001), 0.0),
        "tone": 0.3 * np.sin(2 * np.pi * 1000 * time),
        "square": 0.3 * np.sign(np.sin(2 * np.pi * 100.5 * time + 0.1)),
        "offset": 0.5 + 0.1 * rng().standard_normal(6001),
        "hum": 0.3 * np.sin(2 * np.pi * 4 * time),
        "loud": 3.0 * rng().standard_normal(6001),
    }
    host = hosts[kind].astype(np.float32)
    faulty, _ = effect(host, 16000, 1.0, rng(5))
    assert measured_snr_db(host, faulty) == pytest.approx(effect.snr_db, abs=5e-3)


@ALL
def test_effect_grows_with_severity(effect: Effect) -> None:
    host = machine(32000)
    reference = logmel(host)
    distances = []
    for severity in (0.02, 0.1, 0.5, 1.0):
        faulty, _ = effect(host, 16000, severity, rng(2))
        distances.append(float(np.mean((logmel(faulty) - reference) ** 2)))
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


@ALL
def test_severity_changes_the_strength_and_not_the_draws(effect: Effect) -> None:
    host = machine()
    _, weak = effect(host, 16000, 0.2, rng(4))
    _, strong = effect(host, 16000, 0.9, rng(4))
    strengths = {"depth", "loss_db", "threshold", "length_s", "share"}
    if "loss_db" in weak:
        strengths.add("band_hz")  # a lost band may grow once it is 20 dB down
    assert {k: v for k, v in weak.items() if k not in strengths} == {
        k: v for k, v in strong.items() if k not in strengths
    }
    assert weak.keys() == strong.keys()


@ALL
def test_same_stream_same_clip_and_the_host_is_left_alone(effect: Effect) -> None:
    host = machine()
    before = host.copy()
    host.setflags(write=False)
    first, parameters = effect(host, 16000, 0.5, rng(7))
    second, again = effect(host, 16000, 0.5, rng(7))
    other, _ = effect(host, 16000, 0.5, rng(8))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(host, before)
    assert parameters == again
    if effect is not EFFECTS["clipping"]:  # nothing in it is drawn
        assert not np.array_equal(first, other)


@ALL
def test_parameters_are_json_values(effect: Effect) -> None:
    _, parameters = effect(machine(), 16000, 0.5, rng())
    assert json.loads(json.dumps(parameters)) == parameters


@ALL
def test_a_silent_host_is_refused(effect: Effect) -> None:
    for level in (0.0, 0.25):
        with pytest.raises(UserError, match="silent"):
            effect(np.full(8000, level, dtype=np.float32), 16000, 0.5, rng())


@ALL
def test_a_low_sample_rate_is_refused(effect: Effect) -> None:
    with pytest.raises(UserError, match="at least 8000 Hz, not 4000 Hz"):
        effect(machine(), 4000, 0.5, rng())


@ALL
@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_a_severity_out_of_range_is_refused(effect: Effect, severity: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        effect(machine(), 16000, severity, rng())


def test_an_snr_out_of_reach_is_refused() -> None:
    with pytest.raises(ValueError, match=r"an SNR of 2 dB is out of reach; the least is 3\.01 dB"):
        EFFECTS["modulation"](machine(), 16000, 0.5, rng(), 2)


def test_the_sum_is_not_limited_to_full_scale() -> None:
    host = machine() * 6
    faulty, _ = EFFECTS["knocks"](host, 16000, 1.0, rng(), 0)
    assert np.abs(faulty).max() > 1


@given(st.floats(-20, 60), st.floats(1e-4, 1), st.floats(1e-4, 1))
def test_snr_falls_by_ten_decibels_for_ten_times_the_severity(full: float, low: float, high: float) -> None:
    assert target_snr_db(full, 1) == full
    assert target_snr_db(full, low) - target_snr_db(full, low / 10) == pytest.approx(-10)
    assert target_snr_db(full, min(low, high)) >= target_snr_db(full, max(low, high))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(EFFECTS)),
    seed=st.integers(0, 10_000),
    sample_rate=st.integers(8000, 48000),
    seconds=st.floats(0.2, 0.6),
    severity=st.floats(0.05, 1),
)
def test_target_snr_is_reached_in_general(
    name: str, seed: int, sample_rate: int, seconds: float, severity: float
) -> None:
    host = machine(int(np.ceil(seconds * sample_rate)), sample_rate)
    faulty, _ = EFFECTS[name](host, sample_rate, severity, rng(seed))
    assert np.isfinite(faulty).all()
    expected = target_snr_db(EFFECTS[name].snr_db, severity)
    assert measured_snr_db(host, faulty) == pytest.approx(expected, abs=5e-3)
