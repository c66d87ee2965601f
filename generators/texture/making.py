"""Clips for the rows of a request: labels to captions, captions to sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from asdbench import GeneratedClip, Request, UserError, records, warn
from asdbench.pretrained.files import identity_of

from ..shared.captions import Description, caption, paraphrase_of, seen, unseen
from ..shared.faults import with_fault
from ..shared.record import describe
from ..shared.resampling import resampled
from .model import TextureModel, read_record

if TYPE_CHECKING:
    import pandas as pd

    from .generator import Texture


@dataclass(frozen=True)
class _Order:
    """One clip to make.

    Attributes:
        names: words of machine and condition.
        caption: what the model is conditioned on.
        seed: of all that is drawn.
        num_samples: length at the model's rate.
        provenance: how it is made.
    """

    names: tuple[str, ...]
    caption: str
    seed: int
    num_samples: int
    provenance: dict[str, Any]


def make(generator: Texture, request: Request) -> Iterator[GeneratedClip]:
    """Yield one clip for each row; see `Texture.generate`."""
    maker = _Maker(generator, request)
    orders = [maker.order(row) for _, row in request.rows.iterrows()]
    maker.warn_of_unseen(orders)
    for order in orders:
        yield maker.make(order)


class _Maker:
    """What the clips of a request have in common."""

    def __init__(self, generator: Texture, request: Request) -> None:
        self.generator, self.rate = generator, request.sample_rate
        folder = generator.place_of(request.model)
        self.model = TextureModel.load(folder)
        self.identity = identity_of(str(folder), "checkpoint")
        record = read_record(folder)
        if record is None:
            raise UserError(f"checkpoint: {folder} has no table of training clips, expected a model that was trained")
        # What other machines sound like is of no matter here.
        rows = records(record[record["machine"].isin(set(request.rows["machine"]))])
        self.known = [describe(row) for row in rows]
        self.vocabulary = seen(self.known)

    def order(self, row: pd.Series[Any]) -> _Order:
        """What is to be made for a row."""
        generator, clip_id = self.generator, row["clip_id"]
        labels = {str(name): value for name, value in row.items()}
        description = Description.of_clip({**labels, "provenance": {}})
        names = self.model.names_of(description)
        own = labels.get("caption")
        if isinstance(own, str) and own.strip():  # which fault it names, its author knows
            text, missing = own, []
        else:
            random = generator.rng(clip_id, "fault")
            description = with_fault(description, self.known, random, generator.fault, generator.severity)
            text = caption(description, paraphrase_of(generator.seed, clip_id))
            missing = unseen(description, self.vocabulary)
        seed = int(generator.rng(clip_id, "noise").integers(2**63))
        provenance = {
            "caption": text,
            "fault": description.fault,
            "severity": description.severity,
            "unseen": missing,
            "clip_seed": seed,
            "seed": generator.seed,
            "model": self.identity,
        }
        return _Order(names, text, seed, self._num_samples(description.machine), provenance)

    def make(self, order: _Order) -> GeneratedClip:
        """Make a clip."""
        made = self.model.make(order.names, order.caption, order.seed, order.num_samples)
        waveform = resampled(made.astype(np.float32), self.model.transform.sample_rate, self.rate, self._length())
        return GeneratedClip(waveform, order.provenance)

    def warn_of_unseen(self, orders: Sequence[_Order]) -> None:
        """Say once what the model is asked for and no training clip had."""
        missing = sorted({text for order in orders for text in order.provenance["unseen"]})
        if missing:
            warn(f"texture: no training clip had {'; '.join(missing)}: clips of these are guesses")

    def _length(self) -> int | None:
        """Samples of a clip at the rate of the request, where the settings say how long it is."""
        seconds = self.generator.clip_seconds
        return None if seconds is None else max(1, round(seconds * self.rate))

    def _num_samples(self, machine: str) -> int:
        length, rate = self._length(), self.model.transform.sample_rate
        return self.model.num_samples[machine] if length is None else math.ceil(length * rate / self.rate)
