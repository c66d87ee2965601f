"""What a name means: a folder here or a model on the hub, and what is in it. Imports no heavy library."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from asdbench import UserError
from asdbench.hashing import hash_of_file

_IDENTITY = (".json", ".safetensors", ".model", ".txt", ".csv")
_WORK = "training"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def identity_of(name: str, setting: str = "", *, file: bool = False) -> str:
    """Say what a pretrained part is, in one word that is the same wherever it lies.

    Args:
        name: a folder or hub id; with ``file`` a file.
        setting: the setting that holds the name, for messages.
        file: the name is that of a file.

    Returns:
        A hash over the names and contents of the JSON, safetensors and vocabulary files of a folder and the folders in
        it, or ``hub:ID`` for a hub id. What a training works with, in a subfolder ``training``, is left out.

    Raises:
        UserError: the name is that of a folder or file, and there is none.
    """
    if file:
        try:
            return hash_of_file(Path(name))
        except OSError as error:
            raise UserError(f"{setting}: {name}: the file cannot be read ({error.strerror})") from error
    folder = local_folder(name, setting)
    if folder is None:
        return f"hub:{name}"
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        if path.suffix not in _IDENTITY or not path.is_file() or parts[0] == _WORK:
            continue
        if any(part.startswith(".") for part in parts):
            continue  # hidden folders hold the bookkeeping of downloads
        digest.update(json.dumps(["/".join(parts), hash_of_file(path)]).encode())
    return digest.hexdigest()


def local_folder(name: str, setting: str = "") -> Path | None:
    """Return the folder that a name means, None where it is a hub id.

    Raises:
        UserError: the name is a path and there is no folder, or it is neither a path nor an id.
    """
    prefix = f"{setting}: " if setting else ""
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path
    if path.is_file():
        raise UserError(f"{prefix}'{name}' is a file, expected a folder with config.json and safetensors, or a hub id")
    has_parent = "/" in name and path.parent.is_dir()
    if name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1 or has_parent:
        raise UserError(f"{prefix}no such folder: '{name}'")
    if not _HUB_ID.fullmatch(name):
        raise UserError(f"{prefix}'{name}' is neither a folder nor a hub id, expected a folder or OWNER/NAME")
    return None
