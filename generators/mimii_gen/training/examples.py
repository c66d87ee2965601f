"""Training examples: clips with captions, which of them validate, and the order in which the others are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from asdbench import UserError

from ...shared.randomness import stream, unit

__all__ = ["Balance", "Draws", "Example", "examples_id", "split_examples"]

Balance = Literal["none", "condition", "caption"]
_LEVELS: dict[str, tuple[str, ...]] = {
    "none": (),
    "condition": ("machine", "condition"),
    "caption": ("machine", "condition", "caption"),
}


@dataclass(frozen=True, order=True)
class Example:
    """A clip and what is said of it.

    Attributes:
        content_hash: of the clip's audio, the name of its codes in the latent cache.
        clip_id: the clip's name, for messages.
        machine: machine type.
        condition: "normal" or "anomaly".
        caption: the sentence that the network is conditioned on.
    """

    content_hash: str
    clip_id: str
    machine: str
    condition: str
    caption: str


def examples_id(examples: Sequence[Example]) -> str:
    """Return a hash of the examples, whatever their order."""
    text = json.dumps(sorted(astuple(example) for example in examples))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def split_examples(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Split examples into those to train on and those to validate on, each in an order of its own.

    A clip's side depends on the hash of its audio: copies of a clip stay together, and clips that are added later move
    no other. Where the share is above zero and there are two different clips or more, at least one clip is on each
    side.

    Args:
        examples: all examples.
        share: expected share of clips to validate on, in [0, 1).

    Raises:
        UserError: If there are no examples.
    """
    if not examples:
        raise UserError("there are no clips to train on")
    examples = sorted(examples)
    place = {example.content_hash: unit("validation", example.content_hash) for example in examples}
    by_place = sorted(place, key=lambda content: place[content])
    held_out = {content for content in by_place if place[content] < share}
    if share > 0:
        held_out = (held_out | {by_place[0]}) - {by_place[-1]}  # of a single clip nothing is held out
    train = [example for example in examples if example.content_hash not in held_out]
    return train, [example for example in examples if example.content_hash in held_out]


class Draws:
    """Which example is drawn at which place of the training: a function of the seed and the place alone.

    The examples are the leaves of a tree, and every node hands out its children in rounds: each child once in a round,
    in an order that is shuffled anew for every round. With one level this is the usual shuffled epoch. With the levels
    machine and condition, machines come equally often, and of a machine its anomalies as often as its normal clips,
    however few they are; "caption" then also takes the captions of a condition equally often.
    """

    def __init__(self, examples: Sequence[Example], balance: Balance, seed: int) -> None:
        """Prepare the order of draws.

        Args:
            examples: what is drawn from, not empty.
            balance: what comes equally often.
            seed: seed of the training.
        """
        self._seed, self._levels = seed, _LEVELS[balance]
        self._leaves: dict[tuple[str, ...], list[int]] = {}
        self._branches: dict[tuple[str, ...], list[str]] = {}
        for index, example in enumerate(examples):
            path = tuple(str(getattr(example, level)) for level in self._levels)
            self._leaves.setdefault(path, []).append(index)
        for path in sorted(self._leaves):
            for depth in range(len(path)):
                names = self._branches.setdefault(path[:depth], [])
                if path[depth] not in names[-1:]:  # paths are sorted: equal names follow each other
                    names.append(path[depth])
        self._orders: dict[tuple[str, ...], tuple[int, npt.NDArray[np.int64]]] = {}

    def __getitem__(self, place: int) -> int:
        """Return the index of the example that is drawn as number ``place`` of the training, counted from 0."""
        path: tuple[str, ...] = ()
        for _ in self._levels:
            names = self._branches[path]
            child, place = self._turn(path, len(names), place)
            path = (*path, names[child])
        leaves = self._leaves[path]
        return leaves[self._turn(path, len(leaves), place)[0]]

    def _turn(self, path: tuple[str, ...], num_children: int, visit: int) -> tuple[int, int]:
        """The child whose turn it is at a node's visit, and the number of that child's visits before."""
        turn, position = divmod(visit, num_children)
        known, order = self._orders.get(path, (-1, None))
        if order is None or known != turn:
            order = stream("draws", self._seed, *path, turn).permutation(num_children)
            self._orders[path] = (turn, order)
        return int(order[position]), turn
