"""Assigning recordings to training and test so that no group of them straddles the split."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from asdbench import NotApplicableError, UserError
from asdbench.datasets.folder.items import Item
from asdbench.seeding import derive_seed


def split_items(items: Sequence[Item], test_fraction: float, seed: int) -> tuple[list[str], str]:
    """Assign each recording of one machine type to "train" or "test".

    A split that is given is kept, and holds for the whole group. All anomalous clips are test clips, and with them
    their groups. Of the other normal clips (or groups, each weighing as many clips as it has) ``test_fraction`` become
    test clips, drawn in an order that depends on the seed and on their names only: neither the order of the files nor
    the place of the data root matters. Single clips are drawn within each section and domain, so that both sides
    have every one of these that has two normal clips.

    Where too few groups are there to be kept whole, they are divided. If each of them holds anomalous clips, normal
    clips of a group still have one side; a single group is divided by clips.

    Returns:
        "train" or "test" for each recording, and a sentence where groups had to be divided, else "".

    Raises:
        NotApplicableError: there is no normal clip.
        UserError: a group is given to both sides, an anomalous clip to training, or all normal clips to the test side.
    """
    machine = items[0].machine
    if all(item.condition != "normal" for item in items):
        raise NotApplicableError(f"machine '{machine}' has no normal clip; a detector is trained on normal clips")
    notes = []
    sides = _sides(items, test_fraction, seed)
    if not _normal(items, sides, "train"):
        items = [item if item.condition == "normal" or item.split else replace(item, group="") for item in items]
        sides = _sides(items, test_fraction, seed)
        if not _normal(items, sides, "train"):
            count = len(_normal(items, sides, "test"))
            raise UserError(
                f"machine '{machine}' has {count} normal clips but none is left for training: all of them, or their "
                "groups, were given to the test side"
            )
        notes.append(
            "every group of normal clips holds anomalous clips, which are test clips even where the normal clips of "
            "their group are for training"
        )
    train = _normal(items, sides, "train")
    is_grouped, is_given = any(item.group for item in train), any(item.split for item in items)
    if is_grouped and not is_given and not _normal(items, sides, "test"):
        if len({_key(item) for item in train}) == 1 and len(train) > 1:
            items = [replace(item, group="") for item in items]
            notes.append(
                f"all {len(train)} normal clips are of the group '{train[0].group}', which is divided between training "
                "and test; at least two groups are needed"
            )
        sides = _sides(items, test_fraction, seed, stratified=False)
    return sides, f"machine '{machine}': {'; '.join(notes)}" if notes else ""


def _normal(items: Sequence[Item], sides: Sequence[str], side: str) -> list[Item]:
    """The normal clips of a side."""
    return [item for item, own in zip(items, sides, strict=True) if item.condition == "normal" and own == side]


def _sides(items: Sequence[Item], test_fraction: float, seed: int, *, stratified: bool = True) -> list[str]:
    """Assign recordings to "train" or "test"; groups are kept whole, single clips drawn by section and domain."""
    given = _given_splits(items)
    free: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        if item.condition != "normal":
            continue
        stratum = (item.section, item.domain) if stratified and not item.group else ("", "")
        key = _key(item)
        if key not in given:
            free[stratum][key] += 1
        elif given[key] == "test" and not item.split:
            taken[stratum] += 1
    split = dict(given)
    for stratum, sizes in free.items():
        drawn = _draw(sizes, taken[stratum], test_fraction, seed)
        split.update({key: "test" if key in drawn else "train" for key in sizes})
    return [split[_key(item)] for item in items]


def _key(item: Item) -> str:
    """Name of what stays together; the prefix keeps a group from meeting a clip of the same name."""
    return f"group {item.group}" if item.group else f"clip {item.clip_id}"


def _given_splits(items: Sequence[Item]) -> dict[str, str]:
    given: dict[str, str] = {}
    because: dict[str, Item] = {}
    for item in items:
        if item.condition == "anomaly" and item.split == "train":
            raise UserError(f"{item.place}: an anomalous clip is given to training, which takes normal clips only")
        side = item.split or ("test" if item.condition == "anomaly" else "")
        if not side:
            continue
        key = _key(item)
        if given.setdefault(key, side) != side:
            raise UserError(
                f"{item.place}: the group '{item.group}' straddles the split: this clip is for {side}, but that of "
                f"{because[key].place} is for {given[key]}"
            )
        because.setdefault(key, item)
    return given


def _draw(sizes: dict[str, int], taken: int, test_fraction: float, seed: int) -> set[str]:
    """Draw groups for the test side until their size comes nearest to the fraction; at least one stays for training."""
    target = math.floor(test_fraction * (sum(sizes.values()) + taken) + 0.5)
    order = sorted(sizes, key=lambda key: (derive_seed("folder split", seed, key), key))
    drawn: set[str] = set()
    count = taken
    for key in order:
        if len(drawn) == len(order) - 1:
            break
        if abs(target - count - sizes[key]) < abs(target - count):
            drawn.add(key)
            count += sizes[key]
    if count == 0 and len(order) > 1:  # every group is too large for the fraction: the test side gets the smallest
        drawn.add(min(order, key=sizes.__getitem__))
    return drawn
