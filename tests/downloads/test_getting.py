"""Getting data: checksums first, one archive after the other, whole or not at all, and the next call goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from asdbench import UserError
from asdbench.downloads import getting, planning, unzip
from asdbench.downloads.catalogue import collection
from asdbench.downloads.getting import carry_out
from asdbench.downloads.http import Patience
from asdbench.downloads.manifest import read_manifest
from asdbench.downloads.planning import plan_getting
from asdbench.folders import locked
from asdbench.progress import Progress

YEAR = collection("dcase2022")
RECORD = 6355122
KNOWN = "9348591e96fb0ad499a1e33b082562fc"
"""Checksum of the data of the fan of 2023."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "dcase2022"


@pytest.fixture
def get(server, folder):
    """Get machines from the server, or from another source; return what was planned."""

    def run(*machines, source=None, parts=None, name=YEAR, **options):
        archives = name.choose(machines, parts)
        source = source or server.records
        plan = plan_getting(name, folder, archives, source=str(source), patience=Patience(3), say=print, **options)
        carry_out(plan, Progress(quiet=True), Patience(3))
        return plan

    return run


@pytest.fixture
def record(server, dev_zip):
    """The development data of two machines, on a server like Zenodo."""
    files = {"dev_fan.zip": dev_zip("fan"), "dev_valve.zip": dev_zip("valve")}
    server.add_record(RECORD, files)
    return files


def content_path(name):
    return f"/api/records/{RECORD}/files/{name}/content"


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content, but the lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def spoil(content: bytes) -> bytes:
    return content[:-30] + bytes([content[-30] ^ 1]) + content[-29:]


def test_machines_arrive_and_the_manifest_says_what_they_are(get, folder, record, wav):
    get("fan", "valve")
    assert (folder / "fan/train/section_00_source_train_normal_0000_vel_0.wav").read_bytes() == wav
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["archives"]["dev_fan.zip"]
    assert entry["record"] == RECORD
    assert entry["size"] == len(record["dev_fan.zip"])
    assert entry["md5"] == hashlib.md5(record["dev_fan.zip"]).hexdigest()
    assert entry["licence"] == "cc-by-4.0"
    assert entry["source"].endswith("/files/dev_fan.zip/content")
    assert len(entry["date"]) == 10
    assert entry["count"] == len(entry["files"]) == 13
    assert entry["bytes"] == sum(file["size"] for file in entry["files"].values())
    assert sorted(path.name for path in folder.iterdir()) == [".download", "fan", "manifest.json", "valve"]
    assert [path.name for path in (folder / ".download").iterdir()] == ["lock"]


def test_what_is_there_is_not_fetched_again_and_nobody_is_asked(get, folder, record, server):
    get("fan")
    server.log.clear()
    plan = get("fan")
    assert plan.offers == ()
    assert plan.text() == "dcase2022: dev_fan.zip is there"
    assert server.log == []
    get("fan", "valve")
    assert server.requests(content_path("dev_fan.zip")) == []


def test_the_plan_shows_sizes_checksums_licence_and_room_before_anything(server, folder, record):
    plan = plan_getting(YEAR, folder, YEAR.choose(["fan", "valve"], None), source=server.records, say=print)
    size = sum(map(len, record.values()))
    text = plan.text()
    assert plan.transfer == size
    assert hashlib.md5(record["dev_fan.zip"]).hexdigest() in text
    assert f"licence: cc-by-4.0 (zenodo.org/records/{RECORD})" in text
    assert f"{size / 1000:.1f} kB to download" in text
    assert not folder.exists()
    assert [line[:2] for line in server.log] == [("GET", f"/api/records/{RECORD}")]


def test_parts_stand_beside_each_other_and_the_reader_takes_them_together(get, folder, server, dev_zip, make_zip, wav):
    from asdbench.datasets.dcase.dataset import DcaseDataset

    server.add_record(RECORD, {"dev_fan.zip": dev_zip("fan")})
    train = {f"fan/train/section_03_source_train_normal_{index:04d}_vel_1.wav": wav for index in range(2)}
    server.add_record(6462969, {"eval_data_fan_train.zip": make_zip(train)})
    test = {f"fan/test/section_03_{index:04d}.wav": wav for index in range(3)}
    server.add_record(6586456, {"eval_data_fan_test.zip": make_zip(test)})
    get("fan", parts=["dev", "eval_train", "eval_test"])
    dataset = DcaseDataset(root=str(folder), year=2022)
    assert dataset.machines() == ["fan"]
    clips = dataset.clips("fan", folder)
    assert clips.groupby(["section", "split"]).size().to_dict() == {
        ("00", "train"): 4,
        ("00", "test"): 8,
        ("03", "train"): 2,
        ("03", "test"): 3,
    }


