"""The generator ``texture``: its settings, and where its parts are called.

Heavy libraries are imported inside the methods, so that plugins can be listed fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from asdbench import GeneratedClip, Generator, Request, Training, setting

from .shipped import model_folder

if TYPE_CHECKING:
    import pandas as pd

    from asdbench import Fingerprints


class Texture(Generator):
    """Statistical synthesis of machine sounds in closed form, without a neural network.

    The level of every band is drawn from a linear model of the words of a caption, which is made of a clip's labels;
    tones are added where a spectrum has peaks; what comes and goes is drawn from a Markov chain of states; all else is
    Gaussian noise. It learns from the real clips that the benchmark keeps for generators, in minutes on a CPU, or comes
    as a finished model (``checkpoint``: ``simulated``, or a folder that `asdbench train generator texture` has
    written).

    A clip depends on its own row and the seed only. Provenance: ``caption``, ``clip_seed``, ``model`` (identity of the
    model), ``unseen`` (labels that no training clip had), ``fault`` and ``severity`` that the caption names.
    """

    learns: ClassVar[bool] = True
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {"codec": {"reconstruct": True}}

    checkpoint: str | None = setting(
        None, min_length=1, description="finished model: simulated (built in) or a folder; None: train one"
    )
    bands: int | None = setting(
        None,
        ge=32,
        le=4096,
        description="bands in which clips are made, a multiple of 16; None: frames of 32 ms, 512 bands at 16 kHz",
    )
    vague_captions: float = setting(
        0.1, ge=0, le=1, description="share of anomalies whose caption leaves out fault and severity"
    )
    clip_seconds: float | None = setting(
        None, gt=0, le=600, sampling=True, description="length of a clip; None for the usual length of the machine's"
    )
    fault: str | None = setting(
        None, min_length=1, sampling=True, description="fault of anomalies; None: drawn from those of training clips"
    )
    severity: float | None = setting(
        None, ge=0, sampling=True, description="severity of anomalies; None: drawn from those of training clips"
    )
    reconstruct: bool = setting(
        False,
        sampling=True,
        description="as a control: real clips of the pool through the transform and back, nothing generated",
    )

    @pydantic.field_validator("bands")
    @classmethod
    def _check_bands(cls, bands: int | None) -> int | None:
        if bands is not None and bands % 16:
            raise ValueError(f"expected a multiple of 16, {bands} was given")
        return bands

    def inputs(self) -> dict[str, str]:
        """Identity of the finished model, where there is one."""
        from asdbench.pretrained.files import identity_of

        if self.checkpoint is None:
            return {}
        from .model import require_model

        return {"checkpoint": identity_of(str(require_model(self.place_of(None))), "checkpoint")}

    def place_of(self, trained: Path | None) -> Path:
        """Folder of the model: what was trained in this benchmark, else the ``checkpoint``."""
        return trained if trained is not None else model_folder(self.checkpoint or "")

    def needs_training(self) -> bool:
        return self.checkpoint is None

    def train(self, training: Training) -> None:
        """Fit a model to the clips and write it with its training clips, fingerprints and model card.

        Raises:
            UserError: the clips cannot be learnt from.
        """
        from .learning import learn

        learn(self, training)

    def learnt_from(self, model: Path | None) -> pd.DataFrame | None:
        from .model import read_record

        return read_record(self.place_of(model))

    def fingerprints(self, model: Path | None) -> Fingerprints | None:
        from .model import read_fingerprints

        return read_fingerprints(self.place_of(model))

    def parameters(self, model: Path | None) -> int | None:
        """How many numbers the model consists of."""
        from .model import count_parameters

        return count_parameters(self.place_of(model))

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        """Yield one clip for each row; see the class.

        Raises:
            UserError: the model cannot be loaded, or a row asks for a machine that it does not know.
            NotApplicableError: a row asks for a condition of a machine that it has learnt from no clip of.
        """
        if self.reconstruct:
            from .reconstruction import reconstruct

            return reconstruct(self, request)
        from .making import make

        return make(self, request)
