"""Vectors of clips: what an embedding makes of a set of clips, checked and in an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench.errors import UserError

Vectors = npt.NDArray[np.float64]
"""One vector a row, shape (vectors, dim)."""


@dataclass(frozen=True)
class EmbeddedClips:
    """The vectors of some clips.

    Attributes:
        model: what made them; vectors of different models are never compared.
        clip_ids: names of the clips.
        vectors: of each clip, shape (vectors of the clip, dim), at least one.
        logits: class logits of each clip, shape (clips, classes); None where the model is no classifier.
    """

    model: str
    clip_ids: tuple[str, ...]
    vectors: tuple[Vectors, ...]
    logits: Vectors | None = None

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors[0].shape[1])

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many vectors each clip has."""
        return np.array([len(part) for part in self.vectors], dtype=np.int64)

    @cached_property
    def stacked(self) -> Vectors:
        """All vectors, shape (vectors, dim)."""
        return np.concatenate(self.vectors)

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """The index of the clip that each row of `stacked` belongs to."""
        return np.repeat(np.arange(len(self)), self.counts)

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> EmbeddedClips:
        """The clips at the given positions."""
        logits = None if self.logits is None else self.logits[np.asarray(rows, dtype=int)]
        ids = tuple(self.clip_ids[row] for row in rows)
        return EmbeddedClips(self.model, ids, tuple(self.vectors[row] for row in rows), logits)


def join(first: EmbeddedClips, second: EmbeddedClips) -> EmbeddedClips:
    """Both sets in one, the first one first.

    Raises:
        UserError: they come from different models.
    """
    refuse_different_models(first, second)
    logits = None
    if first.logits is not None and second.logits is not None:
        logits = np.concatenate([first.logits, second.logits])
    return EmbeddedClips(first.model, first.clip_ids + second.clip_ids, first.vectors + second.vectors, logits)


def refuse_different_models(first: EmbeddedClips, second: EmbeddedClips) -> None:
    """Raise a UserError where two sets of vectors come from different models."""
    if first.model != second.model:
        raise UserError(
            f"the embeddings come from different models ('{first.model}' and '{second.model}'), "
            "expected one model for both sets"
        )
    if first.dim != second.dim:
        raise UserError(f"the embeddings have {first.dim} and {second.dim} dimensions, expected vectors of one model")


def checked(values: npt.ArrayLike, what: str, at_least: int = 1) -> Vectors:
    """Return vectors in double precision.

    Args:
        values: shape (vectors, dim).
        what: their name, for messages.
        at_least: how many vectors are needed.

    Raises:
        UserError: there are too few, they have no two axes, or a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"{what}: expected an array of shape (vectors, dimensions), found the shape {array.shape}")
    if len(array) < at_least:
        found = {0: "none", 1: "one"}.get(len(array), str(len(array)))
        raise UserError(f"{what}: at least {at_least} vectors are needed, found {found}")
    bad = int((~np.isfinite(array)).any(axis=1).sum())
    if bad:
        raise UserError(f"{what}: {bad} of {len(array)} vectors hold NaN or infinite values")
    return array


def checked_pair(first: npt.ArrayLike, second: npt.ArrayLike, at_least: int = 1) -> tuple[Vectors, Vectors]:
    """`checked` of a reference set and a set that is compared with it.

    Raises:
        UserError: also where the dimensions differ.
    """
    x, y = checked(first, "reference", at_least), checked(second, "generated", at_least)
    if x.shape[1] != y.shape[1]:
        raise UserError(f"the embeddings have {x.shape[1]} and {y.shape[1]} dimensions, expected vectors of one model")
    return x, y


def in_order(vectors: Vectors) -> npt.NDArray[np.int64]:
    """An order of rows that depends on their values only, so that sums do not depend on the order of files."""
    rows = np.ascontiguousarray(vectors + 0.0)  # -0.0 and 0.0 are the same value and different bytes
    return np.argsort(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(), kind="stable")


def bilinear(
    left: npt.NDArray[np.floating], matrix: npt.NDArray[Any], right: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """lᵀ M r of each row l of ``left`` and r of ``right``, shape (rows,)."""
    return np.asarray(np.einsum("ij,ij->i", left @ matrix, right))