def test_mimii_is_read_by_its_spec_line(get, folder, server, make_zip, wav):
    import yaml

    from asdbench import plugins

    members = {
        f"fan/id_0{k}/{kind}/{i:08d}.wav": wav for k in (0, 2) for kind in ("normal", "abnormal") for i in (0, 1)
    }
    server.add_record(3384388, {"-6_dB_fan.zip": make_zip(members), "6_dB_fan.zip": make_zip(members)}, "cc-by-sa-4.0")
    mimii = collection("mimii")
    get("fan", name=mimii, parts=["6_dB", "-6_dB"])
    assert (folder / "-6_dB/fan/id_00/normal/00000000.wav").exists()
    for line in mimii.spec_lines(str(folder), ["6_dB", "-6_dB"]):
        entry = yaml.safe_load(line)["dataset"]
        dataset = plugins.datasets.get(entry.pop("use"))(**entry)
        assert dataset.machines() == ["fan"]
        assert sorted(set(dataset.clips("fan", folder)["section"])) == ["00", "02"]


# Checksums


def test_a_wrong_checksum_stops_before_anything_is_extracted(get, folder, record, server):
    get("valve")
    before = tree(folder)
    server.files[content_path("dev_fan.zip")] = spoil(record["dev_fan.zip"])
    found, expected = (
        hashlib.md5(content).hexdigest() for content in (spoil(record["dev_fan.zip"]), record["dev_fan.zip"])
    )
    with pytest.raises(UserError, match=rf"dev_fan\.zip/content: the file has the md5 {found}, expected {expected}"):
        get("fan")
    assert tree(folder) == before
    server.files[content_path("dev_fan.zip")] = record["dev_fan.zip"]
    get("fan")
    assert (folder / "fan").exists()


def test_a_known_checksum_stands_against_the_record(get, folder, server, dev_zip):
    server.add_record(7882613, {"dev_fan.zip": dev_zip("fan")})
    stated = hashlib.md5(dev_zip("fan")).hexdigest()
    with pytest.raises(UserError, match=f"states the md5 {stated}, expected {KNOWN} .known for"):
        get("fan", name=collection("dcase2023"))
    assert not folder.exists()


def test_a_known_checksum_stands_against_a_folder(get, folder, tmp_path, dev_zip):
    (tmp_path / "dev_fan.zip").write_bytes(dev_zip("fan"))
    with pytest.raises(UserError, match=rf"dev_fan\.zip: the file has the md5 .* expected {KNOWN}"):
        get("fan", name=collection("dcase2023"), source=tmp_path)
    assert not (folder / "fan").exists()
    assert (tmp_path / "dev_fan.zip").exists(), "archives of others are not touched"


def test_the_first_download_locks_the_checksum(get, folder, record, server, tmp_path, dev_zip):
    """An archive that is another one later is refused, whoever serves it."""
    get("fan")
    locked = hashlib.md5(record["dev_fan.zip"]).hexdigest()
    shutil.move(folder / "fan", tmp_path / "aside")
    before = tree(folder)
    server.add_record(RECORD, {"dev_fan.zip": dev_zip("fan", b"new")})
    with pytest.raises(
        UserError, match=rf"dev_fan\.zip: the source states the md5 .* expected {locked} \(of the first dow"
    ):
        get("fan")
    (tmp_path / "dev_fan.zip").write_bytes(dev_zip("fan", b"new"))
    with pytest.raises(UserError, match=rf"the file has the md5 .* expected {locked}"):
        get("fan", source=tmp_path)
    assert tree(folder) == before
    (tmp_path / "dev_fan.zip").write_bytes(record["dev_fan.zip"])
    get("fan", source=tmp_path)
    assert tree(folder / "fan") == tree(tmp_path / "aside")
    assert read_manifest(folder, "dcase2022").archives["dev_fan.zip"].licence == "cc-by-4.0", "the licence is kept"


def test_a_mirror_that_says_no_checksum_locks_the_one_found(get, folder, server, dev_zip):
    server.files["/dev_fan.zip"] = dev_zip("fan")
    plan = get("fan", source=server.url)
    assert "no checksum known: locked by this download" in plan.text()
    assert "licence: not stated here (zenodo.org/records/6355122)" in plan.text()
    entry = read_manifest(folder, "dcase2022").archives["dev_fan.zip"]
    assert entry.md5 == hashlib.md5(dev_zip("fan")).hexdigest()


# Failures on the way


def test_a_transfer_that_breaks_off_keeps_what_came_and_the_next_call_goes_on(get, folder, record, server):
    path = content_path("dev_valve.zip")
    server.faults[path] = [("cut", 100), ("cut", 100), ("cut", 100)]
    with pytest.raises(
        UserError, match=r"dev_valve\.zip: the connection broke after 300 .* the same command continues"
    ):
        get("fan", "valve")
    assert (folder / "fan").exists(), "what came before it is there"
    assert not (folder / "valve").exists()
    plan = plan_getting(YEAR, folder, YEAR.choose(["fan", "valve"], None), source=server.records, say=print)
    assert plan.transfer == len(record["dev_valve.zip"]) - 300
    assert "300 B of it here" in plan.text()
    carry_out(plan, Progress(quiet=True))
    assert server.requests(path)[-1] == "bytes=300-"


