"""DCASE Task 2, 2020 to 2026, and MIMII DG: trees and names of every year, found by pattern under one root."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asdbench import Dataset, UserError, dataset, setting
from asdbench.datasets.dcase.attributes import TABLE_NAME, merge_attributes, read_attributes
from asdbench.datasets.dcase.clips import (
    Clip,
    MachineClips,
    Row,
    check_year,
    label,
    refuse_mixed_years,
    refuse_repeated_names,
    without_anonymous_twins,
)
from asdbench.datasets.dcase.download import advice, fetch_missing
from asdbench.datasets.dcase.join import add_truth
from asdbench.datasets.dcase.names import EXPECTED_NAMES, parse_name, stem
from asdbench.datasets.dcase.tree import place, year_of
from asdbench.datasets.dcase.truth import Truth, read_truth, truth_files
from asdbench.datasets.listing import (
    ON_BAD_CLIP,
    Folder,
    OnBadClip,
    data_root,
    label_table,
    require_audio,
    require_machine,
    tell_of_unread,
    walk,
)

if TYPE_CHECKING:
    import pandas as pd


@dataset("dcase")
class DcaseDataset(Dataset):
    """DCASE Task 2 (2020 to 2026) and MIMII DG, in any of their trees and naming schemes.

    Machines are found by pattern wherever they stand under ``root``, which may also be the folder of one machine:
    ``<machine>/{train,test}``, ``dev_data/raw/<machine>/{train,test}``, ``<machine>/{train,source_test,target_test}``,
    folders named as the archives (``eval_data_fan_train_r2``). Development, additional training and evaluation data of
    a machine are taken together. Where clips were given their full names by the organisers' tool (``test_rename``),
    these stand for the anonymous ones.

    Attributes come from names and from the ``attributes_*.csv`` beside them; condition, domain and attributes of
    anonymous clips from ``ground_truth_*`` files, and stay "unknown" where there are none. The folder ``supplemental``
    (2025 on) is left out: it holds neither training nor test clips.
    """

    root: str = setting(min_length=1, description="folder under which the machines' folders stand, at any depth")
    year: int | None = setting(
        None, ge=2020, le=2026, description="take this year's data only, and check names and machine types against it"
    )
    truth: str | None = setting(
        None, description="folder with the truth of anonymous clips (ground_truth_*.csv); by default sought under root"
    )
    download: bool = setting(
        False, description="offer to download machines that root lacks, before a run (as `asdbench data get` does)"
    )

    on_bad_clip: OnBadClip = setting("error", description=ON_BAD_CLIP)

    def skips_bad_clips(self) -> bool:
        """Whether the setting ``on_bad_clip`` says so."""
        return self.on_bad_clip == "skip"

    def fetch(self, machines: Sequence[str] | None) -> None:
        """Download what the root lacks, with the setting ``download``; see `asdbench.Dataset.fetch`."""
        if self.download:
            fetch_missing(Path(self.root).expanduser(), self.year, machines)

    def machines(self) -> list[str]:
        """Machine types found under the root, sorted.

        Raises:
            UserError: the root is missing or holds no clip of DCASE Task 2, or contradicts ``year``.
        """
        return sorted(self._found)

    def clips(self, machine: str, folder: Path) -> pd.DataFrame:
        """List the clips of one machine type; see `asdbench.Dataset.clips`. Audio files are not opened.

        Raises:
            UserError: the machine is unknown; names, folders, attribute tables or truth files contradict each other.
        """
        require_machine(machine, self.machines(), self._root)
        found = self._found[machine]
        if found.strays:
            more = f" (and {len(found.strays) - 1} more)" if len(found.strays) > 1 else ""
            raise UserError(
                f"{found.strays[0]}{more}: not a clip's name of DCASE Task 2; expected names such as {EXPECTED_NAMES}"
            )
        refuse_mixed_years(machine, found.clips)
        clips = without_anonymous_twins(found.clips)
        refuse_repeated_names(machine, clips)
        rows = [label(clip) for clip in clips]
        self._add_tables(clips, rows)
        add_truth(machine, clips, rows, self._truth)
        for row in rows:
            row["condition"] = row["condition"] or "unknown"
            row["domain"] = row["domain"] or "unknown"
        return label_table(rows)

    @cached_property
    def _root(self) -> Path:
        command = advice(Path(self.root).expanduser(), self.year)
        return data_root(self.root, where=f"recordings, which {command} brings" if command else "")

    @cached_property
    def _folders(self) -> list[Folder]:
        return walk(self._root)

    @cached_property
    def _found(self) -> dict[str, MachineClips]:
        tell_of_unread(self._folders)
        require_audio(self._root, self._folders)
        found: dict[str, MachineClips] = defaultdict(MachineClips)
        other_years: set[int] = set()
        for folder in self._folders:
            where = place(folder)
            if where is None or not folder.audio:
                continue
            if self.year is not None and where.year not in (None, self.year):
                other_years.add(where.year or 0)
                continue
            names = [(file_name, stem(file_name)) for file_name in folder.audio]
            parsed = [(file_name, base, parse_name(base)) for file_name, base in names]
            if not any(name for _, _, name in parsed):
                continue
            machine = found[where.machine]
            machine.clips += [Clip(folder, where, file, base, name) for file, base, name in parsed if name]
            machine.strays += [folder.file(file) for file, _, name in parsed if name is None]
        if not found:
            raise UserError(self._why_nothing(other_years))
        if self.year is not None:
            check_year(self.year, found, self._root)
        return dict(found)

    def _why_nothing(self, other_years: set[int]) -> str:
        if other_years:
            years = ", ".join(str(year) for year in sorted(other_years))
            return f"year {self.year} was asked for, but data root {self._root} holds data of {years}"
        audio = [folder.file(name) for folder in self._folders for name in folder.audio]
        return (
            f"data root {self._root} holds {len(audio)} audio files, such as {audio[0]}, but none that is named as the "
            f"clips of DCASE Task 2 are ({EXPECTED_NAMES}); for other recordings use the dataset 'folder'"
        )

    @cached_property
    def _truth(self) -> Truth:
        if self.truth is None:
            folders = [folder for folder in self._folders if self._of_this_year(folder)]
            return read_truth(truth_files(folders))
        root = data_root(self.truth, "truth folder")
        files = truth_files(walk(root))
        if not files:
            raise UserError(f"truth folder {root} holds no file named ground_truth_<machine>_section_<ss>_test.csv")
        return read_truth(files)

    def _of_this_year(self, folder: Folder) -> bool:
        year = year_of((self._root.name, *folder.parts))
        return self.year is None or year in (None, self.year)

    def _add_tables(self, clips: list[Clip], rows: list[Row]) -> None:
        """Add what the ``attributes_*.csv`` in machines' folders say of their clips."""
        by_folder: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for clip, row in zip(clips, rows, strict=True):
            by_folder[clip.place.machine_folder][clip.stem].append(row)
        for folder in self._folders:
            where = place(folder)
            if where is None or where.machine_folder not in by_folder:
                continue
            for table in filter(TABLE_NAME.fullmatch, folder.tables):
                for listed in read_attributes(folder.file(table)):
                    for row in by_folder[where.machine_folder].get(listed.clip, ()):
                        row["attributes"] = merge_attributes(row["attributes"], listed.attributes, listed.place)
