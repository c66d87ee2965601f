"""Near copies are found whatever was done to them, and different recordings are not taken for copies."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asdbench.audio import resample
from asdbench.datasets.simulated import SimulatedDataset
from asdbench.near_copies import Traces, least_similarity, similarities, trace, usual_similarity

RATE = 16000


def recording(seed: int, seconds: float = 10) -> np.ndarray:
    """Noise through one filter, and a knock each second: what recordings of a machine have in common."""
    rng = np.random.default_rng(seed)
    wave = np.convolve(rng.normal(0, 0.05, round(seconds * RATE)), [1, 0.8, 0.5, 0.2], "same")
    for start in range(int(rng.integers(RATE)), len(wave) - 800, RATE):
        wave[start : start + 800] += 0.5 * np.exp(-np.arange(800) / 100) * np.sin(np.arange(800))
    return wave.astype(np.float32)


def of(*waves: np.ndarray) -> Traces:
    names = tuple(str(index) for index in range(len(waves)))
    return Traces(names, tuple(trace(wave) for wave in waves), (1.0,) * len(waves))


def coded(wave: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="OGG", subtype="VORBIS")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


CHANGES = {
    "almost as loud": lambda wave: 0.9999 * wave,
    "half as loud, 16 bit": lambda wave: np.round(wave / 2 * 32768) / 32768,
    "inverted": lambda wave: -wave,
    "one sample longer": lambda wave: np.r_[wave, wave[-1:]],
    "shifted": lambda wave: wave[4321:],
    "resampled": lambda wave: resample(resample(wave, RATE, 48000), 48000, RATE),
    "OGG": coded,
    "noise 10 dB below": lambda wave: wave + np.random.default_rng(9).normal(0, 0.3 * wave.std(), len(wave)),
    "half of it": lambda wave: wave[37520 : 37520 + 80000],
    "two seconds of it": lambda wave: wave[37520 : 37520 + 32000],
}


@pytest.fixture(scope="module")
def known() -> Traces:
    return of(*(recording(seed) for seed in range(12)))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_only_it(known: Traces, change: str) -> None:
    values, copied = similarities(of(CHANGES[change](recording(5))), known)
    assert np.flatnonzero(copied[0]).tolist() == [5]
    assert values[0].argmax() == 5


def test_what_was_not_changed_has_similarity_1(known: Traces) -> None:
    values, copied = similarities(of(recording(3), recording(99)), known)
    assert values[0, 3] == pytest.approx(1, abs=1e-5)
    assert not copied[1].any()
    assert values[1].max() < 0.4
    assert (similarities(known, known)[1] == np.eye(12, dtype=bool)).all()


def test_a_clip_is_found_in_a_long_recording() -> None:
    long = np.concatenate([recording(seed) for seed in range(20, 26)])
    start = 22 * RATE
    _, copied = similarities(of(long[start : start + 8 * RATE], recording(50)), of(recording(60), long))
    assert copied.tolist() == [[False, True], [False, False]]


def test_clips_of_a_machine_that_repeats_itself_are_no_copies_and_a_copy_stands_out_among_them(tmp_path: Path) -> None:
    dataset = SimulatedDataset(data_seed=3, train_source=48, train_target=0, test_normal=1, test_anomaly=1)
    table = dataset.clips("valve", tmp_path)
    clips = of(*(soundfile.read(path, dtype="float32")[0] for path in table["path"][table["split"] == "train"]))
    values, copied = similarities(clips, clips, usual_similarity(clips))
    others = ~np.eye(len(values), dtype=bool)
    assert (values[others] > least_similarity(250)).mean() > 0.05  # those of one pattern
    assert np.array_equal(copied, ~others)
    wave = soundfile.read(table["path"][table["split"] == "train"].iloc[20], dtype="float32")[0]
    _, copied = similarities(of(0.5 * wave[4321:]), clips, usual_similarity(clips))
    assert np.flatnonzero(copied[0]).tolist() == [20]


def test_clips_that_are_not_alike_or_are_few_ask_for_no_more_of_a_copy(known: Traces) -> None:
    assert usual_similarity(known) == 0
    assert 0 < usual_similarity(of(*(recording(seed, 2) for seed in range(40)))) < 0.5


def test_short_and_silent_clips_are_no_copies() -> None:
    silent = np.zeros(RATE, dtype=np.float32)
    assert not similarities(of(silent, recording(1, 0.2)), of(silent, recording(2, 0.2)))[1].any()
    assert similarities(of(), of(silent))[1].shape == (0, 1)


def test_traces_are_read_back(tmp_path: Path) -> None:
    stored = of(recording(0, 1), recording(1, 2))
    stored.save(tmp_path / "traces.safetensors")
    again = Traces.load(tmp_path / "traces.safetensors")
    assert again.names == stored.names and again.peaks == stored.peaks
    assert all(np.array_equal(one, other) for one, other in zip(again.values, stored.values, strict=True))
    assert again.named(["1"]).names == ("1",)
