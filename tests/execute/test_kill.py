"""A run that is killed goes on where it stopped; runs beside each other do not disturb each other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def spec(spec_data, write_spec):
    spec_data["seeds"] = [0, 1]
    spec_data["detectors"]["ae"] = {"use": "dcase_ae", "epochs": 10, "width": 16}
    return write_spec(spec_data)


def start(spec: Path, folder: Path, workers: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "asdbench.cli", "run", str(spec), "--workers", str(workers)]
    command += ["--runs", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tables(folder: Path) -> dict[str, bytes]:
    run = next(folder.glob("small/*"))
    tables = [path for path in run.iterdir() if path.suffix in (".csv", ".md", ".tex")]
    return {path.name: path.read_bytes() for path in tables if path.stem != "costs"} | {  # seconds are never the same
        "scores": (run / "scores.parquet").read_bytes()
    }


def artefacts(folder: Path) -> dict[str, int]:
    found = {}
    for path in (folder / ".store" / "artefacts").glob("*/*/artefact.json"):
        found[path.parent.name] = path.stat().st_mtime_ns
    return found


def test_ten_kills_at_random_moments_change_no_digit(spec, tmp_path):
    whole = start(spec, tmp_path / "whole")
    began = time.monotonic()
    assert whole.wait() == 0, whole.stderr.read()
    seconds = time.monotonic() - began
    moments = random.Random(0)
    killed, published = tmp_path / "killed", {}
    in_the_middle = 0
    for _ in range(10):
        process = start(spec, killed)
        time.sleep(moments.uniform(0.1, 0.7) * seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = artefacts(killed)
        # What was published before stays as it was: it is neither lost nor made again.
        assert {key: now.get(key) for key in published} == published
        in_the_middle += published != now
        published = now
    assert in_the_middle  # some kills fell between the first and the last artefact
    last = start(spec, killed)
    assert last.wait() == 0, last.stderr.read()
    now = artefacts(killed)
    assert {key: now[key] for key in published} == published
    assert set(now) == set(artefacts(tmp_path / "whole"))
    assert tables(killed) == tables(tmp_path / "whole")
    assert list((killed / ".store" / "tmp").iterdir()) == []


def test_workers_end_when_the_run_is_killed(spec, tmp_path):
    process = start(spec, tmp_path / "runs")
    workers: list[int] = []
    deadline = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("needs /proc to find worker processes")
        workers = [int(pid) for pid in children.read_text().split()]
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers

    def alive(pid: int) -> bool:
        try:
            return "asdbench.execute.worker" in Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return False

    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def test_an_interrupted_run_says_how_to_go_on(spec, tmp_path):
    process = start(spec, tmp_path / "runs")
    for line in process.stderr:
        if "units to run" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert "Traceback" not in errors


def test_two_runs_at_once_on_one_store_both_end_right(spec, tmp_path):
    alone = start(spec, tmp_path / "alone")
    assert alone.wait() == 0, alone.stderr.read()
    both = [start(spec, tmp_path / "both", workers=1) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert tables(tmp_path / "both") == tables(tmp_path / "alone")
    assert list((tmp_path / "both" / ".store" / "tmp").iterdir()) == []
