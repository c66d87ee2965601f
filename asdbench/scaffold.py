"""Writing a new plugin: a file that works as it stands, and its contract test."""

from __future__ import annotations

import keyword
import os
import re
from pathlib import Path

from asdbench import plugins
from asdbench.errors import UserError
from asdbench.folders import temporary_folder
from asdbench.store import disk_errors

_DETECTOR = '''"""Detector `{name}`: say here what it does."""

from __future__ import annotations

import numpy as np

from asdbench import ClipSet, Detector, detector, logmel, setting


@detector("{name}")
class {title}(Detector):
    """Largest deviation of a clip's mean log-mel spectrum from that of normal clips, in standard deviations."""

    floor: float = setting(0.1, gt=0, description="smallest standard deviation of a band, in dB")

    def fit(self, clips: ClipSet) -> None:
        spectra = self._spectra(clips)
        self.mean_, self.std_ = spectra.mean(axis=0), np.maximum(spectra.std(axis=0), self.floor)

    def score(self, clips: ClipSet) -> np.ndarray:
        return np.abs((self._spectra(clips) - self.mean_) / self.std_).max(axis=1)

    def _spectra(self, clips: ClipSet) -> np.ndarray:
        return np.stack([logmel(waveform).mean(axis=0) for waveform in clips.waveforms()])
'''

_GENERATOR = '''"""Generator `{name}`: say here what it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asdbench import GeneratedClip, Generator, Request, generator, setting


@generator("{name}")
class {title}(Generator):
    """Normal clips with a hiss on top: white noise at a given level below the clip."""

    snr_db: float = setting(10.0, description="level of the clip over that of the hiss, in dB")

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        hosts = request.pool.where(condition="normal")
        for row in request.rows.itertuples():
            rng = self.rng(row.clip_id)
            index = int(rng.integers(len(hosts)))
            wave = hosts.waveform(index)
            hiss = rng.standard_normal(len(wave)) * wave.std() * 10 ** (-self.snr_db / 20)
            yield GeneratedClip(wave + hiss, {{"host": hosts.frame["clip_id"].iat[index], "snr_db": self.snr_db}})
'''

_TEST = '''"""Contract test of the {kind} `{name}`."""

from pathlib import Path

import asdbench.testing
from asdbench.plugins import {kind}s, load_files


def test_{name}_keeps_the_contract():
    load_files([Path(__file__).with_name("{name}.py")])
    asdbench.testing.check_{kind}({kind}s.get("{name}"))
'''


def write_plugin(kind: str, name: str, folder: Path) -> tuple[Path, Path]:
    """Write NAME.py and test_NAME.py.

    Args:
        kind: "detector" or "generator".

    Raises:
        UserError: the name is no identifier or taken, or a file is in the way; nothing is written then.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        raise UserError(f"NAME: found '{name}', expected lower-case letters, digits and _ such as my_{kind}")
    registry = plugins.detectors if kind == "detector" else plugins.generators
    if name in registry.names():
        raise UserError(f"NAME: a {kind} named '{name}' exists already; choose another name")
    plugin, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in (plugin, test):
        if os.path.lexists(path):
            raise UserError(f"{path}: the file exists already; remove it or choose another name")
    template = _DETECTOR if kind == "detector" else _GENERATOR
    words = {"name": name, "kind": kind, "title": "".join(part.capitalize() for part in name.split("_"))}
    with disk_errors(folder), temporary_folder(folder) as new:
        (new / plugin.name).write_text(template.format(**words))
        (new / test.name).write_text(_TEST.format(**words))
        for path in (plugin, test):
            os.replace(new / path.name, path)
    return plugin, test
