"""Fingerprints: a copy of a clip is known again whatever was done to its level, another recording is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from safetensors.numpy import save_file

from asdbench import ClipSet, Fingerprints, UserError, audio, fingerprints
from asdbench.fingerprinting import SAMPLE_RATE, VALUES, fingerprint, nearest

SECONDS = 4


def noise(seed: int, seconds: float = SECONDS) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return nearest(fingerprint(one), Fingerprints(("other",), (fingerprint(other),)))[0]


def shaped(seed: int) -> np.ndarray:
    """Noise with the hum of a machine: alike in spectrum from seed to seed."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 120 * k * time + k) / k for k in range(1, 6))
    return scipy.signal.lfilter([1.0], [1.0, -0.9], noise(seed)) + 0.1 * hum


@pytest.mark.parametrize("make", [noise, shaped])
@pytest.mark.parametrize(
    "change",
    [
        lambda wave: wave,
        lambda wave: 0.05 * wave,
        lambda wave: -3 * wave,
        lambda wave: wave + 0.1 * wave.std() * np.random.default_rng(9).standard_normal(len(wave)),
        lambda wave: np.convolve(wave, [0.25, 0.5, 0.25], "same"),
        lambda wave: np.round(wave * 2**15) / 2**15,
        lambda wave: scipy.signal.sosfilt(scipy.signal.butter(2, 6000, fs=SAMPLE_RATE, output="sos"), wave),
    ],
    ids=["same", "quiet", "loud and inverted", "noise 20 dB below", "smoothed", "16 bits", "low-pass"],
)
def test_a_copy_is_known_again(make: Callable[[int], np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> None:
    wave = make(1)
    assert cosine(change(wave), wave) > 0.9


@pytest.mark.parametrize("make", [noise, shaped])
def test_other_recordings_of_the_same_machine_are_not(make: Callable[[int], np.ndarray]) -> None:
    prints = [fingerprint(make(seed)) for seed in range(12)]
    known = Fingerprints(tuple(map(str, range(11))), tuple(prints[:11]))
    assert nearest(prints[11], known)[0] < 0.35
    assert nearest(prints[3], known) == (pytest.approx(1), "3")


def test_shape_and_type() -> None:
    for seconds, rows in ((0.2, 1), (1, 1), (2.5, 2), (SECONDS, SECONDS)):
        one = fingerprint(noise(0, seconds))
        assert one.shape == (rows, VALUES) and one.dtype == np.int8
        assert np.sqrt(np.mean(one.astype(float) ** 2)) == pytest.approx(32, rel=0.02)


def test_a_clip_of_less_than_a_second_is_known_again() -> None:
    wave = noise(2, 0.4)
    assert cosine(0.3 * wave + 0.01 * noise(3, 0.4), wave) > 0.9


@pytest.mark.parametrize("offset", [0, 1, 2, 5, 7])
def test_a_part_of_a_longer_clip_is_known_again(offset: int) -> None:
    """Offsets of whole seconds, at which stretches are compared; the longer may be on either side."""
    whole = noise(4, 10)
    part = whole[offset * SAMPLE_RATE : (offset + 3) * SAMPLE_RATE]
    assert cosine(part, whole) > 0.9
    assert cosine(whole, part) > 0.9
    assert cosine(noise(5, 3), whole) < 0.45


def test_known_clips_of_several_lengths_are_all_looked_at() -> None:
    waves = {"short": noise(6, 1), "long": noise(7, 5), "other": noise(8, 3)}
    known = Fingerprints(tuple(waves), tuple(map(fingerprint, waves.values())))
    for name, wave in waves.items():
        found, twin = nearest(fingerprint(0.5 * wave), known)
        assert twin == name and found > 0.99


def test_silence_is_like_nothing() -> None:
    silent = fingerprint(np.zeros(2 * SAMPLE_RATE))
    assert not silent.any()
    assert cosine(np.zeros(2 * SAMPLE_RATE), noise(1)) == 0.0
    assert cosine(noise(1), np.zeros(2 * SAMPLE_RATE)) == 0.0
    assert cosine(np.zeros(8000), np.zeros(2 * SAMPLE_RATE)) == 0.0


def clips(folder: Path, waves: dict[str, np.ndarray], rate: int, read_at: int | None) -> ClipSet:
    rows = []
    for name, wave in waves.items():
        audio.write(folder / name, wave, rate)
        labels = {"machine": "fan", "section": "00", "domain": "source", "split": "train", "condition": "normal"}
        rows.append({"clip_id": name, "path": str(folder / name), "attributes": {}} | labels)
    return ClipSet.from_files(rows, sample_rate=read_at)


@pytest.mark.parametrize(("rate", "read_at"), [(16000, 16000), (44100, None), (48000, 32000)])
def test_the_rate_of_a_recording_does_not_matter(tmp_path: Path, rate: int, read_at: int | None) -> None:
    waves = {f"{seed}.wav": noise(seed, 2) for seed in range(3)}
    others = {name: audio.resample(wave.astype(np.float32), SAMPLE_RATE, rate) for name, wave in waves.items()}
    steps = []
    found = fingerprints(clips(tmp_path, others, rate, read_at), lambda: steps.append(1))
    assert found.names == tuple(waves) and len(steps) == len(found) == 3
    for name, one in zip(found.names, found.values, strict=True):
        best, twin = nearest(one, Fingerprints(tuple(waves), tuple(map(fingerprint, waves.values()))))
        assert twin == name and best > 0.98


def test_the_order_of_clips_does_not_matter(tmp_path: Path) -> None:
    some = clips(tmp_path, {f"{seed}.wav": noise(seed, 1) for seed in range(4)}, 16000, 16000)
    there, back = fingerprints(some), fingerprints(some.select([3, 2, 1, 0]))
    assert back.names == there.names[::-1]
    for one, other in zip(there.values, reversed(back.values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    values = tuple(fingerprint(noise(seed, seconds)) for seed, seconds in ((0, 1), (1, 3), (2, 0.5)))
    saved = Fingerprints(("fan/ä.wav", 'a "quoted" name', "c"), values)
    for one in (saved, Fingerprints((), ())):
        one.save(tmp_path / "fingerprints.safetensors")
        loaded = Fingerprints.load(tmp_path / "fingerprints.safetensors")
        assert loaded.names == one.names and len(loaded.values) == len(one.values)
        for mine, theirs in zip(loaded.values, one.values, strict=True):
            assert mine.dtype == np.int8
            np.testing.assert_array_equal(mine, theirs)


def damaged(**changes: object) -> dict[str, object]:
    good = {"lengths": np.array([1, 2], np.int32), "values": np.zeros((3, VALUES), np.int8), "names": '["a", "b"]'}
    return good | changes


@pytest.mark.parametrize(
    "parts",
    [
        damaged(lengths=np.array([1, 3], np.int32)),
        damaged(lengths=np.array([3, 0], np.int32)),
        damaged(lengths=np.array([4, -1], np.int32)),
        damaged(values=np.zeros((3, VALUES + 1), np.int8)),
        damaged(names='["a"]'),
        damaged(names="[a"),
        damaged(names="null"),
        damaged(names=None),
        damaged(values=None),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, parts: dict[str, object]) -> None:
    path = tmp_path / "fingerprints.safetensors"
    tensors = {name: parts[name] for name in ("lengths", "values") if parts[name] is not None}
    save_file(tensors, path, {"names": parts["names"]} if parts["names"] else None)
    with pytest.raises(UserError, match=f"{path}: the fingerprints are damaged"):
        Fingerprints.load(path)


def test_a_file_that_is_cut_off_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fingerprints.safetensors"
    with pytest.raises(UserError, match="damaged"):
        Fingerprints.load(path)
    Fingerprints(("a",), (fingerprint(noise(0, 1)),)).save(path)
    whole = path.read_bytes()
    for size in (0, 4, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="damaged"):
            Fingerprints.load(path)


def test_a_clip_that_is_looked_at_again_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asdbench import fingerprinting
    from asdbench.remembered import Remembered
    from asdbench.testing import example_clips

    computed = []
    monkeypatch.setattr(fingerprinting, "_remembered", Remembered(2**20))
    monkeypatch.setattr(fingerprinting, "fingerprint", lambda one: computed.append(1) or fingerprint(one))
    clips, others = example_clips(tmp_path, 3, 0), example_clips(tmp_path, 2, 0, "test")
    first, second, third = (fingerprinting.fingerprints(some) for some in (clips, clips, others))
    assert len(computed) == len(clips) + len(others)
    for found, some in ((first, clips), (second, clips), (third, others)):
        expected = [fingerprint(one) for one in some.waveforms()]  # at 16 kHz already
        assert all(np.array_equal(*pair) for pair in zip(found.values, expected, strict=True))


TELL = """
import json
import numpy as np
from asdbench.fingerprinting import fingerprint
print(json.dumps(fingerprint(0.1 * np.random.default_rng(1).standard_normal(32000)).tolist()))
"""
GOLDEN = [19, 87, 4, -6, -1, -3, 24, -12, 11, 51, -7, 31]
"""The first values of that clip; models carry fingerprints, so that they have to stay what they are."""


def test_fingerprints_are_the_same_in_every_process_and_version() -> None:
    texts = {
        subprocess.run(
            [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    here = fingerprint(noise(1, 2))
    np.testing.assert_array_equal(np.array(json.loads(texts.pop())), here)
    np.testing.assert_allclose(here[0, :12], GOLDEN, atol=1)
