"""The words of a caption, by which models are conditioned."""

from __future__ import annotations

import re

__all__ = ["words_of"]

_WORD = re.compile(r"\w+(?:[.+-]\w+)*")


def words_of(text: str) -> frozenset[str]:
    """Words of a text in lower case; numbers such as 0.05 and names such as m-n are one word."""
    return frozenset(word.lower() for word in _WORD.findall(text))
