"""Words of captions."""

from __future__ import annotations

from asdbench.generators.texture.words import words_of


def test_numbers_and_names_are_words() -> None:
    assert words_of("At 0.05, amid m-n W: 1.5.") == {"at", "0.05", "amid", "m-n", "w", "1.5"}
    assert words_of(" ") == frozenset()
