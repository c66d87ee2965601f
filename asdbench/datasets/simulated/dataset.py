"""The dataset `simulated`: clips of simulated machines, written as DCASE Task 2 writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asdbench import Dataset, UserError, dataset, setting
from asdbench.datasets.writing import write_attributes, write_table
from asdbench.errors import did_you_mean
from asdbench.folders import remove_abandoned, temporary_folder

if TYPE_CHECKING:
    import pandas as pd

    from asdbench.datasets.simulated.clip import Index, SimulatedClip

SECTION = "00"
DECIMALS = 4
"""Of the severities in the table of faults."""


@dataset("simulated")
class SimulatedDataset(Dataset):
    """Physically modelled fan, gearbox, bearing, slide rail and valve; needs no download.

    Normal and anomalous clips of a source and a target domain, in the layout, names and format (mono PCM16) of DCASE
    Task 2 from 2022 on. What is wrong with an anomalous machine stands in ``faults_00.csv`` and in the provenance of
    the clip, never in a file name. A clip is a function of data seed, machine type and its place in the layout: asking
    for more clips, fewer machines or another order changes no clip.
    """

    makes_audio: ClassVar[bool] = True

    data_seed: int = setting(0, ge=0, description="seed of all clips; another seed gives another data set")
    train_source: int = setting(990, ge=0, le=10000, description="normal training clips of the source domain")
    train_target: int = setting(10, ge=0, le=10000, description="normal training clips of the target domain")
    test_normal: int = setting(50, ge=0, le=10000, description="normal test clips of each domain")
    test_anomaly: int = setting(50, ge=0, le=10000, description="anomalous test clips of each domain")
    duration: float = setting(10.0, ge=1.0, le=60.0, description="length of a clip in seconds")
    severity: float = setting(1.0, ge=0.0, description="scale of the faults; at 0 'anomalies' are as normals are")
    snr_db: float | None = setting(None, description="machine over background in dB; default: by machine type")
    faults: dict[str, list[str]] | None = setting(
        None, description="mechanisms to use, by machine type: {fan: [unbalance]}; others use all they have"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate < 4000:
            raise UserError(f"sample_rate: machines are simulated at 4000 Hz or more, got {self.sample_rate}")
        if self.faults:
            from asdbench.datasets.simulated.clip import Index, draw_fault

            for machine, mechanisms in self.faults.items():
                draw_fault(machine, Index(), mechanisms=mechanisms)  # refuses what it does not know

    def machines(self) -> list[str]:
        """Names of the machine types, sorted."""
        from asdbench.datasets.simulated.machine import machine_names

        return machine_names()

    def clips(self, machine: str, folder: Path) -> pd.DataFrame:
        """Write the clips of one machine type to ``folder/machine/{train,test}`` and list them.

        Beside them stand ``attributes_00.csv``, as in the real data, and ``faults_00.csv``: what is wrong in each
        anomalous clip.

        Returns:
            One row a clip with the columns `asdbench.clips.LABELS` and "provenance": data seed, SNR, fault, severity.

        Raises:
            UserError: there is no such machine.
        """
        return self._write(machine, folder, None)

    def indices(self) -> Iterator[Index]:
        """Places of the clips of one machine type in the layout, in the order in which they are written."""
        from asdbench.datasets.simulated.clip import Index

        groups = [
            ("source", "train", "normal", self.train_source),
            ("target", "train", "normal", self.train_target),
        ]
        for domain in ("source", "target"):
            groups.append((domain, "test", "normal", self.test_normal))
            groups.append((domain, "test", "anomaly", self.test_anomaly))
        for domain, split, condition, count in groups:
            for number in range(count):
                yield Index(domain, split, condition, number)

    def simulate(self, machine: str, index: Index) -> SimulatedClip:
        """Simulate one clip of this data set."""
        from asdbench.datasets.simulated.clip import Fault, draw_fault, simulate

        fault = Fault()
        if index.condition == "anomaly":
            mechanisms = (self.faults or {}).get(machine)
            drawn = draw_fault(machine, index, data_seed=self.data_seed, mechanisms=mechanisms)
            fault = Fault(drawn.mechanism, drawn.severity * self.severity)
        return simulate(
            machine,
            index,
            fault,
            data_seed=self.data_seed,
            duration=self.duration,
            sample_rate=self.sample_rate,
            snr_db=self.snr_db,
        )

    def _write(self, machine: str, folder: Path, progress: Callable[[int], None] | None) -> pd.DataFrame:
        import pandas as pd

        from asdbench import audio
        from asdbench.datasets.simulated.machine import get_machine

        get_machine(machine)
        for split in ("train", "test"):
            (folder / machine / split).mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        for index in self.indices():
            clip = self.simulate(machine, index)
            clip_id = f"{machine}/{index.split}/{file_name(index, clip.attributes)}"
            path = folder / clip_id
            audio.write(path, clip.waveform, self.sample_rate)
            rows.append(
                {
                    "clip_id": clip_id,
                    "path": str(path),
                    "machine": machine,
                    "section": SECTION,
                    "domain": index.domain,
                    "split": index.split,
                    "condition": index.condition,
                    "attributes": clip.attributes,
                    "provenance": {
                        "data_seed": self.data_seed,
                        "snr_db": clip.snr_db,
                        "fault": clip.fault.mechanism,
                        "severity": round(clip.fault.severity, DECIMALS),
                    },
                }
            )
            if progress is not None:
                progress(1)
        _write_tables(rows, folder / machine)
        return pd.DataFrame(rows)


def file_name(index: Index, attributes: dict[str, str]) -> str:
    """Return a file name as DCASE Task 2 writes it: ``section_00_source_test_anomaly_0003_vel_9_loc_A.wav``."""
    values = "".join(f"_{name}_{value}" for name, value in attributes.items())
    return f"section_{SECTION}_{index.domain}_{index.split}_{index.condition}_{index.number:04d}{values}.wav"


def write_dataset(
    root: Path,
    machines: list[str] | None,
    dataset: SimulatedDataset,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write machine types to ``root/machine/{train,test}``; a machine appears when it is complete, or not at all.

    Args:
        root: made where it is absent.
        machines: names of machine types; None for all.
        dataset: what to write.
        progress: called with the number of clips written since the last call.

    Raises:
        UserError: a machine is unknown, or its folder exists and is not empty; nothing is written then.
    """
    machines = dataset.machines() if machines is None else list(dict.fromkeys(machines))
    refuse_to_write(root, machines, dataset)
    root.mkdir(parents=True, exist_ok=True)
    remove_abandoned(root)
    for machine in machines:
        with temporary_folder(root) as part:
            dataset._write(machine, part, progress)
            (part / machine).replace(root / machine)  # an empty folder of that name is replaced too


def refuse_to_write(root: Path, machines: Iterable[str], dataset: SimulatedDataset) -> None:
    """Do nothing where `write_dataset` could write these machine types.

    Raises:
        UserError: a machine is unknown, or its folder exists and is not empty.
    """
    known = dataset.machines()
    for machine in machines:
        if machine not in known:
            raise UserError(f"there is no simulated machine '{machine}'{did_you_mean(machine, known)}")
        goal = root / machine
        if os.path.lexists(goal) and (not goal.is_dir() or any(goal.iterdir())):
            raise UserError(f"{goal}: expected no folder or an empty one, but it holds files; choose another place")


def _write_tables(rows: list[dict[str, Any]], folder: Path) -> None:
    write_attributes(folder, SECTION, rows)
    faulty = [row for row in rows if row["condition"] == "anomaly"]
    write_table(
        folder / f"faults_{SECTION}.csv",
        ["file_name", "fault", "severity"],
        ([row["clip_id"], row["provenance"]["fault"], row["provenance"]["severity"]] for row in faulty),
    )
