"""Extraction: what recordings need, and nothing that an archive could do beyond that."""

from __future__ import annotations

import hashlib
import shutil
import stat
import struct
import zipfile

import pytest

from asdbench import UserError
from asdbench.downloads import unzip
from asdbench.downloads.unzip import ArchiveError, Extraction


@pytest.fixture
def extract(tmp_path):
    """Extract an archive of the machine 'fan'; what must not be extracted leaves nothing behind."""

    def run(content: bytes):
        path = tmp_path / "dev_fan.zip"
        path.write_bytes(content)
        target = tmp_path / "inside" / "content"
        try:
            files = Extraction(path, "fan").extract_to(target, lambda count: None)
        finally:
            outside = [p for p in tmp_path.rglob("*") if p != path and target not in (p, *p.parents)]
            assert all(p == target.parent for p in outside), f"written outside: {outside}"
        return target, files

    return run


def test_files_come_out_with_size_and_hash(extract, dev_zip, wav):
    target, files = extract(dev_zip("fan"))
    assert len(files) == 13
    name = "train/section_00_source_train_normal_0000_vel_0.wav"
    assert (target / name).read_bytes() == wav
    assert files[name].size == len(wav)
    assert files[name].hash == hashlib.blake2b(wav, digest_size=16).hexdigest()
    assert {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()} == set(files)


@pytest.mark.parametrize("above", ["fan/", "", "./fan/", "dev_data/fan/", "eval_data_fan_train_r2/fan/"])
def test_folders_above_the_machine_are_dropped(extract, make_zip, wav, above):
    _, files = extract(make_zip({f"{above}train/a.wav": wav, f"{above}attributes_00.csv": b"x"}))
    assert set(files) == {"train/a.wav", "attributes_00.csv"}


def test_what_archivers_leave_behind_is_left_out(extract, make_zip, wav):
    _, files = extract(make_zip({"fan/a.wav": wav, "__MACOSX/fan/._a.wav": b"x", "fan/.DS_Store": b"x"}))
    assert set(files) == {"a.wav"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_all_kinds_of_compression_that_python_reads(extract, make_zip, wav, compression):
    target, _ = extract(make_zip({"fan/a.wav": wav}, compression))
    assert (target / "a.wav").read_bytes() == wav


@pytest.mark.parametrize(
    "name",
    [
        "../outside.wav",
        "fan/../../outside.wav",
        "fan/..",
        "/outside.wav",
        "//host/outside.wav",
        "C:/outside.wav",
        "C:outside.wav",
        "fan\\..\\..\\outside.wav",
        "fan//a.wav",
        "fan/a.wav\x00.txt",
        "fan/\x1b[31m.wav",
        "",
        "/",
    ],
)
def test_no_path_leaves_the_target(extract, make_zip, wav, name):
    info = zipfile.ZipInfo("fan/a.wav")
    info.filename = name  # the constructor would make it harmless
    with pytest.raises(ArchiveError, match="expected plain paths that stay below its folder"):
        extract(make_zip([("fan/first.wav", wav), (info, b"" if name.endswith("/") else wav)]))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFCHR, "is neither a file nor a folder"),
        (stat.S_IFBLK, "is neither a file nor a folder"),
        (stat.S_IFIFO, "is neither a file nor a folder"),
        (stat.S_IFSOCK, "is neither a file nor a folder"),
    ],
)
def test_no_link_and_no_device(extract, make_zip, kind, words):
    info = zipfile.ZipInfo("fan/train")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(ArchiveError, match=f"'fan/train' {words}, expected plain files"):
        extract(make_zip([(info, b"/etc"), ("fan/train/a.wav", b"x")]))


def test_no_encrypted_file(extract, make_zip, wav):
    content = bytearray(make_zip({"fan/a.wav": wav}))
    content[6] |= 1  # flag in the header of the file
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the list of contents
    with pytest.raises(ArchiveError, match=r"'fan/a\.wav' is encrypted, expected files without a password"):
        extract(bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("fan/a.wav", "fan/a.wav"), ("fan/a.wav", "fan/A.WAV"), ("fan/a.wav", "a.wav")])
def test_no_name_twice(extract, make_zip, names):
    with pytest.raises(ArchiveError, match="which are one file"):
        extract(make_zip([(names[0], b"one"), (names[1], b"two")]))


def test_accents_written_in_two_ways_are_one_name(extract, make_zip):
    with pytest.raises(ArchiveError, match="which are one file"):
        extract(make_zip([("fan/caf\u00e9.wav", b"one"), ("fan/cafe\u0301.wav", b"two")]))


def test_nothing_is_file_and_folder(extract, make_zip):
    with pytest.raises(ArchiveError, match=r"'a' is a file, but the archive holds 'a/b\.wav' in it"):
        extract(make_zip([("fan/a", b"one"), ("fan/a/b.wav", b"two")]))


