"""Random streams named by what they are for.

Every random number in asdbench comes from a generator seeded by a name such as ``(seed, machine, clip)``, never from
one shared stream, so results do not depend on the number of workers, the batch size or the order of the work.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def derive_seed(*name: Any) -> int:
    """Return a 63-bit seed that depends on every part of ``name`` (JSON values) and on nothing else."""
    text = json.dumps(name, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive_rng(*name: Any) -> np.random.Generator:
    """Return a fresh numpy generator for ``name``; see `derive_seed`."""
    return np.random.default_rng(derive_seed(*name))
