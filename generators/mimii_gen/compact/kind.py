"""Which codecs are compact, by name or configuration alone, and what does not go with them.

Pure Python: the settings are checked before anything heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asdbench import UserError

__all__ = ["NAME", "WITHOUT_EFFECT", "is_compact", "refuse_without_effect"]

NAME = "compact"
"""The setting ``codec`` for a codec that is trained on the clips at hand."""
_CLASS = "CompactNetwork"
WITHOUT_EFFECT: Mapping[str, str] = {
    "bandwidth": "which has no bit rate",
    "channels": "whose latents are a sequence and a vector and are not reshaped",
    "normalization": "whose latents are always normalised by dimension",
    "gradient_checkpointing": "whose U-Net needs little memory",
}
"""Settings of `mimii_gen` for latents of an EnCodec, and what a compact codec has in their place."""


def is_compact(codec: str) -> bool:
    """Whether a codec is a compact one.

    Args:
        codec: the setting ``codec``: `NAME`, or a folder whose configuration says what it holds.

    Returns:
        False, too, for what is no folder of a codec.
    """
    if codec == NAME:
        return True
    try:
        config = json.loads((Path(codec).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("_class_name") == _CLASS


def refuse_without_effect(codec: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse settings that would be ignored because the codec is a compact one.

    Args:
        codec: the setting ``codec``.
        given: values of `WITHOUT_EFFECT` by name.
        defaults: their defaults, which are accepted.

    Raises:
        UserError: a value is not the default.
    """
    changed = [name for name in WITHOUT_EFFECT if given[name] != defaults[name]]
    if changed and is_compact(codec):
        name = changed[0]
        raise UserError(
            f"{name} is {_shown(given[name])}, expected the default, {_shown(defaults[name])}: it has no effect with "
            f"codec '{codec}', a compact one, {WITHOUT_EFFECT[name]}; leave it out"
        )


def _shown(value: Any) -> str:
    """A value as a spec has it."""
    return value if isinstance(value, str) else json.dumps(value)
