"""Files that are whole or not there, and errors of the disk as what they are: libraries written in Rust give words."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["os_errors", "whole_file"]

_CODE = re.compile(r"\(os error (\d+)\)")


@contextmanager
def os_errors(path: str | Path) -> Iterator[None]:
    """Turn the errors of safetensors and tokenizers that stand for one of the system into that `OSError`.

    Args:
        path: what is being written.

    Raises:
        OSError: With the number that the message gives, such as ENOSPC for a full disk.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # tokenizers has no class of its own for its errors
        found = _CODE.search(str(error))
        if found is None:
            raise
        code = int(found[1])
        # The last argument counts on Windows only, where the number is not an errno.
        raise OSError(code, os.strerror(code), str(path), code) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a hidden file beside ``path``, which becomes ``path`` by one rename when the block ends well.

    Nobody ever sees half a file, and a block that fails leaves what was there before.

    Args:
        path: what is being written; its folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
