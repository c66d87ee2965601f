"""What a simulated machine is: its attributes, its sound and its faults; and the registry of machines.

A new machine type is one module of this package: a subclass of `Machine` decorated with `machine`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from asdbench.audio import Waveform
from asdbench.datasets.simulated.background import BAY, HALL, Factory
from asdbench.datasets.simulated.grid import Grid
from asdbench.errors import UserError, did_you_mean
from asdbench.seeding import derive_rng

DOMAINS = ("source", "target")


@dataclass(frozen=True)
class Scene:
    """Everything that one clip depends on.

    Attributes:
        grid: length and sample rate.
        domain: "source" or "target".
        attributes: operating condition, as written into the file name.
        key: the name of the clip's random streams: data seed, machine and index.
        mechanism: the fault, "" for none.
        severity: of the fault; 0 is normal, 1 is typical.
    """

    grid: Grid
    domain: str
    attributes: Mapping[str, str]
    key: tuple[Any, ...]
    mechanism: str = ""
    severity: float = 0.0

    def rng(self, name: str) -> np.random.Generator:
        """A random stream of this clip; what one part of a model draws never shifts what another draws."""
        return derive_rng(*self.key, name)

    def fault(self, mechanism: str) -> float:
        """Severity of a mechanism in this clip: 0 unless it is the one at work."""
        return self.severity if mechanism == self.mechanism else 0.0


class Machine(ABC):
    """A machine type.

    Attributes:
        name: name of the machine type, set by `machine`.
        attributes: for each domain the values that each attribute takes.
        faults: mechanisms, each with what it is in one phrase.
        level: RMS of the normal sound relative to full scale, averaged over the source domain.
        snr_db: power of the normal sound over that of the background, averaged over the source domain.
        factories: the background of each domain.
    """

    name: ClassVar[str] = ""
    attributes: ClassVar[Mapping[str, Mapping[str, tuple[str, ...]]]]
    faults: ClassVar[Mapping[str, str]]
    level: ClassVar[float]
    snr_db: ClassVar[float]
    factories: ClassVar[Mapping[str, Factory]] = {"source": HALL, "target": BAY}

    @abstractmethod
    def sound(self, scene: Scene) -> Waveform:
        """Return the sound of the machine alone, normalised to unit power over the normal source domain.

        With a severity of 0 the result equals that without a fault, bit by bit.
        """

    def factory(self, scene: Scene) -> Factory:
        """Return the background of a clip."""
        return self.factories[scene.domain]

    def draw_attributes(self, rng: np.random.Generator, domain: str) -> dict[str, str]:
        """Draw an operating condition of a domain."""
        return {name: values[rng.integers(len(values))] for name, values in self.attributes[domain].items()}


_MACHINES: dict[str, Machine] = {}


def machine(name: str) -> Any:
    """Class decorator that makes a machine type known under ``name``."""

    def register(model: type[Machine]) -> type[Machine]:
        model.name = name
        _MACHINES[name] = model()
        return model

    return register


def machine_names() -> list[str]:
    """Names of all machine types, sorted."""
    return sorted(_load())


def get_machine(name: str) -> Machine:
    """Return a machine type.

    Raises:
        UserError: there is none of that name.
    """
    machines = _load()
    if name not in machines:
        raise UserError(f"there is no simulated machine '{name}'{did_you_mean(name, machines)}")
    return machines[name]


def _load() -> dict[str, Machine]:
    """Import every module of the package once, so that each machine registers itself."""
    package = importlib.import_module("asdbench.datasets.simulated")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _MACHINES
