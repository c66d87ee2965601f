"""A texture model as a whole: levels, events, and the transform in whose bands they are; kept in one folder.

The folder holds ``texture.json`` (the transform, and how long clips of each machine usually are),
``levels.safetensors`` and, where a machine has events, ``events.safetensors``; beside them the record of the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench import Fingerprints, NotApplicableError, UserError, did_you_mean

from ..shared.captions import Description, group_words
from ..shared.fields import Field, check_fields, is_count
from ..shared.randomness import stream
from ..shared.record import FINGERPRINTS, RECORD, SEAL, read_table
from . import events, levels
from .events import EventModel
from .lapped_transform import LappedTransform
from .levels import LevelModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INDEX", "LEAST_FRAMES", "TextureModel", "count_parameters", "read_fingerprints", "read_record"]

INDEX = "texture.json"
"""What a folder with a model holds."""
FORMAT = 1
LEAST_FRAMES = 6
"""Frames that are made at least; a shorter clip is cut off them."""
_OTHER_INDEX = "model_index.json"
"""What a folder with a diffusion model holds."""

Array = npt.NDArray[np.float64]


def _is_lengths(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(is_count(item) for item in value.values())


_FIELDS: Mapping[str, Field] = {
    "format": (lambda value: value == FORMAT, f"{FORMAT}, the format that this version reads"),
    "transform": (lambda value: isinstance(value, dict), "bands and sample_rate of the transform"),
    "num_samples": (_is_lengths, "the usual length of the clips of each machine, whole numbers above 0"),
}


@dataclass(frozen=True)
class TextureModel:
    """A fitted model.

    Attributes:
        transform: in whose bands clips are made.
        num_samples: usual length of the clips of each machine that the model knows, at the transform's rate.
        levels: of the machines and conditions whose sound is stationary.
        events: of those whose sound comes and goes; None where there are none.
    """

    transform: LappedTransform
    num_samples: Mapping[str, int]
    levels: LevelModel
    events: EventModel | None

    def names_of(self, description: Description) -> tuple[str, ...]:
        """Words by which the model knows machine and condition.

        Raises:
            UserError: the model knows no clip of this machine.
            NotApplicableError: it knows the machine, but no clip of this condition.
        """
        machine, names = description.machine, group_words(description)
        if machine not in self.num_samples:
            known = ", ".join(sorted(self.num_samples))
            raise UserError(
                f"the texture model has learnt from no clip of machine '{machine}', expected one of: {known}"
                + (hint if (hint := did_you_mean(machine, self.num_samples)).startswith("; did") else "")
            )
        if names not in self.levels.names and (self.events is None or names not in self.events.names):
            what = {"anomaly": "anomalous", "normal": "normal"}[description.condition]
            raise NotApplicableError(
                f"the texture model has learnt from no {what} clip of machine '{machine}', so it makes none"
            )
        return names

    def make(self, names: tuple[str, ...], caption: str, seed: int, num_samples: int) -> Array:
        """Make a clip; it depends on the arguments alone.

        Args:
            names: of machine and condition, see `names_of`.
            caption: its words condition level, events and tones.
            seed: of all that is drawn.
            num_samples: length at the transform's rate.

        Returns:
            The waveform, shape (num_samples,).
        """
        frames = max(LEAST_FRAMES, self.transform.num_frames(num_samples))
        noise = stream("noise", seed).standard_normal((self.transform.bands, frames))
        if self.events is not None and names in self.events.names:
            made = self.events.make(noise, names, caption, seed)
        else:
            made = self.levels.make(noise, names, caption, seed, self.transform)
        return self.transform.inverse(made)[:num_samples]

    def reconstruct(self, waveform: npt.NDArray[np.floating]) -> Array:
        """Transform a waveform and back: what is lost when nothing is generated, which is rounding."""
        return self.transform.inverse(self.transform.transform(waveform))[: len(waveform)]

    def save(self, folder: Path) -> None:
        """Write the files of the model."""
        index = {
            "format": FORMAT,
            "transform": self.transform.to_dict(),
            "num_samples": dict(sorted(self.num_samples.items())),
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        self.levels.save(folder)
        if self.events is not None:
            self.events.save(folder)

    @classmethod
    def load(cls, folder: Path) -> TextureModel:
        """Read what `save` wrote.

        Raises:
            UserError: there is no such model, or a file is damaged.
        """
        path = require_model(folder) / INDEX
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(index, dict):
                raise UserError(f"found {type(index).__name__}, expected an object")
            check_fields(index, _FIELDS)
            transform = LappedTransform.from_dict(index["transform"])
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"{path}: the texture model is damaged ({error})") from error
        level_model = LevelModel.load(folder / levels.FILE)
        if level_model.bands != transform.bands:
            raise UserError(
                f"{folder / levels.FILE}: found levels of {level_model.bands} bands, expected {transform.bands} as in "
                f"{INDEX}"
            )
        event_path = folder / events.FILE
        event_model = EventModel.load(event_path, transform) if event_path.is_file() else None
        return cls(transform, index["num_samples"], level_model, event_model)


def require_model(folder: Path) -> Path:
    """Return the folder of a model.

    Raises:
        UserError: there is no such folder, or it holds something else.
    """
    if not folder.is_dir():
        raise UserError(f"checkpoint: no such folder: '{folder}', expected 'simulated' or that of a texture model")
    if not (folder / INDEX).is_file():
        found = f"{_OTHER_INDEX}, a diffusion model" if (folder / _OTHER_INDEX).is_file() else f"no {INDEX}"
        raise UserError(f"checkpoint: {folder} holds {found}, expected the folder of a trained texture model")
    return folder


def read_record(folder: Path) -> pd.DataFrame | None:
    """Read the training clips of a model, see `shared.record`; None where it has no such table.

    Raises:
        UserError: there is no such model, or the table is damaged.
    """
    path, seal = require_model(folder) / RECORD, folder / SEAL
    return read_table(path, seal) if path.is_file() and seal.is_file() else None


def read_fingerprints(folder: Path) -> Fingerprints | None:
    """Read the fingerprints of the training clips; None where a model has none.

    Raises:
        UserError: there is no such model, or the file is damaged.
    """
    path = require_model(folder) / FINGERPRINTS
    return Fingerprints.load(path) if path.is_file() else None


def count_parameters(folder: Path) -> int:
    """How many numbers a model consists of, from the heads of its files.

    Raises:
        UserError: there is no such model, or a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in (require_model(folder) / levels.FILE, folder / events.FILE):
        if path.name == events.FILE and not path.is_file():
            continue
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: the texture model is damaged ({error})") from error
    return total
