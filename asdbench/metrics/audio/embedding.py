"""From clips to vectors: run an embedding over a clip set, with a cache by content."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic

from asdbench.audio import resample
from asdbench.clips import ClipSet
from asdbench.errors import PluginError, UserError, did_you_mean
from asdbench.metrics.audio.vectors import EmbeddedClips, Vectors
from asdbench.plugins import Embedding, embeddings, source_id
from asdbench.validation import first_error

_NOT_RESULTS = ("device",)
"""Settings that say where a model is computed, not what it is."""


def embedding_of(name: str | Embedding, settings: Mapping[str, Any] | None = None) -> Embedding:
    """An embedding by name, with settings.

    Raises:
        UserError: there is no such embedding or setting, or a value is wrong.
    """
    if isinstance(name, Embedding):
        return name
    kind, given = embeddings.get(name), dict(settings or {})
    for word in given:
        if word not in kind.setting_names() and not kind.rest_name():
            raise UserError(f"the embedding '{name}' has no setting '{word}'{did_you_mean(word, kind.setting_names())}")
    try:
        return kind(**given)
    except pydantic.ValidationError as error:
        where, sentence = first_error(error, kind.setting_names())
        raise UserError(f"the embedding '{name}': {'.'.join(map(str, where))}: {sentence}") from None


def _of_entry(entry: object) -> Embedding:
    """The embedding that a setting names."""
    if isinstance(entry, Embedding):
        return entry
    if isinstance(entry, str):
        entry = {"use": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
        raise ValueError("expected the name of an embedding or a mapping such as {use: NAME}")
    try:
        return embedding_of(entry["use"], {name: value for name, value in entry.items() if name != "use"})
    except UserError as error:
        raise ValueError(str(error)) from error


AnyEmbedding = Annotated[pydantic.InstanceOf[Embedding], pydantic.BeforeValidator(_of_entry)]
"""Type of a setting that is an embedding: its name, or ``{use: NAME, …}`` with its settings.

For example ``embedding: AnyEmbedding = setting("logmel_stats")``.
"""


def model_of(embedding: Embedding) -> str:
    """What tells an embedding from another: its name and a hash of its settings, weights and source."""
    settings = {name: value for name, value in embedding.settings().items() if name not in _NOT_RESULTS}
    parts = [embedding.version, settings, embedding.inputs(), source_id(type(embedding))]
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=6).hexdigest()
    return f"{embedding.name or type(embedding).__name__}-{digest}"


def embed_clips(
    clips: ClipSet,
    embedding: Embedding,
    *,
    cache: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> EmbeddedClips:
    """Embed the clips of a set, in an order that depends on their content only.

    Clips are read at the rate of the set and then brought to the rate of the embedding, so that all are band-limited
    alike.

    Args:
        clips: one clip or more.
        embedding: the model.
        cache: a folder where vectors are kept by what was heard and by which model; None for no cache.
        advance: called after each clip.

    Raises:
        UserError: the set is empty or of several sample rates, a clip cannot be embedded, or the embedding gives
            vectors that are not finite.
    """
    if len(clips) == 0:
        raise UserError("there are no clips to embed")
    rates = sorted({int(rate) for rate in clips.frame["sample_rate"]})
    if clips.sample_rate is None and len(rates) > 1:
        raise UserError(
            f"the clips have different sample rates ({', '.join(map(str, rates))} Hz), expected one for all"
        )
    model = model_of(embedding)
    frame = clips.frame
    order = sorted(range(len(clips)), key=lambda row: (frame["content_hash"][row], frame["clip_id"][row]))
    vectors: list[Vectors] = []
    logits: list[Vectors] = []
    for row in order:
        key = [model, frame["content_hash"][row], clips.sample_rate, clips.channel]
        place = None if cache is None else cache / _name(key)
        found = _read(place) if place is not None and frame["content_hash"][row] else None
        if found is None:
            found = _embed(embedding, clips, row)
            if place is not None and frame["content_hash"][row]:
                _write(place, found)
        vectors.append(found["vectors"])
        if embedding.has_logits:
            logits.append(found["logits"].mean(axis=0))
        advance()
    ids = tuple(frame["clip_id"][row] for row in order)
    if len({part.shape[1] for part in vectors}) > 1:
        raise PluginError(f"the embedding '{embedding.name}' gave vectors of different lengths")
    return EmbeddedClips(model, ids, tuple(vectors), np.stack(logits) if logits else None)


def clip_vectors(clips: ClipSet, embedding: Embedding) -> Vectors:
    """One vector a clip, in the order of the clips: the mean of those that an embedding gives it.

    Returns:
        Shape (clips, dim); what a clip gives depends on that clip only.

    Raises:
        UserError: there is no clip, or one cannot be embedded.
    """
    if len(clips) == 0:
        raise UserError("there are no clips to embed")
    return np.stack([_embed(embedding, clips, row)["vectors"].mean(axis=0) for row in range(len(clips))])


def _embed(embedding: Embedding, clips: ClipSet, row: int) -> dict[str, Vectors]:
    rate = clips.sample_rate or int(clips.frame["sample_rate"][row])
    waveform = resample(clips.waveform(row), rate, embedding.sample_rate)
    try:
        if embedding.has_logits:
            parts = dict(zip(("vectors", "logits"), embedding.embed_with_logits(waveform), strict=True))
        else:
            parts = {"vectors": embedding.embed(waveform)}
    except UserError as error:
        raise UserError(f"{clips.file(row)}: {error}") from error
    result = {}
    for what, values in parts.items():
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or 0 in array.shape:
            raise PluginError(
                f"the embedding '{embedding.name}' gave {what} of shape {array.shape} for {clips.file(row)}, "
                "expected (one or more, dimensions)"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{clips.file(row)}: the embedding '{embedding.name}' gives {what} that are not finite")
        result[what] = array
    return result


def _name(key: list[Any]) -> str:
    return f"{hashlib.blake2b(json.dumps(key).encode(), digest_size=16).hexdigest()}.safetensors"


def _read(place: Path) -> dict[str, Vectors] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(place.read_bytes()))
    except (OSError, SafetensorError):  # absent, or cut off by a full disk: made anew
        return None


def _write(place: Path, values: dict[str, Vectors]) -> None:
    from safetensors.numpy import save

    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    part.write_bytes(save({name: np.ascontiguousarray(array) for name, array in values.items()}))
    os.replace(part, place)  # another process may read it at any time
