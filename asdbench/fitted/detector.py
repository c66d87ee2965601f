"""A fitted detector: the plugin with what it has learnt, and the record of how it came about."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pydantic

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError, did_you_mean, warn
from asdbench.fitted.deciding import ThresholdRule, threshold_of
from asdbench.fitted.folder import read_folder, write_folder
from asdbench.fitted.record import FORMAT, Audio, Fitted, PluginRecord, Record, content_hash
from asdbench.plugins import Detector, source_id
from asdbench.progress import Progress
from asdbench.validation import first_error

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FittedDetector:
    """A detector that has learnt one machine type.

    Attributes:
        plugin: the detector.
        record: how it came about, how it hears recordings, and its decision threshold.
    """

    plugin: Detector
    record: Record

    def __repr__(self) -> str:
        fitted = self.record.fitted
        return f"FittedDetector({self.record.detector.use}, {fitted.clips} clips of {fitted.machine})"

    def save(self, folder: str | Path) -> bool:
        """Write the detector to a folder, whole or not at all; a fitted detector that is there is replaced.

        Returns:
            Whether one was there.

        Raises:
            UserError: other files are in the folder, or the disk refuses.
        """
        return write_folder(Path(folder), self.record, self.plugin.get_state())

    def score(
        self, recordings: str | Path | ClipSet, *, quiet: bool = True, skip_bad_clips: bool = False
    ) -> pd.DataFrame:
        """Score recordings.

        Args:
            recordings: an audio file, a folder that is searched with the folders in it, or a clip set.
            quiet: print no progress.
            skip_bad_clips: leave recordings out that cannot be used, with a warning that names them.

        Returns:
            One row a recording, those of a folder sorted by name: ``file`` (relative to the folder; of a clip set the
            clip's name), ``score`` and ``decision`` ("anomaly" above the threshold, "normal", or "" without one).

        Raises:
            UserError: there are no recordings, or some cannot be used.
        """
        from asdbench.fitted.scoring import listed, score_clips

        progress = Progress(quiet)
        if isinstance(recordings, ClipSet):
            clips = recordings
        else:
            clips = listed(Path(recordings), self.record, progress, skip_bad_clips)
        return self._table(clips, score_clips(self.plugin, clips, progress))

    def _table(self, clips: ClipSet, scores: npt.NDArray[np.float64]) -> pd.DataFrame:
        import pandas as pd

        threshold = self.record.threshold
        decisions = np.full(len(clips), "", dtype=object)
        if threshold is not None:
            decisions = np.where(scores > threshold.value, "anomaly", "normal").astype(object)
        return pd.DataFrame({"file": clips.frame["clip_id"], "score": scores, "decision": decisions})


def record_of(
    plugin: Detector,
    clips: ClipSet,
    scores: npt.NDArray[np.float64] | None,
    rule: ThresholdRule | None,
    known: dict[str, Any] | None = None,
) -> Record:
    """The record of a detector that was fitted on clips of one machine type.

    Args:
        plugin: the detector.
        clips: what it was fitted on.
        scores: what it gives them, None where that is not known.
        rule: how the threshold follows from these, None for none.
        known: version, source and inputs of the plugin when it was fitted, where that was not just now.

    Raises:
        UserError: the detector hears nothing.
    """
    kind, frame = type(plugin), clips.frame
    refuse_lookup(plugin)
    now = {"version": plugin.version, "source": source_id(kind), "inputs": plugin.inputs()}
    return Record(
        format=FORMAT,
        asdbench=importlib.metadata.version("asdbench"),
        detector=PluginRecord(
            use=plugin.name,
            origin=plugins.detectors.origin(plugin.name),
            settings=plugin.settings(),
            seed=plugin.seed,
            **(known or now),
        ),
        audio=Audio(sample_rate=clips.sample_rate, channel=clips.channel),
        fitted=Fitted(
            machine=str(frame["machine"].iat[0]),
            sections=sorted(map(str, frame["section"].unique())),
            clips=len(clips),
            content=content_hash(frame["content_hash"]),
        ),
        threshold=threshold_of(scores, rule, plugin.name) if rule is not None else None,
    )


def refuse_lookup(plugin: Detector) -> None:
    """Raise a UserError for a detector that listens to nothing."""
    if plugin.looks_up:
        raise UserError(f"'{plugin.name}' looks up scores that were made elsewhere, so it cannot score recordings")


def load_detector(folder: str | Path, *, plugin_files: Iterable[str | Path] = ()) -> FittedDetector:
    """Load a fitted detector.

    The plugin is found by its name, as everywhere: among those of installed packages, of plugin files and of this
    process. Nothing in the folder is executed.

    Args:
        folder: what `FittedDetector.save` wrote.
        plugin_files: Python files with plugins.

    Raises:
        UserError: files are missing or damaged, the plugin is not there or of another version, or a file that the
            detector depends on is another one.
    """
    folder, files = Path(folder), [Path(file) for file in plugin_files]
    if files:
        plugins.load_files(files)
    record, state = read_folder(folder)
    kind = _plugin_of(record.detector, folder)
    plugin = restored(kind, record.detector.settings, record.detector.seed, state, str(folder))
    other_code = _compare_inputs(plugin, record.detector, folder)
    if source_id(kind) != record.detector.source or other_code:
        here = plugins.detectors.origin(record.detector.use)
        warn(
            f"{folder}: the code of '{record.detector.use}' ({here}) is not that which was fitted "
            f"({record.detector.origin}); scores may differ from those it gave"
        )
    return FittedDetector(plugin, record)


def restored(kind: type[Detector], settings: dict[str, Any], seed: int, state: dict[str, Any], where: str) -> Detector:
    """A detector with the settings and the state of a fitted one.

    Args:
        where: what the detector was read from, for messages.

    Raises:
        UserError: the plugin takes neither these settings nor this state.
    """
    try:
        plugin = kind(**settings)
    except pydantic.ValidationError as error:
        at, sentence = first_error(error, kind.setting_names())
        raise UserError(f"{where}: the setting {'.'.join(map(str, at))} of '{kind.name}': {sentence}") from None
    except Exception as error:
        raise UserError(f"{where}: '{kind.name}' cannot be set up: {error}") from error
    plugin.seed = seed
    try:
        plugin.set_state(state)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{where}: the state is not one of '{kind.name}' ({reason})") from error
    return plugin


def _plugin_of(known: PluginRecord, folder: Path) -> type[Detector]:
    if known.use not in plugins.detectors.names():
        raise UserError(
            f"{folder}: it needs the detector '{known.use}' of {known.origin}, which is neither installed nor given as "
            f"a plugin file{did_you_mean(known.use, plugins.detectors.names())}"
        )
    try:
        kind = plugins.detectors.get(known.use)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    if kind.version != known.version:
        raise UserError(
            f"{folder}: it was fitted with version {known.version} of '{known.use}' ({known.origin}), found version "
            f"{kind.version} ({plugins.detectors.origin(known.use)}); fit it again"
        )
    return kind


def _compare_inputs(plugin: Detector, known: PluginRecord, folder: Path) -> bool:
    """Refuse other inputs than those of the fitting: a score that depends on a model is worth nothing with another one.

    Returns:
        Whether only code differs: that of a plugin within the plugin, such as an embedding. As for the plugin itself,
        its version is what says whether results change.
    """
    try:
        found = plugin.inputs()
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    other = sorted(name for name in {*found, *known.inputs} if found.get(name) != known.inputs.get(name))
    content = [name for name in other if not name.endswith(".source")]
    if content:
        raise UserError(
            f"{folder}: what '{known.use}' depends on is not what it was fitted with: {', '.join(content)}; restore "
            "that, or fit the detector again"
        )
    return bool(other)
