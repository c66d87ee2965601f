"""What the tests of the datasets share."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A quarter of a second of noise, as the bytes of a file."""
    path = tmp_path_factory.mktemp("wav") / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 4000), 16000)
    return path.read_bytes()
