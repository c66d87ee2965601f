"""Hashes of files by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_of_file(path: Path) -> str:
    """The first 128 bits of the BLAKE2b hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
