"""A simulated clip is a function of seed, machine and index, and a fault changes nothing but the fault."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench import UserError, logmel
from asdbench.datasets.simulated import Fault, Index, SimulatedDataset, simulate, simulate_clip
from asdbench.datasets.simulated.clip import SEVERITY_RANGE, draw_fault
from asdbench.datasets.simulated.machine import DOMAINS, get_machine, machine_names

MACHINES = ["bearing", "fan", "gearbox", "slider", "valve"]
FAULTS = [(machine, fault) for machine in MACHINES for fault in get_machine(machine).faults]


def test_five_machines_with_three_faults_each() -> None:
    assert machine_names() == MACHINES
    for machine in MACHINES:
        assert len(get_machine(machine).faults) >= 3


@pytest.mark.parametrize("machine", MACHINES)
def test_the_same_index_gives_the_same_clip(machine: str) -> None:
    index = Index("target", "train", "normal", 7)
    first = simulate(machine, index, duration=2)
    simulate(machine, Index("target", "train", "normal", 8), duration=2)
    again = simulate(machine, index, duration=2)
    np.testing.assert_array_equal(first.waveform, again.waveform)
    assert first.attributes == again.attributes


@pytest.mark.parametrize("machine", MACHINES)
def test_every_part_of_the_index_gives_another_clip(machine: str) -> None:
    attributes = {name: values[0] for name, values in get_machine(machine).attributes["source"].items()}
    clips = [
        simulate(machine, index, data_seed=seed, duration=2, attributes=attributes).waveform
        for index, seed in [
            (Index(), 0),
            (Index(), 1),
            (Index(number=1), 0),
            (Index(split="train"), 0),
            (Index(domain="target"), 0),
            (Index(condition="anomaly"), 0),
        ]
    ]
    for i, one in enumerate(clips):
        for other in clips[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


@pytest.mark.parametrize(("machine", "mechanism"), FAULTS)
def test_severity_zero_is_normal_bit_by_bit(machine: str, mechanism: str) -> None:
    for number in range(2):
        index = Index(number=number)
        healthy, faulty = (simulate(machine, index, fault, duration=2) for fault in (Fault(), Fault(mechanism, 0.0)))
        np.testing.assert_array_equal(healthy.machine_sound, faulty.machine_sound)
        np.testing.assert_array_equal(healthy.background, faulty.background)


@pytest.mark.parametrize(("machine", "mechanism"), FAULTS)
def test_a_fault_grows_with_severity_and_leaves_the_background(machine: str, mechanism: str) -> None:
    distances = []
    for severity in (0.25, 0.5, 1.0, 2.0, 4.0):
        distance = []
        for number in range(4):
            healthy = simulate(machine, Index(number=number), duration=5)
            faulty = simulate(machine, Index(number=number), Fault(mechanism, severity), duration=5)
            np.testing.assert_array_equal(healthy.background, faulty.background)
            distance.append(np.abs(logmel(faulty.machine_sound) - logmel(healthy.machine_sound)).mean())
        distances.append(np.mean(distance))
    assert distances[0] > 0.01
    assert (np.diff(distances) > 0).all(), distances


@pytest.mark.parametrize("machine", MACHINES)
def test_normal_clips_of_one_condition_differ_in_level_and_spectrum(machine: str) -> None:
    attributes = {name: values[1] for name, values in get_machine(machine).attributes["source"].items()}
    means = np.array(
        [
            logmel(simulate(machine, Index(number=k), attributes=attributes, duration=5).waveform).mean(axis=0)
            for k in range(8)
        ]
    )
    assert 0.3 < means.std(axis=0).mean() < 4.0


@pytest.mark.parametrize("machine", MACHINES)
def test_background_has_the_snr_that_was_asked_for(machine: str) -> None:
    clips = [simulate(machine, Index(number=k), duration=10) for k in range(50)]
    machine_power = np.mean([np.mean(clip.machine_sound.astype(float) ** 2) for clip in clips])
    background_power = np.mean([np.mean(clip.background.astype(float) ** 2) for clip in clips])
    assert 10 * np.log10(machine_power / background_power) == pytest.approx(get_machine(machine).snr_db, abs=1.0)

    quiet, loud = (simulate(machine, Index(), snr_db=snr, duration=2) for snr in (0.0, 10.0))
    np.testing.assert_array_equal(quiet.machine_sound, loud.machine_sound)
    np.testing.assert_allclose(quiet.background, loud.background * np.sqrt(10), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_clips(machine: str) -> None:
    for number in range(10):
        for domain in DOMAINS:
            for mechanism in get_machine(machine).faults:
                fault = Fault(mechanism, SEVERITY_RANGE[1])
                clip = simulate(machine, Index(domain, "test", "anomaly", number), fault, duration=2)
                assert np.abs(clip.waveform).max() < 0.9


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("sample_rate", "duration"), [(8000, 2.0), (16000, 1.0), (22050, 2.37), (48000, 1.5)])
def test_any_rate_and_duration(machine: str, sample_rate: int, duration: float) -> None:
    for mechanism in ("", *get_machine(machine).faults):
        waveform = simulate_clip(machine, 3, mechanism, sample_rate=sample_rate, duration=duration)
        assert waveform.dtype == np.float32
        assert waveform.shape == (round(duration * sample_rate),)
        assert np.isfinite(waveform).all()
        assert waveform.std() > 1e-4


def test_simulate_clip_shares_the_recording() -> None:
    healthy, faulty = simulate_clip("valve", 3, duration=2), simulate_clip("valve", 3, "leak", duration=2)
    np.testing.assert_array_equal(healthy, simulate("valve", Index(number=3), duration=2).waveform)
    assert np.corrcoef(healthy, faulty)[0, 1] > 0.9
    assert not np.array_equal(healthy, faulty)


def test_faults_are_drawn_evenly_and_within_range() -> None:
    drawn = [draw_fault("fan", Index(condition="anomaly", number=k)) for k in range(300)]
    for mechanism in get_machine("fan").faults:
        assert 70 < sum(fault.mechanism == mechanism for fault in drawn) < 130
    severities = [fault.severity for fault in drawn]
    assert SEVERITY_RANGE[0] <= min(severities) < max(severities) <= SEVERITY_RANGE[1]
    assert np.mean(severities) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("machine", MACHINES)
def test_attributes_come_from_the_domain(machine: str) -> None:
    values = get_machine(machine).attributes
    assert all(set(values["source"]) == set(values["target"]) for _ in DOMAINS)
    assert values["source"] != values["target"]
    dataset = SimulatedDataset(duration=1)
    for domain in DOMAINS:
        for number in range(5):
            clip = dataset.simulate(machine, Index(domain, "test", "normal", number))
            assert list(clip.attributes) == list(values[domain])
            assert all(value in values[domain][name] for name, value in clip.attributes.items())


def test_what_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no simulated machine 'fann'; did you mean 'fan'"):
        simulate_clip("fann")
    with pytest.raises(UserError, match="fan has no fault 'unbalanced'; did you mean 'unbalance'"):
        simulate_clip("fan", 0, "unbalanced")
    with pytest.raises(UserError, match="severity: expected 0 or more, got -1"):
        simulate_clip("fan", 0, "unbalance", -1.0)
    with pytest.raises(UserError, match="domain: expected 'source' or 'target', got 'here'"):
        simulate_clip("fan", domain="here")
    with pytest.raises(UserError, match="attributes: valve has pat, got vel"):
        simulate_clip("valve", attributes={"vel": "3"})
    with pytest.raises(UserError, match="valve has no pat '09'"):
        simulate_clip("valve", attributes={"pat": "09"})
    with pytest.raises(UserError, match="no fault is allowed for fan"):
        draw_fault("fan", Index(), mechanisms=[])


@pytest.mark.parametrize(("machine", "mechanism"), FAULTS)
def test_a_wrecked_machine_still_sounds(machine: str, mechanism: str) -> None:
    waveform = simulate_clip(machine, 0, mechanism, 100.0, duration=6)
    assert np.isfinite(waveform).all()
    assert waveform.std() > simulate_clip(machine, 0, duration=6).std()
