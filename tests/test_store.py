"""Artefacts: whole or not there, by any number of processes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from asdbench import audio
from asdbench.store import Store, StoreError, key_of


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    return store


def publish(store, key="00aa", text="content"):
    with store.publish(key, {"stage": "test"}) as folder:
        (folder / "file.txt").write_text(text)


def test_what_is_published_is_there_with_its_description(store):
    assert not store.has("00aa")
    publish(store)
    assert store.has("00aa")
    assert (store.path("00aa") / "file.txt").read_text() == "content"
    assert json.loads((store.path("00aa") / "artefact.json").read_text())["stage"] == "test"


def test_nothing_is_left_when_the_work_fails(store):
    def fail():
        with store.publish("00aa", {}) as folder:
            (folder / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not store.has("00aa")
    assert not store.path("00aa").exists()
    assert list((store.root / "tmp").iterdir()) == []


def test_the_first_of_two_stays(store):
    with store.publish("00aa", {}) as slow:
        (slow / "file.txt").write_text("slow")
        publish(store, text="fast")
    assert (store.path("00aa") / "file.txt").read_text() == "fast"
    assert list((store.root / "tmp").iterdir()) == []


def test_many_threads_publish_the_same_key(store):
    threads = [threading.Thread(target=publish, args=(store, "00aa", f"text {n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.has("00aa")
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest", "null"])
def test_a_damaged_artefact_is_noticed_and_made_again(store, damage):
    publish(store)
    folder = store.path("00aa")
    if damage == "truncate":
        (folder / "file.txt").write_text("con")
    elif damage == "remove":
        (folder / "file.txt").unlink()
    else:
        (folder / "artefact.json").write_text({"manifest": "{", "null": "null"}[damage])
    assert not store.has("00aa")
    publish(store)
    assert store.has("00aa")


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(store):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from asdbench.store import Store\n"
        "with Store(Path(sys.argv[1])).publish('00bb', {}) as folder:\n"
        "    (folder / 'half').write_text('x')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "writing\n"
    assert len(list((store.root / "tmp").iterdir())) == 2
    writers[0].kill()
    writers[0].wait()
    store.prepare()
    assert len(list((store.root / "tmp").iterdir())) == 1
    writers[1].kill()
    writers[1].wait()
    store.clean()
    assert list((store.root / "tmp").iterdir()) == []


def test_keys_depend_on_every_value():
    keys = {key_of(a=1, b=2), key_of(a=1, b=3), key_of(a=1), key_of(a="1", b=2), key_of(b=1, a=2)}
    assert len(keys) == 5
    assert key_of(a=1, b=2) == key_of(b=2, a=1)


def test_a_store_in_a_file_or_a_forbidden_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to .*file/store: a part of the path is a file"):
        Store(tmp_path / "file" / "store").prepare()
    if Path("/proc").is_dir():  # a place where not even root can make a folder
        with pytest.raises(StoreError, match="cannot write to /proc"):
            Store(Path("/proc/asdbench")).prepare()


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_a_disk_that_refuses_is_named_and_nothing_is_published(store, monkeypatch, code, words):
    def refuse(source, target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StoreError, match=words):
        publish(store)
    monkeypatch.undo()
    assert not store.has("00aa")
    assert list((store.root / "tmp").iterdir()) == []


def test_other_errors_of_a_plugin_stay_what_they_are(store, tmp_path):
    with pytest.raises(FileNotFoundError), store.publish("00aa", {}):
        (tmp_path / "none").read_text()


def test_a_disk_that_fills_up_while_a_plugin_writes_is_named(store):
    with pytest.raises(StoreError, match="the disk is full"), store.publish("00aa", {}):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_only_changed_files_are_decoded_again(store, tmp_path, monkeypatch):
    paths = []
    for index in range(3):
        paths.append(str(tmp_path / f"{index}.wav"))
        audio.write(paths[-1], np.random.default_rng(index).standard_normal(4000) * 0.1, 16000)
    first = store.inspect_files(paths)
    assert [info.num_samples for info in first] == [4000] * 3
    decoded = []
    inspect = audio.inspect
    monkeypatch.setattr(audio, "inspect", lambda path: decoded.append(path) or inspect(path))
    assert store.inspect_files(paths) == first
    assert decoded == []
    audio.write(paths[1], np.random.default_rng(9).standard_normal(4000) * 0.1, 16000)
    second = store.inspect_files(paths)
    assert decoded == [paths[1]]
    assert second[0] == first[0]
    assert second[1].content_hash != first[1].content_hash


def test_a_broken_index_is_named(store):
    (store.root / "audio-index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"audio-index\.sqlite cannot be used"):
        store.inspect_files([])
