"""Finding the class that an import path names, and refusing what is no outlier detector.

Only modules of installed packages are imported, and of them only a class with the methods of a detector is used.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
from importlib.metadata import packages_distributions
from types import ModuleType
from typing import Any

from asdbench import UserError, did_you_mean

Kind = Any
"""A class of scikit-learn or PyOD; neither has types."""


def outlier_detector(path: str) -> Kind:
    """The class that a path such as ``sklearn.neighbors.LocalOutlierFactor`` names.

    Raises:
        UserError: it names no module of an installed package, no class in it, or a class that is no outlier detector.
    """
    package, _, name = path.rpartition(".")
    if not package or not all(part.isidentifier() for part in path.split(".")):
        raise UserError(
            f"model: found '{path}', expected the import path of a class, such as sklearn.neighbors.LocalOutlierFactor"
        )
    module = _module(package)
    kind = getattr(module, name, None)
    if not inspect.isclass(kind):
        known = [each for each, value in vars(module).items() if inspect.isclass(value) and not _problem(value)]
        found = f"'{name}' is no class" if hasattr(module, name) else f"there is no class '{name}'"
        raise UserError(f"model: {found} in {package}{did_you_mean(name, known)}")
    problem = _problem(kind)
    if problem:
        raise UserError(f"model: {path} {problem}, expected an outlier detector")
    return kind


@functools.cache
def _installed() -> frozenset[str]:
    """The top-level packages of what is installed, read once: it takes a while."""
    return frozenset(packages_distributions())


def is_pyod(kind: Kind) -> bool:
    """Whether a class is a detector of PyOD, whose scores are high for outliers; those of scikit-learn are low."""
    return any(base.__module__.startswith("pyod.") and base.__name__ == "BaseDetector" for base in kind.__mro__)


def _module(name: str) -> ModuleType:
    """Import a module of an installed package, its parents first.

    Raises:
        UserError: names the part that is not there.
    """
    parts = name.split(".")
    if parts[0] not in _installed():
        known = difflib.get_close_matches(parts[0], ["sklearn", "pyod"], n=1, cutoff=0.5)
        hint = did_you_mean(parts[0], known) if known and known[0] != parts[0] else ""
        install = "; pip install 'asdbench[pyod]' brings it" if parts[0] == "pyod" else hint
        raise UserError(f"model: no installed package is called '{parts[0]}'{install}")
    module = _imported(parts[0])
    for depth in range(1, len(parts)):
        below = [info.name for info in pkgutil.iter_modules(getattr(module, "__path__", []))]
        if parts[depth] not in below:
            close = difflib.get_close_matches(parts[depth], below, n=1, cutoff=0.5)
            raise UserError(
                f"model: there is no module '{parts[depth]}' in {module.__name__}{did_you_mean(parts[depth], close)}"
            )
        module = _imported(".".join(parts[: depth + 1]))
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserError(f"model: the module {name} cannot be imported ({reason_of(error)})") from error


def reason_of(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _problem(kind: Kind) -> str:
    """Why a class cannot serve, "" where it can."""
    from sklearn import base

    if not all(callable(getattr(kind, method, None)) for method in ("fit", "get_params", "set_params")):
        return "is no estimator (it has no fit, get_params and set_params)"
    if inspect.isabstract(kind):
        return "is an abstract class"
    if issubclass(kind, base.OutlierMixin) or is_pyod(kind):
        return ""
    roles = {
        "classifier": base.ClassifierMixin,
        "regressor": base.RegressorMixin,
        "clusterer": base.ClusterMixin,
        "transformer": base.TransformerMixin,
    }
    for role, mixin in roles.items():
        if issubclass(kind, mixin):
            return f"is a {role}"
    # What a density estimator gives is a log-likelihood; of other scores nothing says which way they point.
    return "" if hasattr(kind, "score_samples") else "has no score_samples and is no OutlierMixin"
