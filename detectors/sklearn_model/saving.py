"""Keeping estimators of other packages than scikit-learn, without pickle.

The framework keeps scikit-learn's. Of another package it cannot know whether it may be trusted; here the spec names it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asdbench import UserError, refused_types

from .importing import reason_of


def packed(model: Any) -> npt.NDArray[np.uint8]:
    """An estimator as the bytes of a skops file.

    Raises:
        UserError: it holds something that cannot be kept safely.
    """
    import skops.io

    name = type(model).__name__
    try:
        data = skops.io.dumps(model)
        skops.io.loads(data, trusted=_trusted(data, type(model)))
    except UserError:
        raise
    except Exception as error:  # which errors there are depends on what the estimator holds
        raise UserError(f"model: a fitted {name} cannot be saved without pickle ({reason_of(error)})") from error
    return np.frombuffer(data, dtype=np.uint8)


def unpacked(data: npt.NDArray[np.uint8], kind: type) -> Any:
    """The estimator of a class that `packed` wrote.

    Raises:
        UserError: the bytes hold other types than classes of scikit-learn and of the package of the class.
    """
    import skops.io

    content = data.tobytes()
    model = skops.io.loads(content, trusted=_trusted(content, kind))
    if type(model) is not kind:
        raise UserError(f"model: the state holds a {type(model).__name__}, expected a {kind.__name__}")
    return model


def _trusted(data: bytes, kind: type) -> list[str]:
    """The types in a skops file that may be made: classes of the package that the spec names and of scikit-learn."""
    import skops.io

    types: list[str] = skops.io.get_untrusted_types(data=data)
    strange = refused_types(types, ("sklearn", kind.__module__.partition(".")[0]))
    if strange:
        raise UserError(f"model: a fitted {kind.__name__} holds a {strange[0]}, which cannot be saved safely")
    return types