@pytest.mark.parametrize("kind", ["bomb", "outside", "truncated"])
def test_an_archive_that_must_not_be_extracted_leaves_nothing(get, folder, server, dev_zip, make_zip, wav, kind):
    server.files["/dev_valve.zip"] = dev_zip("valve")
    get("valve", source=server.url)
    before = tree(folder)
    server.files["/dev_fan.zip"] = {
        "bomb": lambda: make_zip({"fan/a.wav": bytes(20_000_000)}),
        "outside": lambda: make_zip({"fan/a.wav": wav, "../../outside.wav": wav}),
        "truncated": lambda: dev_zip("fan")[:-100],
    }[kind]()
    with pytest.raises(UserError, match=r"dev_fan\.zip: "):
        get("fan", source=server.url)
    assert tree(folder) == before
    assert not (folder.parent / "outside.wav").exists()
    server.files["/dev_fan.zip"] = dev_zip("fan")
    get("fan", source=server.url)
    assert (folder / "fan").exists()


def test_an_archive_that_is_refused_but_is_the_right_one_is_not_fetched_again(get, folder, server, make_zip):
    server.add_record(RECORD, {"dev_fan.zip": make_zip({"fan/a.wav": bytes(20_000_000)})})
    for _ in range(2):
        with pytest.raises(UserError, match=r"\.download/dev_fan\.zip: the archive would become 20\.0 MB"):
            get("fan")
    assert set(tree(folder)) == {".download/dev_fan.zip"}
    assert server.requests(content_path("dev_fan.zip")) == [None]


