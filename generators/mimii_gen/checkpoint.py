"""The folder of a pipeline, read with checks: its index, its noise schedule and its parts.

diffusers alone would unpickle weights, take any class that the index names, and put defaults where a file lacks
something.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import transformers
from diffusers import DDPMScheduler
from transformers import AutoTokenizer, EncodecModel

from asdbench import UserError
from asdbench.pretrained.hub import PICKLES, check_safetensors, load_pretrained, local_folder, quiet

from ..shared.fields import Field, check_fields, is_count, is_number
from .compact.network import CompactNetwork
from .diffusion.clip_network import ClipNetwork
from .diffusion.flat_unet import FlatUNet
from .diffusion.schedule import NoiseSchedule
from .latents.space import LatentSpace
from .older import refuse_older

__all__ = ["FIELDS", "SETTING", "load_parts"]

SETTING = "checkpoint"
_CLASS = "MimiiGenPipeline"
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
_OWN = {(kind.__module__, kind.__name__): kind for kind in (FlatUNet, ClipNetwork, CompactNetwork)}
"""Networks of this package, which stand in an index under the names of their modules."""
_PARTS = ("unet", "text_encoder", "codec", "tokenizer")
_OPTIONAL = ("clip_network",)
_EXACT: Mapping[str, tuple[Any, ...]] = {
    "scheduler": (DDPMScheduler,),
    "codec": (EncodecModel, CompactNetwork),
    "clip_network": (ClipNetwork,),
}
"""Parts that can be of some classes only."""
_MOST_TOKENS = 512  # the most that the setting text_length allows


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == len(value[0]) for row in value):
        return False
    return all(is_number(number) for row in value for number in row)


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


FIELDS: Mapping[str, Field] = {
    "latent_space": (lambda value: isinstance(value, dict), "layout and statistics of the latents"),
    "null_embedding": (_is_matrix, "rows of finite numbers, all of one length"),
    "bandwidth": (lambda value: value is None or _is_positive(value), "a number above 0, or null"),
    "gain": (_is_positive, "a number above 0"),
    "max_tokens": (lambda value: is_count(value) and value <= _MOST_TOKENS, f"a whole number, 1 to {_MOST_TOKENS}"),
    "pooling": (lambda value: value in ("none", "mean"), "'none' or 'mean'"),
    "num_samples": (is_count, "a whole number above 0"),
}
"""What ``model_index.json`` says beside the parts."""


def load_parts(name: str) -> tuple[Path, dict[str, Any]]:
    """Find a saved pipeline and load its parts.

    Args:
        name: a folder, or an id of the Hugging Face hub.

    Returns:
        The folder, and the parts by name.

    Raises:
        UserError: see `load_pipeline`.
    """
    refuse_older(name)
    folder = local_folder(name, SETTING) or _download(name)
    index = _read_index(folder)
    schedule = _read_schedule(folder, index)
    pickles = [path for path in sorted(folder.rglob("*")) if path.suffix in PICKLES]
    if pickles:
        raise UserError(
            f"{SETTING}: {pickles[0]}: weights in a pickle are refused because reading them can run any code, "
            "expected safetensors files only"
        )
    check_safetensors(folder, SETTING)
    parts = {part: _load_part(folder, part, index) for part in _PARTS}
    for part in _OPTIONAL:
        parts[part] = _load_part(folder, part, index) if index.get(part, [None])[0] is not None else None
    return folder, parts | {"scheduler": schedule.scheduler()}


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise UserError(f"{SETTING}: {folder} holds no model_index.json, expected the folder of a trained generator")
    index = _read_json(path)
    found = index.get("_class_name")
    if found != _CLASS:
        raise UserError(f"{SETTING}: {path} is that of a '{found}', expected '{_CLASS}'")
    try:
        check_fields(index, FIELDS)
        LatentSpace.from_dict(index["latent_space"])
    except UserError as error:
        raise UserError(f"{SETTING}: {path}: {error}") from error
    return index


def _read_schedule(folder: Path, index: dict[str, Any]) -> NoiseSchedule:
    """Read the noise schedule of the training; diffusers would put its defaults where the file lacks something."""
    _class_of(folder, "scheduler", index)
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise UserError(f"{SETTING}: {path} is missing, expected the noise schedule of the training")
    config = _read_json(path)
    try:
        return NoiseSchedule.from_config(config)
    except UserError as error:
        raise UserError(f"{SETTING}: {path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{SETTING}: {path}: the file cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{SETTING}: {path}: expected a JSON object, found {type(found).__name__}")
    return found


def _class_of(folder: Path, part: str, index: dict[str, Any]) -> Any:
    """The class that the index names for a part, if it is one of the two libraries' and can be that of the part."""
    entry = index.get(part)
    library, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    kind = _OWN.get((str(library), str(name))) or getattr(_LIBRARIES.get(str(library)), str(name), None)
    only = _EXACT.get(part)
    if not hasattr(kind, "from_pretrained") or (only is not None and kind not in only):
        expected = "a class of diffusers or transformers"
        if only is not None:
            expected = " or ".join(each.__name__ for each in only)
        raise UserError(f"{SETTING}: {folder / 'model_index.json'}: {part} is {entry}, expected {expected}")
    if not (folder / part).is_dir():
        raise UserError(f"{SETTING}: {folder} holds no folder '{part}', expected that of a {name}")
    return kind


def _load_part(folder: Path, part: str, index: dict[str, Any]) -> Any:
    kind = _class_of(folder, part, index)
    if part == "tokenizer":
        return load_pretrained(AutoTokenizer, str(folder / part), setting=SETTING)
    return load_pretrained(kind, str(folder / part), setting=SETTING, optional=("pooler.",))


def _download(name: str) -> Path:
    """Bring a pipeline from the hub, or from its local cache; only files that cannot run code."""
    try:
        with quiet():
            return Path(
                huggingface_hub.snapshot_download(
                    name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt"], etag_timeout=5
                )
            )
    except Exception as error:  # which errors there are depends on the HTTP library
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"{SETTING}: '{name}' is no folder and cannot be loaded from the hub ({reason}); download it elsewhere "
            f"with 'hf download {name} --local-dir DIR' and set {SETTING} to that folder"
        ) from error
