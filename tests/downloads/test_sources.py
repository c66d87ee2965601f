"""Sources: Zenodo's answers in their true form, servers and folders that hold archives, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json

import pytest

from asdbench import UserError
from asdbench.downloads.catalogue import collection
from asdbench.downloads.http import Patience
from asdbench.downloads.sources import source_of

RECORD = 6355122
FAN, VALVE = collection("dcase2022").choose(["fan", "valve"], None)
FILES = {"dev_fan.zip": b"content of fan", "dev_valve.zip": b"of valve", "README.md": b"read me"}


def offers(source, archives=(FAN,)):
    return source_of(str(source), Patience(3)).offers(archives, lambda text: None)


def test_a_record_says_sizes_checksums_addresses_and_the_licence(server):
    server.add_record(RECORD, FILES, "cc-by-nc-sa-4.0")
    fan, valve = offers(server.records, [FAN, VALVE])
    assert (fan.archive, valve.archive) == (FAN, VALVE)
    assert fan.size == 14
    assert fan.md5 == hashlib.md5(b"content of fan").hexdigest()
    assert fan.place == f"{server.records}/{RECORD}/files/dev_fan.zip/content"
    assert fan.licence == "cc-by-nc-sa-4.0"
    assert server.log == [("GET", f"/api/records/{RECORD}", None)], "a record is asked for once"


def test_a_licence_may_be_missing(server):
    server.add_record(RECORD, FILES, licence=None)
    assert offers(server.records)[0].licence == ""


def test_records_of_several_parts_are_asked_for_each(server):
    train, test = collection("dcase2022").choose(["fan"], ["eval_train", "eval_test"])
    server.add_record(train.record, {train.file: b"1"})
    server.add_record(test.record, {test.file: b"22"})
    assert [offer.size for offer in offers(server.records, [train, test])] == [1, 2]


def test_an_address_of_a_file_may_be_relative(server):
    server.add_record(RECORD, FILES, **{"dev_fan.zip": {"links": {"self": "/elsewhere/dev_fan.zip"}}})
    assert offers(server.records)[0].place == f"{server.url}/elsewhere/dev_fan.zip"


def test_a_file_that_the_record_lacks(server):
    server.add_record(RECORD, {"dev_fan_r2.zip": b"x"})
    with pytest.raises(
        UserError, match=f"{RECORD}: the record has no file 'dev_fan.zip'; did you mean 'dev_fan_r2.zip'"
    ):
        offers(server.records)


def test_a_record_that_there_is_not(server):
    with pytest.raises(UserError, match=rf"/api/records/{RECORD}: the server answers 404 \(Not Found\)"):
        offers(server.records)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": "14"}, "the size of 'dev_fan.zip' is '14', expected a number of bytes"),
        ({"size": -1}, "the size of 'dev_fan.zip' is -1"),
        ({"size": True}, "the size of 'dev_fan.zip' is True"),
        ({"checksum": "sha256:00"}, "the checksum of 'dev_fan.zip' is 'sha256:00', expected md5: and 32 hex digits"),
        ({"checksum": "md5:xyz"}, "expected md5: and 32 hex digits"),
        ({"links": {}}, "lacks size, checksum or links.self"),
        ({"links": None}, "lacks size, checksum or links.self"),
        ({"links": {"self": "file:///etc/passwd"}}, "not an address that can be fetched"),
    ],
)
def test_a_record_that_is_not_as_it_should_be(server, change, words):
    server.add_record(RECORD, FILES, **{"dev_fan.zip": change})
    with pytest.raises(UserError, match=words):
        offers(server.records)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>sign in</html>", "the answer is no JSON"),
        (b"[]", "no list 'files'"),
        (b'{"files": {}}', "no list 'files'"),
        (b"\xff\xfe", "the answer is no JSON"),
        (json.dumps({"files": [1, {"key": None}]}).encode(), "no file 'dev_fan.zip'"),
    ],
)
def test_an_answer_that_is_no_record(server, answer, words):
    server.files[f"/api/records/{RECORD}"] = answer
    with pytest.raises(UserError, match=words):
        offers(server.records)


def test_an_answer_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr("asdbench.downloads.sources._LARGEST_ANSWER", 100)
    server.add_record(RECORD, FILES)
    with pytest.raises(UserError, match="the answer is longer than 100 bytes"):
        offers(server.records)


def test_asking_for_a_record_is_tried_again(server, pauses):
    server.add_record(RECORD, FILES)
    server.faults[f"/api/records/{RECORD}"] = [503, ("cut", 10)]
    assert offers(server.records)[0].size == 14
    assert pauses == [1.0, 2.0]


def test_without_a_network_another_source_is_advised(server, pauses):
    server.close()
    with pytest.raises(
        UserError, match=r"cannot be reached .* given up after 3 tries; give another source with --from"
    ):
        offers(server.records)


def test_a_server_that_holds_the_archives(server):
    server.files["/mirror/dev_fan.zip"] = b"content"
    (offer,) = offers(f"{server.url}/mirror/")
    assert (offer.place, offer.size, offer.md5, offer.licence) == (f"{server.url}/mirror/dev_fan.zip", 7, "", "")
    assert server.log == [("HEAD", "/mirror/dev_fan.zip", None)]
    with pytest.raises(UserError, match=r"/mirror/dev_valve.zip: the server answers 404"):
        offers(f"{server.url}/mirror", [VALVE])


def test_a_server_that_does_not_say_how_long_files_are(server):
    server.files["/dev_fan.zip"] = b"content"
    server.always = ("unsaid", None)
    with pytest.raises(UserError, match=r"does not say how long the file is \(Content-Length: ''\)"):
        offers(server.url)


def test_a_folder_that_holds_the_archives(tmp_path):
    (tmp_path / "dev_fan.zip").write_bytes(b"content")
    (offer,) = offers(tmp_path)
    assert (offer.place, offer.size, offer.md5) == (tmp_path / "dev_fan.zip", 7, "")
    with pytest.raises(UserError, match=r"holds no file 'dev_valve\.zip'"):
        offers(tmp_path, [VALVE])


def test_a_folder_that_there_is_not():
    with pytest.raises(UserError, match="--from no/such: there is no such folder; expected a folder or an address"):
        source_of("no/such", Patience())


def test_an_address_of_another_kind():
    with pytest.raises(UserError, match="'ftp://host/x' is not an address that can be fetched"):
        source_of("ftp://host/x", Patience())
