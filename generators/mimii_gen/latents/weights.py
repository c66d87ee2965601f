"""What the weights of a network are, as a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from torch import Tensor

__all__ = ["weights_id"]


def weights_id(tensors: Mapping[str, Tensor], beside: bytes = b"") -> str:
    """Return a hash of tensors by name, as values in single precision, wherever they are.

    Args:
        tensors: such as a network's ``state_dict()``.
        beside: what else the hash depends on.
    """
    digest = hashlib.blake2b(beside, digest_size=16)
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().float().cpu().contiguous().numpy()
        digest.update(json.dumps([name, values.shape]).encode())
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()
