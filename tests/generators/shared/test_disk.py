from __future__ import annotations

from pathlib import Path

import pytest

from asdbench.generators.shared.disk import whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as part:
        part.write_text("half")
        assert not path.exists() and part.parent == path.parent and part.name.startswith(".")
        part.write_text("whole")
    assert path.read_text() == "whole" and names(path.parent) == ["file.txt"]


def _fail_halfway(path: Path, error: type[BaseException]) -> None:
    with whole_file(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_was_there_stays_where_writing_fails(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(error):
        _fail_halfway(path, error)
    assert path.read_text() == "before" and names(tmp_path) == ["file.txt"]
