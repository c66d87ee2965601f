"""Clips for the rows of a request: labels to captions, captions to latents, latents to audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import torch

from asdbench import GeneratedClip, Request, UserError, records, warn
from asdbench.pretrained.device import choose_device
from asdbench.pretrained.files import identity_of

from ..shared.captions import Description, caption, paraphrase_of, seen, templates, unseen
from ..shared.faults import with_fault
from ..shared.matching import Pool
from ..shared.record import describe
from ..shared.resampling import Waveform, resampled
from .pipeline import MimiiGenPipeline, load_pipeline
from .record import read_record

if TYPE_CHECKING:
    import pandas as pd

    from .conditioning.caption_t5 import CaptionWriter
    from .generator import MimiiGen


@dataclass(frozen=True)
class _Order:
    """One clip to make.

    Attributes:
        caption: what the network is conditioned on.
        seed: of its noise.
        provenance: how it is made.
        host: real clip to start from, at the codec's rate; None to start from noise.
        num_samples: length of the clip at the rate of the request; None for that of the model.
        attributes: of the clip, where they are not those of the row.
    """

    caption: str
    seed: int
    provenance: dict[str, Any]
    host: Waveform | None
    num_samples: int | None
    attributes: dict[str, str] | None


def make(generator: MimiiGen, request: Request) -> Iterator[GeneratedClip]:
    """Yield one clip for each row; see `MimiiGen.generate`."""
    model = generator.place_of(request.model)
    device = choose_device(generator.device)
    precision = generator.sampling_precision
    half = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    pipeline = load_pipeline(model, device, torch.bfloat16 if half else None)
    if generator.compile_unet:
        pipeline.compile_unet()
    maker = _Maker(generator, request, pipeline, model, device)
    rows = [row for _, row in request.rows.iterrows()]
    orders = [maker.order(row) for row in rows]
    maker.warn_of_unseen(orders)
    maker.warn_of_templates(orders)
    for start in range(0, len(orders), generator.sampling_batch):
        yield from maker.make(orders[start : start + generator.sampling_batch])


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


class _Maker:
    """What the clips of a request have in common."""

    def __init__(
        self, generator: MimiiGen, request: Request, pipeline: MimiiGenPipeline, model: str, device: torch.device
    ) -> None:
        self.generator, self.request, self.pipeline, self.device = generator, request, pipeline, device
        self.identity = identity_of(model, "checkpoint")
        record = read_record(model)
        if record is None:
            raise UserError(
                f"checkpoint: '{model}' has no table of training clips, expected a model that was trained here"
            )
        self._require_machines(sorted(set(record["machine"])))
        # What other machines sound like is of no matter here.
        rows = records(record[record["machine"].isin(set(request.rows["machine"]))])
        self.known = [describe(row) for row in rows]
        self.vocabulary = seen(self.known)
        self.learnt = {
            known.metadata_text(): (known, row["caption"]) for known, row in zip(self.known, rows, strict=True)
        }
        self.written: dict[str, str] = {}
        self.from_templates: set[str] = set()
        self.hosts = Pool(request, "normal") if generator.strength is not None else None

    def _require_machines(self, known: Sequence[str]) -> None:
        """Refuse machines that the model has never met, unless a caption of their own says what to make."""
        rows = self.request.rows
        own = rows["caption"].map(_is_text) if "caption" in rows else [False] * len(rows)
        missing = sorted({machine for machine, says in zip(rows["machine"], own, strict=True) if not says} - set(known))
        if missing:
            raise UserError(
                f"mimii_gen: the model has learnt nothing of {', '.join(missing)}, it knows {', '.join(known)}; "
                "train one on clips of that machine, or say in a column 'caption' what to make"
            )

    def order(self, row: pd.Series[Any]) -> _Order:
        """What is to be made for a row."""
        generator, clip_id = self.generator, row["clip_id"]
        host, num_samples, attributes, origin = self._host(row)
        labels = {str(name): value for name, value in row.items()} | ({"attributes": attributes} if attributes else {})
        description = Description.of_clip({**labels, "provenance": {}})
        own = labels.get("caption")
        if _is_text(own):  # which fault it names, its author knows
            text, missing = own, []
        else:
            description = self._with_fault(description, clip_id)
            text, missing = self._caption(description, clip_id), unseen(description, self.vocabulary)
        seed = int(generator.rng(clip_id, "noise").integers(2**63))
        provenance = {
            "caption": text,
            "fault": description.fault,
            "severity": description.severity,
            "unseen": missing,
            "sampler": generator.sampler,
            "steps": generator.inference_steps,
            "guidance_scale": generator.guidance_scale,
            "guidance_rescale": generator.guidance_rescale,
            "clip_seed": seed,
            "seed": generator.seed,
            "model": self.identity,
        }
        return _Order(text, seed, provenance | origin, host, num_samples, attributes)

    def make(self, orders: Sequence[_Order]) -> Iterator[GeneratedClip]:
        """Yield the clips of a batch."""
        generator, pipeline, rate = self.generator, self.pipeline, self.request.sample_rate
        made: dict[int, Waveform] = {}
        lengths = [None if order.host is None else len(order.host) for order in orders]
        for length in dict.fromkeys(lengths):
            places = [place for place, one in enumerate(lengths) if one == length]
            hosts = [order.host for place in places if (order := orders[place]).host is not None]
            waveforms = pipeline(
                [orders[place].caption for place in places],
                seeds=[orders[place].seed for place in places],
                num_samples=length or self._num_samples(pipeline.sample_rate),
                num_inference_steps=generator.inference_steps,
                guidance_scale=generator.guidance_scale,
                guidance_rescale=generator.guidance_rescale,
                sampler=generator.sampler,
                batch_size=generator.sampling_batch,
                audio=hosts or None,
                strength=generator.strength if hosts else None,
            )
            made |= dict(zip(places, waveforms, strict=True))
        for place, order in enumerate(orders):
            waveform = resampled(made[place], pipeline.sample_rate, rate, order.num_samples)
            yield GeneratedClip(waveform, order.provenance, order.attributes)

    def warn_of_unseen(self, orders: Sequence[_Order]) -> None:
        """Say once what the model is asked for and has never met."""
        missing = sorted({text for order in orders for text in order.provenance["unseen"]})
        if missing:
            warn(f"mimii_gen: no training clip had {'; '.join(missing)}: clips of these are guesses")

    def warn_of_templates(self, orders: Sequence[_Order]) -> None:
        """Say once that a model which learnt from other captions is conditioned on those of templates."""
        count = sum(order.caption in self.from_templates for order in orders)
        if count and (self.written or any(self._own(metadata) for metadata in self.learnt)):
            warn(
                f"mimii_gen: {count} of {len(orders)} captions are in the words of a template, but the model learnt "
                "from other captions, of which none states these labels; 'captions: t5' has caption_model write them"
            )

    def _num_samples(self, sample_rate: int) -> int | None:
        seconds = self.generator.clip_seconds
        return None if seconds is None else max(1, round(seconds * sample_rate))

    def _host(self, row: pd.Series[Any]) -> tuple[Waveform | None, int | None, dict[str, str] | None, dict[str, Any]]:
        """The real clip that a row starts from, the length to make, its attributes if they differ, the provenance."""
        wanted = self._num_samples(self.request.sample_rate)
        if self.hosts is None:
            return None, wanted, None, {}
        level, positions = self.hosts.best(row)
        if not positions:
            raise UserError(
                f"strength: there is no normal clip of machine '{row['machine']}' to start from; "
                "'holdout: {normal: …}' in the spec sets how many are kept for generators"
            )
        position = int(self.generator.rng(row["clip_id"], "host").choice(positions))
        waveform = self.hosts.clips.waveform(position)
        if wanted is not None and len(waveform) < wanted:
            name, seconds = self.hosts.clips.frame["clip_id"].iat[position], self.generator.clip_seconds
            raise UserError(
                f"clip_seconds: {name} lasts {len(waveform) / self.request.sample_rate:g} s, not {seconds:g}"
            )
        waveform = waveform[:wanted]
        length = len(waveform)
        waveform = resampled(waveform, self.request.sample_rate, self.pipeline.sample_rate)
        origin = {**self.hosts.host(position), "host_match": level, "strength": self.generator.strength}
        return waveform, length, self.hosts.attributes(position, row), origin

    def _with_fault(self, description: Description, clip_id: str) -> Description:
        """An anomaly with a fault and severity of a training clip of its machine, at random, or as the settings say."""
        generator = self.generator
        random = generator.rng(clip_id, "fault")
        return with_fault(description, self.known, random, generator.fault, generator.severity)

    def _caption(self, description: Description, clip_id: str) -> str:
        metadata = description.metadata_text()
        own = self._own(metadata)
        if own is not None:
            return own
        if self.generator.captions == "t5":
            self.written[metadata] = self._writer.write([description])[0]
            return self.written[metadata]
        text = caption(description, paraphrase_of(self.generator.seed, clip_id))
        self.from_templates.add(text)
        return text

    def _own(self, metadata: str) -> str | None:
        """The caption that a T5 model or a person wrote for what these metadata say, if there is one."""
        if metadata in self.written or metadata not in self.learnt:
            return self.written.get(metadata)
        known, own = self.learnt[metadata]
        return None if own in templates(known) else own

    @cached_property
    def _writer(self) -> CaptionWriter:
        """Loaded only where labels are asked for in a combination that no training clip had."""
        from .conditioning.caption_t5 import CaptionWriter

        return CaptionWriter(self.generator.caption_model, self.device)