def test_a_bomb_is_refused_before_anything_is_written(extract, make_zip):
    with pytest.raises(ArchiveError, match=r"would become 30\.0 MB, expected 16\.0 MB or less from 29\.\d kB"):
        extract(make_zip({f"fan/{index}.wav": bytes(10_000_000) for index in range(3)}))


def test_a_small_archive_may_be_compressed_well(extract, make_zip):
    target, _ = extract(make_zip({"fan/silence.wav": bytes(1_000_000)}))
    assert (target / "silence.wav").stat().st_size == 1_000_000


def test_a_bomb_of_one_file_listed_many_times_is_refused(extract, make_zip):
    content = make_zip({"fan/0.wav": bytes(9_000_000)})
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], content[content.index(b"PK\x05\x06") :]
    entries = b"".join(entry.replace(b"0.wav", f"{index}.wav".encode()) for index in range(10))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(entries), start, 0)
    with pytest.raises(ArchiveError, match=r"would become 90\.0 MB"):
        extract(content[:start] + entries + end)


def test_a_file_that_is_longer_than_stated_is_refused(extract, make_zip):
    content = bytearray(make_zip({"fan/a.wav": bytes(5_000_000)}))
    for at in (22, content.index(b"PK\x01\x02") + 24):
        content[at : at + 4] = struct.pack("<L", 1000)
    with pytest.raises(ArchiveError, match=r"damaged or no ZIP file \(Bad CRC-32"):
        extract(bytes(content))


def test_too_many_files_are_refused(extract, make_zip, monkeypatch):
    monkeypatch.setattr(unzip, "MOST_FILES", 3)
    with pytest.raises(ArchiveError, match="holds 4 files, expected 3 or fewer"):
        extract(make_zip({f"fan/{index}.wav": b"x" for index in range(4)}))


def test_a_changed_byte_is_noticed(extract, make_zip, wav):
    content = bytearray(make_zip({"fan/a.wav": wav}, zipfile.ZIP_STORED))
    content[200] ^= 1
    with pytest.raises(ArchiveError, match=r"damaged or no ZIP file \(Bad CRC-32 for file 'fan/a\.wav'\)"):
        extract(bytes(content))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_noticed(extract, dev_zip, share):
    content = dev_zip("fan")
    with pytest.raises(ArchiveError, match="damaged or no ZIP file"):
        extract(content[: int(share * len(content))])


@pytest.mark.parametrize("content", [b"<html>please sign in</html>", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_or_an_empty_one_is_refused(extract, content):
    with pytest.raises(ArchiveError):
        extract(content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_data_are_one_sentence_for_every_kind_of_compression(extract, make_zip, wav, compression):
    content = bytearray(make_zip({"fan/a.wav": wav}, compression))
    content[60:200] = bytes(140)
    with pytest.raises(ArchiveError, match=r"dev_fan\.zip: the archive is damaged"):
        extract(bytes(content))


def test_a_kind_of_compression_that_python_does_not_know(extract, make_zip, wav):
    content = bytearray(make_zip({"fan/a.wav": wav}))
    for at in (8, content.index(b"PK\x01\x02") + 10):
        content[at : at + 2] = struct.pack("<H", 9)
    with pytest.raises(ArchiveError, match="a kind of ZIP archive that cannot be read"):
        extract(bytes(content))


def test_no_damage_is_a_traceback(extract, make_zip, tmp_path):
    """Any single byte of headers may be wrong: the archive is refused or what comes out is what went in."""
    whole = make_zip({"fan/a.wav": b"one", "fan/b.wav": b"two"}, zipfile.ZIP_STORED)
    survived = 0
    for at in range(len(whole)):
        shutil.rmtree(tmp_path / "inside", ignore_errors=True)
        content = bytearray(whole)
        content[at] ^= 0xFF
        try:
            target, files = extract(bytes(content))
        except UserError:
            continue
        assert {(target / name).read_bytes() for name in files} <= {b"one", b"two"}
        survived += 1
    assert 0 < survived < len(whole)  # dates and the like are not checked


def test_the_archive_of_another_machine_is_refused(tmp_path, make_zip, wav):
    path = tmp_path / "dev_fan.zip"
    path.write_bytes(make_zip({"valve/train/a.wav": wav}))
    with pytest.raises(ArchiveError, match=r"holds 'valve/train/a\.wav', expected recordings of fan"):
        Extraction(path, "fan", {"valve", "bearing"})


def test_an_archive_without_recordings_is_refused(extract, make_zip):
    with pytest.raises(ArchiveError, match="holds no recordings"):
        extract(make_zip({"fan/readme.txt": b"x"}))
