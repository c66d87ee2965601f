"""Fitting a detector outside of a benchmark."""

from __future__ import annotations

from asdbench import plugins
from asdbench.clips import ClipSet
from asdbench.errors import UserError
from asdbench.fitted.deciding import ThresholdRule
from asdbench.fitted.detector import FittedDetector, record_of, refuse_lookup
from asdbench.fitted.scoring import score_clips
from asdbench.plugins import Detector
from asdbench.progress import Progress
from asdbench.seeding import derive_seed


def fit(
    detector: Detector | str, clips: ClipSet, *, seed: int = 0, rule: ThresholdRule | None = None, quiet: bool = True
) -> FittedDetector:
    """Fit a detector on the normal clips of one machine type.

    With the clips and the seed of a benchmark it learns what it learns there, to the last digit.

    Args:
        detector: the detector with its settings, or the name of one; it is not changed.
        clips: what it learns from; anomalous clips and clips of unknown condition are left out.
        seed: as in a benchmark's ``seeds``.
        rule: how the decision threshold follows from the scores of ``clips``; by default the 0.9 quantile of a gamma
            distribution, as in DCASE Task 2.
        quiet: print no progress.

    Raises:
        UserError: there is no such detector, there are no normal clips or those of several machine types, or the
            detector cannot learn from them.
    """
    from asdbench.execute.local import one_thread

    if isinstance(detector, str):
        detector = plugins.detectors.get(detector)()
    refuse_lookup(detector)
    normal = clips.where(condition="normal")
    machines = sorted(normal.frame["machine"].unique())
    if len(machines) != 1:
        found = f"those of {', '.join(machines)}" if machines else "none"
        raise UserError(f"expected normal clips of one machine type to fit '{detector.name}' on, found {found}")
    plugin = type(detector)(**detector.settings())
    plugin.seed = derive_seed(seed, "fit", machines[0])
    progress = Progress(quiet)
    progress.say(f"fitting {plugin.name} on {len(normal)} clips of {machines[0]}")
    try:
        with one_thread():
            plugin.fit(normal)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"'{plugin.name}' cannot be fitted: {type(error).__name__}: {error}") from error
    scores = score_clips(plugin, normal, progress)
    return FittedDetector(plugin, record_of(plugin, normal, scores, rule or ThresholdRule()))