def test_a_damaged_file_late_in_an_archive_leaves_nothing_half(get, folder, tmp_path, make_zip, wav):
    import zipfile

    content = bytearray(make_zip({f"fan/train/{index}.wav": wav for index in range(5)}, zipfile.ZIP_STORED))
    content[content.rindex(b"fan/train/4.wav", 0, content.index(b"PK\x01\x02")) + 100] ^= 1
    (tmp_path / "dev_fan.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"Bad CRC-32 for file 'fan/train/4\.wav'"):
        get("fan", source=tmp_path)
    assert tree(folder) == {}


def test_a_disk_that_fills_up_while_extracting_leaves_nothing_half_and_keeps_the_archive(
    get, folder, record, server, monkeypatch
):
    original, hashed = unzip.hashlib.blake2b, [0]

    def blake2b(**options):
        hashed[0] += 1
        if hashed[0] == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(**options)

    monkeypatch.setattr(unzip.hashlib, "blake2b", blake2b)
    with pytest.raises(UserError, match=r"cannot write to .*: the disk is full"):
        get("fan")
    assert set(tree(folder)) == {".download/dev_fan.zip"}
    monkeypatch.setattr(unzip.hashlib, "blake2b", original)
    server.log.clear()
    get("fan")
    assert server.requests(content_path("dev_fan.zip")) == [], "the archive that was there is used"
    assert set(tree(folder)) == {f"fan/{name}" for name in tree(folder / "fan")} | {"manifest.json"}


@pytest.mark.parametrize("where", ["extract", "manifest", "rename"])
def test_an_interruption_at_any_place_leaves_nothing_half(get, folder, record, monkeypatch, where):
    get("valve")
    before = tree(folder)

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    if where == "extract":
        monkeypatch.setattr(unzip.Extraction, "extract_to", interrupt)
    else:
        monkeypatch.setattr(getting, "write_manifest", interrupt) if where == "manifest" else monkeypatch.setattr(
            getting.os, "rename", interrupt
        )
    with pytest.raises(KeyboardInterrupt):
        get("fan")
    monkeypatch.undo()
    assert not (folder / "fan").exists()
    left = tree(folder)
    assert left.pop(".download/dev_fan.zip") == record["dev_fan.zip"]
    assert {**left, "manifest.json": before["manifest.json"]} == before
    get("fan", source=None)
    assert (folder / "fan").exists()


def test_what_a_killed_process_left_is_removed(get, folder, record):
    half = folder / ".download" / "writing-0123456789abcdef" / "content"
    half.mkdir(parents=True)
    (half / "a.wav").write_bytes(b"half")
    get("fan")
    assert [path.name for path in (folder / ".download").iterdir()] == ["lock"]


# Room


def room(free):
    return lambda path: namedtuple("Usage", "total used free")(free, 0, free)


def test_a_disk_without_room_is_refused_before_anything_is_fetched(get, folder, record, server, monkeypatch):
    size = len(record["dev_fan.zip"])
    monkeypatch.setattr(planning.shutil, "disk_usage", room(int(2.4 * size)))
    with pytest.raises(
        UserError, match=r"the disk has .* kB free, but about .* kB are needed for dev_fan\.zip and what"
    ):
        get("fan")
    assert not folder.exists()
    monkeypatch.setattr(planning.shutil, "disk_usage", room(10 * size))
    get("fan")


def test_room_is_counted_at_its_highest(server, folder, record):
    """Each archive goes before the next one comes; kept ones stay."""
    sizes = [len(record["dev_fan.zip"]), len(record["dev_valve.zip"])]
    archives = YEAR.choose(["fan", "valve"], None)
    plan = plan_getting(YEAR, folder, archives, source=server.records, say=print)
    assert plan.room == pytest.approx(1.5 * sizes[0] + 2.5 * sizes[1], abs=2)
    kept = plan_getting(YEAR, folder, archives, source=server.records, keep=True, say=print)
    assert kept.room == pytest.approx(2.5 * sum(sizes), abs=2)


def test_the_room_for_files_is_checked_again_once_their_size_is_known(get, folder, server, make_zip, monkeypatch):
    """Silence takes up much more than its archive."""
    server.add_record(RECORD, {"dev_fan.zip": make_zip({"fan/a.wav": bytes(1_000_000)})})
    monkeypatch.setattr(planning.shutil, "disk_usage", room(500_000))
    with pytest.raises(UserError, match=r"500\.0 kB free, but dev_fan\.zip becomes 1\.0 MB"):
        get("fan")
    monkeypatch.undo()
    server.log.clear()
    get("fan")
    assert server.requests(content_path("dev_fan.zip")) == []


# What stands there already


def test_data_from_elsewhere_are_left_alone(get, folder, record):
    (folder / "fan" / "train").mkdir(parents=True)
    (folder / "fan" / "train" / "mine.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"fan is there but not in .*manifest\.json, so it came from elsewhere"):
        get("valve", "fan")
    assert tree(folder) == {"fan/train/mine.wav": b"mine"}


def test_data_that_lack_files_are_left_alone(get, folder, record):
    get("fan")
    (folder / "fan" / "attributes_00.csv").unlink()
    with pytest.raises(UserError, match=r"1 missing \(attributes_00\.csv\); move it away to get it anew"):
        get("fan")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a manifest of downloads"),
        ("{}", "not a manifest of downloads .name: Field required"),
        ('{"name": "mimii"}', "the manifest is of 'mimii', expected 'dcase2022'"),
        ('{"name": "dcase2022", "format": 2}', "has format 2, expected 1; a newer asdbench wrote it"),
        ('{"name": "dcase2022", "archives": {"dev_fan.zip": {}}}', r"archives\.dev_fan\.zip\.part: Field required"),
    ],
)
def test_a_damaged_manifest_is_named(get, folder, record, text, words):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=rf"manifest\.json: .*{words}"):
        get("fan")


# Archives


def test_archives_are_kept_when_asked_for_and_used_again(get, folder, record, server):
    get("fan", keep=True)
    assert (folder / "archives" / "dev_fan.zip").read_bytes() == record["dev_fan.zip"]
    shutil.rmtree(folder / "fan")
    server.log.clear()
    plan = get("fan", keep=True)
    assert plan.transfer == 0
    assert server.requests(content_path("dev_fan.zip")) == []
    assert (folder / "archives" / "dev_fan.zip").exists()


def test_archives_of_a_folder_are_read_where_they_lie(get, folder, tmp_path, dev_zip):
    (tmp_path / "dev_fan.zip").write_bytes(dev_zip("fan"))
    plan = get("fan", source=tmp_path)
    assert plan.transfer == 0
    assert (tmp_path / "dev_fan.zip").exists()
    assert not (folder / "archives").exists()


# Several at once


def test_two_at_once_fetch_each_archive_once(get, folder, record, server):
    failures = []

    def run():
        try:
            get("fan", "valve")
        except BaseException as error:  # for the main thread
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name in record:
        assert server.requests(content_path(name)) == [None]
    assert set(read_manifest(folder, "dcase2022").archives) == set(record)


def test_who_waits_says_so(folder, record, server):
    work = folder / ".download"
    work.mkdir(parents=True)
    plan = plan_getting(YEAR, folder, YEAR.choose(["fan"], None), source=server.records, say=print)
    said = threading.Event()

    class Listening(Progress):
        def say(self, text):
            if "waiting for another download to it" in text:
                said.set()

    with locked(work / "lock"):
        thread = threading.Thread(target=carry_out, args=(plan, Listening(quiet=True)))
        thread.start()
        assert said.wait(30)
        assert not (folder / "fan").exists()
    thread.join()
    assert (folder / "fan").exists()
