"""What can be brought: collections of recordings, their parts and archives, as `catalogue.yaml` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from asdbench.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Archive:
    """One archive, which holds one machine type of one part.

    Attributes:
        part: name of the part.
        machine: the machine type.
        record: number of its record on Zenodo.
        file: its name, the only one of that name in the collection.
        folder: where its content goes, relative to the collection's folder, with forward slashes.
        md5: its checksum where it is known beforehand, else "".
    """

    part: str
    machine: str
    record: int
    file: str
    folder: str
    md5: str


@dataclass(frozen=True)
class Collection:
    """Recordings that belong together, such as those of one year.

    Attributes:
        name: such as "dcase2023".
        reads: the entry ``dataset:`` of a spec that reads them, with ``{root}`` for the folder and ``{part}``.
        archives: all of them, part by part; the first part is what is brought where none is named.
    """

    name: str
    reads: dict[str, str | int]
    archives: tuple[Archive, ...]

    @property
    def parts(self) -> list[str]:
        """Names of the parts, in order."""
        return list(dict.fromkeys(archive.part for archive in self.archives))

    @property
    def machines(self) -> list[str]:
        """Machine types of all parts, in order."""
        return list(dict.fromkeys(archive.machine for archive in self.archives))

    def of_part(self, part: str) -> list[Archive]:
        """The archives of one part."""
        return [archive for archive in self.archives if archive.part == part]

    def spec_lines(self, root: str, parts: Sequence[str]) -> list[str]:
        """The entries ``dataset:`` of a spec that read parts of the collection from a folder; often one for all."""
        filled = [
            {
                key: value.format(root=root, part=part) if isinstance(value, str) else value
                for key, value in self.reads.items()
            }
            for part in parts
        ]
        return list(dict.fromkeys(f"dataset: {_in_one_line(entry)}" for entry in filled))

    def choose(self, machines: Sequence[str] | None, parts: Sequence[str] | None) -> list[Archive]:
        """Choose archives.

        Args:
            machines: machine types; none for all of the parts.
            parts: names of parts; none for the first.

        Raises:
            UserError: there is no such part, or none of the parts has the machine.
        """
        for part in parts or ():
            if part not in self.parts:
                raise UserError(f"{self.name} has no part '{part}'{did_you_mean(part, self.parts)}")
        wanted = list(parts or self.parts[:1])
        inside = [archive for archive in self.archives if archive.part in wanted]
        for machine in machines or ():
            if any(archive.machine == machine for archive in inside):
                continue
            if machine not in self.machines:
                raise UserError(f"{self.name} has no machine '{machine}'{did_you_mean(machine, self.machines)}")
            elsewhere = [archive.part for archive in self.archives if archive.machine == machine]
            raise UserError(
                f"{self.name}: the machine '{machine}' is not in {' or '.join(wanted)} but in {' and '.join(elsewhere)}"
                f"; name it with --part {','.join(elsewhere)}"
            )
        return [archive for archive in inside if not machines or archive.machine in machines]


@cache
def collections() -> dict[str, Collection]:
    """All collections, by name."""
    text = (files("asdbench.downloads") / "catalogue.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for name, entry in yaml.load(text, Loader=loader).items():
        archives = [
            Archive(
                part,
                machine,
                about["record"],
                about.get("files", {}).get(machine) or about["file"].format(machine=machine),
                about["folder"].format(machine=machine),
                about.get("md5", {}).get(machine, ""),
            )
            for part, about in entry["parts"].items()
            for machine in about["machines"].split()
        ]
        found[name] = Collection(name, entry["reads"], tuple(archives))
    return found


def collection(name: str) -> Collection:
    """The collection of a name.

    Raises:
        UserError: there is none.
    """
    if name not in collections():
        raise UserError(f"there is no data set '{name}'{did_you_mean(name, collections())}")
    return collections()[name]


def _in_one_line(entry: dict[str, str | int]) -> str:
    text: str = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.strip()
