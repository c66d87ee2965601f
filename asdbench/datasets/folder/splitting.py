"""Assigning recordings to training and test so that no group of them straddles the split."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from asdbench import NotApplicableError, UserError
from asdbench.datasets.folder.items import Item
from asdbench.seeding import derive_seed


def split_items(items: Sequence[Item], test_fraction: float, seed: int) -> list[str]:
    """Return "train" or "test" for each recording of one machine type.

    A split that is given is kept, and holds for the whole group. All anomalous clips are test clips, and with them
    their groups. Of the other normal clips (or groups, each weighing as many clips as it has) ``test_fraction`` become
    test clips, drawn in an order that depends on the seed and on their names only: neither the order of the files nor
    the place of the data root matters. Single clips are drawn within each section and domain, so that both sides
    have every one of these that has two normal clips.

    Raises:
        NotApplicableError: there is no normal clip.
        UserError: a group is given to both sides, an anomalous clip to training, or no normal clip is left to train on.
    """
    machine = items[0].machine
    given = _given_splits(items)
    free: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        if item.condition != "normal":
            continue
        stratum = ("", "") if item.group else (item.section, item.domain)
        key = _key(item)
        if key not in given:
            free[stratum][key] += 1
        elif given[key] == "test" and not item.split:
            taken[stratum] += 1
    split = dict(given)
    for stratum, sizes in free.items():
        drawn = _draw(sizes, taken[stratum], test_fraction, seed)
        split.update({key: "test" if key in drawn else "train" for key in sizes})
    result = [split[_key(item)] for item in items]
    normal = [side for item, side in zip(items, result, strict=True) if item.condition == "normal"]
    if not normal:
        raise NotApplicableError(f"machine '{machine}' has no normal clip; a detector is trained on normal clips")
    if "train" not in normal:
        raise UserError(
            f"machine '{machine}' has {len(normal)} normal clips but none is left for training: their groups hold "
            "anomalous clips or were given to the test side"
        )
    if "test" not in normal and not any(item.split for item in items) and any(item.group for item in items):
        raise UserError(f"machine '{machine}' has one group of normal clips only; a split needs at least two")
    return result


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
