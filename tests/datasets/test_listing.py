"""Walking a data root, and reading CSV files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asdbench import UserError
from asdbench.datasets.listing import data_root, walk
from asdbench.datasets.tables import read_rows, read_table


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_come_sorted_with_sorted_files(tmp_path: Path) -> None:
    touch(
        tmp_path, "b/2.wav", "b/1.FLAC", "a/x/3.ogg", "a/t.csv", "c/notes.txt", "b/.hidden.wav", ".git/4.wav", "5.wav"
    )
    assert [(folder.parts, folder.audio, folder.tables) for folder in walk(tmp_path)] == [
        ((), ("5.wav",), ()),
        (("a",), (), ("t.csv",)),
        (("a", "x"), ("3.ogg",), ()),
        (("b",), ("1.FLAC", "2.wav"), ()),
    ]


def test_clip_ids_are_relative_with_forward_slashes(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/3.ogg")
    (folder,) = walk(tmp_path)
    assert folder.clip_id("3.ogg") == "a/x/3.ogg"
    assert Path(folder.file("3.ogg")) == tmp_path / "a" / "x" / "3.ogg"


def test_a_folder_with_two_names_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "m/1.wav")
    (tmp_path / "a").symlink_to(tmp_path / "m")
    (tmp_path / "z").symlink_to(tmp_path / "m")
    assert [folder.parts for folder in walk(tmp_path)] == [("a",)]


def test_links_back_to_the_root_or_above_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(tmp_path, "other/1.wav", "root/2.wav")
    (root / "self").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    assert [folder.audio for folder in walk(root)] == [("2.wav",)]


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data_root("~") == tmp_path


def test_rows_count_as_in_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffa, b \r\n\r\n"x\ny",2\r\n,\r\nlast,3'.encode())
    rows = read_rows(path)
    assert [row.cells for row in rows] == [["a", "b"], ["x\ny", "2"], ["last", "3"]]
    assert [row.place for row in rows] == [f"{path}, row 1", f"{path}, row 4", f"{path}, row 6"]


def test_tables_have_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,\n")
    columns, rows = read_table(path)
    assert columns == ["a", "b"]
    assert [row.cells for row in rows] == [["1", "2"], ["3", ""]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a,a\n", r"row 1: the column 'a' stands there twice"),
        (b"a,b\n1\n", r"row 2: 1 cells, but the file has 2 columns"),
        (b"a,b\n\xe9,1\n", r"byte 4 is not UTF-8"),
        (b"a,\0b\n", "NUL bytes"),
        (b'a,b\n"1"2,3\n', r"row 2: not a row of a CSV file"),
    ],
)
def test_wrong_tables(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.csv.*{message}"):
        read_table(path)


def test_a_table_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the file cannot be read"):
        read_rows(tmp_path)


def test_a_name_that_is_no_text_is_said(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"m\xfc.wav")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match=r"holds b'm\\xfc\.wav', expected a name in UTF-8; rename it"):
        walk(tmp_path)
