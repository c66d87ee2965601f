"""What `asdbench simulate` does: recordings of simulated machines in a folder, made by one process a CPU.

The one command that belongs to one dataset, and so the one place of the framework that knows a plugin.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from asdbench.datasets.simulated.dataset import SimulatedDataset, refuse_to_write, write_dataset
from asdbench.execute.local import cpu_count
from asdbench.progress import Progress
from asdbench.settings_text import build_plugin
from asdbench.store import disk_errors

_SECONDS_BETWEEN_LOOKS = 0.5
_written: Any = None  # in a worker: the counter that it shares with the process that started it


def simulate_folder(folder: Path, machines: list[str] | None, assignments: Iterable[str]) -> int:
    """Write simulated recordings of machine types to ``folder/<machine>``, in DCASE layout.

    Args:
        folder: made where it is absent.
        machines: names of machine types; None for all.
        assignments: settings of the simulated dataset, as ``NAME=VALUE``.

    Returns:
        The number of clips written.

    Raises:
        UserError: a machine or setting is unknown, or a machine's folder is not empty; nothing is written then.
    """
    dataset = build_plugin(SimulatedDataset, assignments)
    machines = dataset.machines() if machines is None else list(dict.fromkeys(machines))
    refuse_to_write(folder, machines, dataset)
    total = len(machines) * sum(1 for _ in dataset.indices())
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    workers = min(cpu_count(), len(machines))
    with (
        disk_errors(folder),
        Progress().steps(str(folder), total, "clip") as steps,
        ProcessPoolExecutor(workers, context, initializer=_share, initargs=(counter,)) as pool,
    ):
        tasks = [pool.submit(_write_one, folder, machine, dataset.settings()) for machine in machines]
        done = 0
        while True:
            pending = wait(tasks, timeout=_SECONDS_BETWEEN_LOOKS).not_done
            steps.advance(counter.value - done)
            done = counter.value
            if not pending:
                break
        for task in tasks:
            task.result()
    return total


def _share(counter: Any) -> None:
    global _written
    _written = counter


def _write_one(folder: Path, machine: str, settings: dict[str, Any]) -> None:
    def count(clips: int) -> None:
        with _written.get_lock():
            _written.value += clips

    write_dataset(folder, [machine], SimulatedDataset(**settings), count)
