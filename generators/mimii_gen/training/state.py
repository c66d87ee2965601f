"""Checkpoints of a training: what it takes to go on exactly, in safetensors and JSON.

A checkpoint is a folder ``step-00000123`` with one safetensors file for each group of tensors and ``state.json``, which
holds the step, what the training was begun with, its history, and size and hash of the other files. It is written under
another name and renamed when it is whole; two are kept, so that one damaged file does not cost the training.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asdbench import UserError

from ...shared.disk import os_errors
from .denoiser import tensors_of

__all__ = [
    "Checkpoint",
    "load_module",
    "load_optimizer",
    "newest_checkpoint",
    "optimizer_tensors",
    "save_checkpoint",
]

_NAME = re.compile(r"step-(\d{8,})")
_UNFINISHED = ".writing-"
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are as they were written.

    Attributes:
        folder: where it is.
        step: optimiser steps done.
        record: what was saved beside the tensors.
    """

    folder: Path
    step: int
    record: dict[str, Any]

    def tensors(self, group: str) -> dict[str, Tensor]:
        """Return the tensors of a group, on the CPU, in memory of their own (the file may be removed any time)."""
        return {name: tensor.clone() for name, tensor in load_file(self.folder / f"{group}.safetensors").items()}


def save_checkpoint(
    parent: Path,
    step: int,
    groups: Mapping[str, Mapping[str, Tensor]],
    identity: Mapping[str, Mapping[str, Any]],
    record: Mapping[str, Any],
) -> Path:
    """Write a checkpoint, then remove all but the newest two.

    Args:
        parent: folder of the training's checkpoints.
        step: optimiser steps done.
        groups: tensors by name, by group.
        identity: what a training that goes on from here must have in common with this one: "settings" that are named
            in messages with their values, and hashes of what it was begun "with".
        record: further values, JSON, kept exactly.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: If the disk refuses it, such as with ENOSPC where it is full; the checkpoints of before are kept.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{_UNFINISHED}*"):  # of a training that was killed
        shutil.rmtree(left, ignore_errors=True)
    writing = parent / f"{_UNFINISHED}{secrets.token_hex(4)}"
    writing.mkdir()
    try:
        files = {}
        for group, tensors in groups.items():
            path = writing / f"{group}.safetensors"
            with os_errors(path):
                save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
            files[path.name] = _fingerprint(path)
            _to_disk(path)
        state = {"step": step, "identity": identity, "record": record, "files": files}
        path = writing / "state.json"
        path.write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
        _to_disk(path)
        folder = parent / f"step-{step:08d}"
        if folder.exists():  # a damaged one that was passed over
            shutil.rmtree(folder)
        writing.rename(folder)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    for _, old in _checkpoints(parent)[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def newest_checkpoint(
    parent: Path, identity: Mapping[str, Mapping[str, Any]], say: Callable[[str], None]
) -> Checkpoint | None:
    """Return the newest checkpoint that is sound, None where there are no checkpoints at all.

    Args:
        parent: folder of the training's checkpoints.
        identity: of the training that wants to go on; see `save_checkpoint`.
        say: called with a message for every checkpoint that is passed over because it is damaged.

    Raises:
        UserError: If the training was begun with something else, or all of its checkpoints are damaged.
    """
    damaged = []
    for step, folder in _checkpoints(parent):
        try:
            state = _read(folder, step)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"{folder}: {error}")
            say(f"the checkpoint {folder} is damaged ({error}) and passed over")
            continue
        _require_same(parent.parent, state["identity"], identity)
        return Checkpoint(folder, step, state["record"])
    if damaged:
        raise UserError(
            f"no checkpoint of {parent} can be read ({damaged[0]}); choose another folder or delete {parent.parent} "
            "to begin anew"
        )
    return None


def _checkpoints(parent: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the checkpoints, the newest first."""
    found = []
    for folder in parent.glob("step-*"):
        match = _NAME.fullmatch(folder.name)
        if match:
            found.append((int(match[1]), folder))
    return sorted(found, reverse=True)


def _read(folder: Path, step: int) -> dict[str, Any]:
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if state["step"] != step:
        raise ValueError(f"state.json is of step {state['step']}")
    for name, expected in state["files"].items():
        if _fingerprint(folder / name) != expected:
            raise ValueError(f"{name} is not as it was written")
    return {"identity": dict(state["identity"]), "record": dict(state["record"])}


def _require_same(work: Path, begun: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> None:
    now = json.loads(json.dumps(now))  # tuples are lists in the file
    changes = []
    for name, value in now["settings"].items():
        if name not in begun["settings"] or begun["settings"][name] != value:
            changes.append(f"{name} {_text(begun['settings'].get(name))}, now {_text(value)}")
    if changes:
        what = f"settings: {'; '.join(changes)}"
    else:
        others = [name for name, value in now["with"].items() if begun["with"].get(name) != value]
        if not others:
            return
        what = " and ".join(others)
    raise UserError(f"the training in {work} was begun with other {what}; choose another folder or delete it")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _fingerprint(path: Path) -> list[Any]:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return [path.stat().st_size, digest.hexdigest()]


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk, so that a rename after it never names half a file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def load_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back the weights that `tensors_of` returned.

    Raises:
        ValueError: If they are of a module of another shape.
    """
    ours = tensors_of(module)
    if ours.keys() != tensors.keys() or any(ours[name].shape != tensor.shape for name, tensor in tensors.items()):
        raise ValueError("the tensors of the checkpoint are not those of this network")
    with torch.no_grad():
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Return the state of an optimiser (of AdamW: exp_avg, exp_avg_sq and step) as ``name.key``.

    Args:
        optimizer: with one group of parameters.
        names: of its parameters, in order.
    """
    state = optimizer.state_dict()["state"]
    return {f"{names[index]}.{key}": value for index, values in state.items() for key, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    numbers = {name: index for index, name in enumerate(names)}
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(".")
        state.setdefault(numbers[name], {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
