"""One simulated clip: machine plus background, a function of (seed, machine, index) alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asdbench.audio import Waveform
from asdbench.datasets.simulated.background import factory_noise
from asdbench.datasets.simulated.grid import Grid
from asdbench.datasets.simulated.machine import DOMAINS, Machine, Scene, get_machine
from asdbench.errors import UserError, did_you_mean
from asdbench.seeding import derive_rng

SEVERITY_RANGE = (0.6, 1.4)
"""Faults of one data set are spread evenly between these severities: they are caught early and late."""
BACKGROUND_SPREAD_DB = 0.8
"""Standard deviation of the level of the background from clip to clip."""


@dataclass(frozen=True)
class Index:
    """Which clip of a machine type it is: its place in the DCASE layout.

    Attributes:
        domain: "source" or "target".
        split: "train" or "test".
        condition: "normal" or "anomaly".
        number: counts from 0 within the three.
    """

    domain: str = "source"
    split: str = "test"
    condition: str = "normal"
    number: int = 0

    def key(self, data_seed: int, machine: str) -> tuple[object, ...]:
        """Name of the clip's random streams."""
        return ("simulated", data_seed, machine, self.domain, self.split, self.condition, self.number)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a machine.

    Attributes:
        mechanism: one of the machine's `faults`, "" for none.
        severity: 0 is normal, 1 is typical.
    """

    mechanism: str = ""
    severity: float = 0.0


@dataclass(frozen=True)
class SimulatedClip:
    """A clip and all that is known of it.

    Attributes:
        machine_sound: the machine alone, float32, shape (num_samples,), full scale at 1.0.
        background: the factory alone, likewise.
        attributes: operating condition.
        fault: what is wrong with the machine.
        snr_db: power of machine over background, averaged over the normal clips of the source domain.
    """

    machine_sound: Waveform
    background: Waveform
    attributes: dict[str, str]
    fault: Fault
    snr_db: float

    @property
    def waveform(self) -> Waveform:
        """What the microphone records: machine and background."""
        return self.machine_sound + self.background


def draw_fault(machine: str, index: Index, *, data_seed: int = 0, mechanisms: Sequence[str] | None = None) -> Fault:
    """Draw the fault of an anomalous clip.

    Args:
        mechanisms: what to draw from; None for all that the machine type has.

    Raises:
        UserError: a mechanism is unknown, or there is none to draw from.
    """
    model = get_machine(machine)
    mechanisms = list(model.faults) if mechanisms is None else mechanisms
    if not mechanisms:
        raise UserError(
            f"faults: no fault is allowed for {machine}; expected at least one of {', '.join(model.faults)}"
        )
    for mechanism in mechanisms:
        _check_mechanism(model, mechanism)
    rng = derive_rng(*index.key(data_seed, machine), "fault")
    severity = float(rng.uniform(*SEVERITY_RANGE))
    return Fault(mechanisms[int(rng.integers(len(mechanisms)))], severity)


def simulate(
    machine: str,
    index: Index,
    fault: Fault = Fault(),
    *,
    attributes: Mapping[str, str] | None = None,
    data_seed: int = 0,
    duration: float = 10.0,
    sample_rate: int = 16000,
    snr_db: float | None = None,
) -> SimulatedClip:
    """Simulate one clip.

    Args:
        machine: name of the machine type.
        index: which clip; every random number of it is a function of this, of ``data_seed`` and of the machine type.
            The same index with another fault is the same recording but for that fault.
        fault: what is wrong with the machine.
        attributes: operating condition; None draws one from the domain.
        data_seed: another seed gives other clips.
        duration: length in s.
        sample_rate: in Hz.
        snr_db: None for the default of the machine type.

    Raises:
        UserError: there is no such machine, domain or mechanism, or the attributes are not those of the machine.
    """
    model = get_machine(machine)
    if index.domain not in DOMAINS:
        raise UserError(f"domain: expected 'source' or 'target', got '{index.domain}'")
    if fault.mechanism:
        _check_mechanism(model, fault.mechanism)
    if fault.severity < 0:
        raise UserError(f"severity: expected 0 or more, got {fault.severity}")
    key = index.key(data_seed, machine)
    if attributes is None:
        attributes = model.draw_attributes(derive_rng(*key, "attributes"), index.domain)
    else:
        _check_attributes(model, attributes)
    grid = Grid(round(duration * sample_rate), sample_rate)
    scene = Scene(grid, index.domain, attributes, key, fault.mechanism, fault.severity)

    sound = model.sound(scene)
    sound *= np.float32(model.level)
    background = factory_noise(scene.rng("background"), grid, model.factory(scene))
    snr_db = model.snr_db if snr_db is None else snr_db
    level_db = scene.rng("background level").normal(0, BACKGROUND_SPREAD_DB) - snr_db
    background *= np.float32(model.level * 10 ** (level_db / 20))
    return SimulatedClip(sound, background, dict(attributes), fault, snr_db)


def simulate_clip(
    machine: str,
    number: int = 0,
    mechanism: str = "",
    severity: float = 1.0,
    *,
    domain: str = "source",
    attributes: Mapping[str, str] | None = None,
    data_seed: int = 0,
    duration: float = 10.0,
    sample_rate: int = 16000,
    snr_db: float | None = None,
) -> Waveform:
    """Simulate one recording, healthy or with a given fault; see `simulate`.

    A healthy and a faulty recording with the same number share everything but the fault.

    Args:
        machine: name of the machine type.
        number: which recording, from 0.
        mechanism: the fault, "" for a healthy machine.
        severity: of the fault; 0 is healthy, 1 is typical.
        domain: "source" or "target".
        attributes: operating condition; None draws one from the domain.
        data_seed: another seed gives other recordings.
        duration: in s.
        sample_rate: in Hz.
        snr_db: power of machine over background; None for the default of the machine type.

    Returns:
        float32, shape (round(duration * sample_rate),), full scale at 1.0.

    Raises:
        UserError: there is no such machine, domain or mechanism, or the attributes are not those of the machine.
    """
    return simulate(
        machine,
        Index(domain, "test", "normal", number),
        Fault(mechanism, severity if mechanism else 0.0),
        attributes=attributes,
        data_seed=data_seed,
        duration=duration,
        sample_rate=sample_rate,
        snr_db=snr_db,
    ).waveform


def _check_mechanism(model: Machine, mechanism: str) -> None:
    if mechanism not in model.faults:
        raise UserError(
            f"faults: the simulated {model.name} has no fault '{mechanism}'{did_you_mean(mechanism, model.faults)}"
        )


def _check_attributes(model: Machine, attributes: Mapping[str, str]) -> None:
    expected = list(model.attributes["source"])
    if sorted(attributes) != sorted(expected):
        raise UserError(f"attributes: {model.name} has {', '.join(expected)}, got {', '.join(attributes) or 'none'}")
    for name, value in attributes.items():
        known = [value for domain in DOMAINS for value in model.attributes[domain][name]]
        if value not in known:
            raise UserError(f"attributes: {model.name} has no {name} '{value}'{did_you_mean(value, known)}")
