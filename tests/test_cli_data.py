"""`asdbench data` as a user meets it: a mirror in a folder, a server like Zenodo, a terminal, a benchmark."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from asdbench.cli import main

FAN = "dev_fan.zip"
QUESTION = b"Download? [y/N]"
INTERRUPT = b"\x03"
"""What Ctrl-C types."""


@pytest.fixture
def mirror(tmp_path, write_machine):
    """A folder with the development data of two machines, as the organisers pack them."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for machine in ("fan", "valve"):
        write_machine(tmp_path / "raw", machine)
        with zipfile.ZipFile(folder / f"dev_{machine}.zip", "w") as archive:
            for path in sorted((tmp_path / "raw" / machine).rglob("*.wav")):
                archive.write(path, path.relative_to(tmp_path / "raw"))
    return folder


@pytest.fixture
def zenodo(mirror):
    """The same on a server that answers like Zenodo: record 6355122; requests are noted."""
    record, log = 6355122, []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            log.append(self.path)

        def do_GET(self):
            base = f"/api/records/{record}"
            if self.path == base:
                files = [
                    {
                        "key": path.name,
                        "size": path.stat().st_size,
                        "checksum": f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}",
                        "links": {"self": f"{server.url}{base}/files/{path.name}/content"},
                    }
                    for path in sorted(mirror.iterdir())
                ]
                body = json.dumps({"id": record, "metadata": {"license": {"id": "cc-by-4.0"}}, "files": files}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                log.append(self.path)
                return
            self.path = "/" + self.path.removeprefix(f"{base}/files/").removesuffix("/content")
            super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(mirror)))
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.records, server.requests = f"{server.url}/api/records", log
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a command in this process, in `tmp_path`, without a terminal."""
    monkeypatch.chdir(tmp_path)
    return lambda *words, answer="": CliRunner().invoke(main, [str(word) for word in words], input=answer)


@pytest.fixture
def refused(command):
    """Run a command that must be refused; return its sentence."""

    def run(*words):
        done = command(*words)
        assert done.exit_code == 2, done.output
        errors = [line for line in done.stderr.splitlines() if line.startswith("asdbench: error: ")]
        assert len(errors) == 1, done.stderr
        return errors[0].removeprefix("asdbench: error: ")

    return run


def test_get_list_verify(command, mirror, tmp_path):
    done = command("data", "get", "dcase2022", "--machines", "fan,valve", "--from", mirror, "--yes")
    assert done.exit_code == 0, done.stderr
    assert "dev_fan.zip" in done.stderr
    assert "licence: not stated here (zenodo.org/records/6355122)" in done.stderr
    assert "free" in done.stderr
    assert done.stdout == (
        "data/dcase2022: fan, valve; a spec reads it with\n  dataset: {use: dcase, root: data/dcase2022, year: 2022}\n"
    )
    again = command("data", "get", "dcase2022", "--machines", "fan,valve", "--from", "nowhere")
    assert (again.exit_code, again.stdout, again.stderr) == (0, done.stdout, "")
    listed = command("data", "list").stdout.splitlines()
    assert [line.split()[:6] for line in listed if line.startswith("dcase2022  dev ")] == [
        ["dcase2022", "dev", "6355122", "2", "of", "7"]
    ]
    one = command("data", "list", "dcase2022").stdout
    assert [line.split()[3] for line in one.splitlines() if line.startswith("dev ")] == [
        "no",
        "yes",
        *["no"] * 4,
        "yes",
    ]
    assert one.endswith("dataset: {use: dcase, root: data/dcase2022, year: 2022}\n")

    sound = command("data", "verify")
    assert (sound.exit_code, sound.stdout) == (
        0,
        "data/dcase2022/fan: 20 files as downloaded\ndata/dcase2022/valve: 20 files as downloaded\n",
    )
    fan = tmp_path / "data/dcase2022/fan"
    clips = sorted(fan.rglob("*.wav"))
    clips[0].unlink()
    clips[1].write_bytes(clips[1].read_bytes()[:-1] + b"x")  # the same size
    (fan / "test" / "mine.wav").write_bytes(b"mine")
    (fan / ".DS_Store").write_bytes(b"")
    changed = command("data", "verify", "dcase2022")
    assert changed.exit_code == 1
    names = [clip.relative_to(fan).as_posix() for clip in clips]
    assert changed.stdout == (
        f"data/dcase2022/fan: 1 missing ({names[0]}), 1 changed ({names[1]}), 1 extra (test/mine.wav)\n"
        "data/dcase2022/valve: 20 files as downloaded\n"
    )
    assert "1 of 7 machines, 1 changed" in command("data", "list").stdout


def test_a_server_like_zenodo(command, zenodo, tmp_path):
    done = command("data", "get", "dcase2022", "--machines=fan", "--from", zenodo.records, "--yes")
    assert done.exit_code == 0, done.stderr
    assert "licence: cc-by-4.0" in done.stderr
    assert f"{FAN}: " in done.stderr
    assert "cc-by-4.0" in command("data", "list", "dcase2022").stdout
    assert (tmp_path / "data/dcase2022/fan/train").is_dir()
    assert not list((tmp_path / "data").rglob("*.zip"))


def test_nothing_is_downloaded_unasked(refused, zenodo, tmp_path):
    words = ("data", "get", "dcase2022", "--machines", "fan", "--from", zenodo.records)
    assert refused(*words) == ("there is no terminal to ask on whether to download this; add --yes")
    assert not (tmp_path / "data").exists()
    assert set(zenodo.requests) == {"/api/records/6355122"}


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 2), (b"\n", 2), (INTERRUPT, 130)])
def test_a_terminal_is_asked_after_sizes_and_licence_were_shown(zenodo, tmp_path, answer, code):
    command = ["data", "get", "dcase2022", "--machines", "fan", "--from", zenodo.records]
    got, text = in_terminal(command, tmp_path, answer)
    assert got == code, text
    before = text.partition("Download? [y/N]")[0]
    assert "licence: cc-by-4.0 (zenodo.org/records/6355122)" in before
    assert "to download" in before
    assert (tmp_path / "data/dcase2022/fan").exists() == (code == 0)
    assert "Traceback" not in text


def in_terminal(words, folder: Path, answer: bytes) -> tuple[int, str]:
    """Run the command line on a terminal of its own and answer its question; return exit code and what it showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "asdbench.cli", *map(str, words)])
    shown, deadline = b"", time.monotonic() + 120
    with contextlib.suppress(OSError):  # the end of a terminal
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 2)[0]:
                if answer == INTERRUPT and QUESTION in shown and b"interrupted" not in shown:
                    os.write(terminal, answer)  # one that comes just before the program reads is lost
                continue
            chunk = os.read(terminal, 4096)
            if QUESTION not in shown and QUESTION in shown + chunk and answer != INTERRUPT:
                os.write(terminal, answer)
            shown += chunk
        os.kill(child, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_mistakes_are_one_sentence(refused, mirror, tmp_path):
    assert "there is no data set 'dcase2o22'; did you mean 'dcase202" in refused("data", "get", "dcase2o22")
    assert "dcase2022 has no machine 'fam'; did you mean 'fan'?" in refused(
        "data", "get", "dcase2022", "--machines=fam"
    )
    assert "dcase2022 has no part 'dve'; did you mean 'dev'?" in refused("data", "get", "dcase2022", "--part", "dve")
    assert "--from nowhere: there is no such folder" in refused("data", "get", "dcase2022", "--from", "nowhere")
    assert "data holds nothing that was downloaded" in refused("data", "verify")
    assert "there is no data set 'x'" in refused("data", "verify", "x")
    assert "there is no such file, so nothing was downloaded" in refused("data", "verify", "dcase2022")
    assert "No such command 'gte'" in refused("data", "gte")
    (mirror / FAN).write_bytes(b"no archive")
    words = ("data", "get", "dcase2022", "--machines=fan", "--from", mirror, "--yes")
    assert "dev_fan.zip: the archive is damaged or no ZIP file" in refused(*words)
    (tmp_path / "blocked").write_text("a file")
    words = ("data", "get", "dcase2022", "--machines=valve", "--from", mirror, "--yes", "--root", "blocked/data")
    assert "cannot write to blocked/data/dcase2022: a part of the path is a file, not a folder" in refused(*words)


def test_a_killed_get_leaves_nothing_half_and_the_next_one_ends_it(command, mirror, tmp_path):
    """Killed at any time: no machine is there in part, and the same command brings all."""
    line = [sys.executable, "-m", "asdbench.cli", "data", "get", "dcase2022", "--machines=fan,valve", "--yes"]
    line += ["--from", str(mirror), "--quiet"]
    folder = tmp_path / "data" / "dcase2022"
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (folder / "manifest.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for machine in ("fan", "valve"):
        assert not (folder / machine).exists() or len(list((folder / machine).rglob("*.wav"))) == 20
    done = command(*line[3:])
    assert done.exit_code == 0, done.output
    assert len(list(folder.rglob("*.wav"))) == 40
    assert command("data", "verify").exit_code == 0


def test_two_processes_at_once_on_one_root(mirror, zenodo, tmp_path):
    line = [sys.executable, "-m", "asdbench.cli", "data", "get", "dcase2022", "--machines=fan,valve", "--yes"]
    line += ["--from", zenodo.records]
    both = [
        subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.startswith("data/dcase2022: fan, valve")
    assert len([path for path in zenodo.requests if FAN in path]) == 1


# Benchmarks that offer to download


@pytest.fixture
def benchmark(write_spec):
    """A benchmark on two machines of 2022 that are not there."""
    return write_spec(
        {
            "name": "small",
            "dataset": {"use": "dcase", "root": "data/dcase2022", "year": 2022, "download": True},
            "machines": ["fan", "valve"],
            "detectors": {"knn": {"use": "logmel_knn"}},
            "test_sets": {"original": {"anomaly": "real"}},
            "seeds": [0],
            "statistics": {"resamples": 100},
        }
    )


def test_a_run_without_a_terminal_says_what_to_call(refused, benchmark, zenodo, tmp_path, monkeypatch):
    monkeypatch.setenv("ASDBENCH_DATA_FROM", zenodo.records)
    sentence = refused("run", benchmark)
    assert "dataset.root: data/dcase2022 lacks fan, valve: there is no terminal to ask on" in sentence
    assert sentence.endswith("`asdbench data get dcase2022 --machines fan,valve` brings them")
    assert not (tmp_path / "data").exists()


def test_a_run_on_a_terminal_asks_downloads_and_goes_on(command, benchmark, zenodo, monkeypatch):
    monkeypatch.setenv("ASDBENCH_DATA_FROM", zenodo.records)
    monkeypatch.setattr("asdbench.downloads.asking._terminal", lambda: True)
    done = command("run", benchmark, "--workers", 0, answer="y\n")
    assert done.exit_code == 0, done.output
    assert done.stderr.index("licence: cc-by-4.0") < done.stderr.index("Download? [y/N]")
    assert "Results: " in done.stdout
    zenodo.requests.clear()
    assert command("run", benchmark, "--workers", 0).exit_code == 0
    assert zenodo.requests == []


def test_a_check_downloads_nothing_and_names_the_command(refused, benchmark, zenodo, monkeypatch):
    monkeypatch.setenv("ASDBENCH_DATA_FROM", zenodo.records)
    sentence = refused("validate", benchmark)
    assert zenodo.requests == []
    assert "data/dcase2022 does not exist; expected a folder with recordings, which `asdbench data get" in sentence
