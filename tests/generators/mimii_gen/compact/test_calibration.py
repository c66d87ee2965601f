from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asdbench import ClipSet
from asdbench.generators.mimii_gen.compact import calibration
from asdbench.generators.mimii_gen.compact.beginning import begin
from asdbench.generators.mimii_gen.compact.calibration import _changes, calibrate
from asdbench.generators.mimii_gen.compact.codec import CompactCodec
from asdbench.generators.mimii_gen.compact.examples import Examples
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.compact.spectra import Spectra

SPECTRA = Spectra(16000, 1024, 32)


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """Steady noises of different colours, with a strong tone that wanders by a thousandth."""
    rows = []
    for number in range(6):
        random = np.random.default_rng(number)
        white = random.standard_normal(48000)
        noise = np.convolve(white, [1, 0.15 * number, -0.1 * number], "same")
        slow = 2010 * (np.arange(48000) / 16000 + 1e-3 * np.sqrt(2) * np.sin(np.arange(48000) / 16000 * 3) / 3)
        wave = 0.01 * noise + 0.03 * np.cos(2 * np.pi * slow)
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, wave.astype(np.float32), 16000, subtype="FLOAT")
        rows.append(
            {"clip_id": path.name, "path": str(path), "machine": "fan", "section": "00", "domain": "source"}
            | {"split": "train", "condition": "normal", "attributes": {}}
        )
    return ClipSet.from_files(rows, 16000)


def changes(network: CompactNetwork, clips: ClipSet) -> float:
    """Frame-to-frame changes of the clips as the codec makes them again, over those of the clips."""
    codec, real, made = CompactCodec(network), [], []
    for index in range(len(clips)):
        waveform = clips.waveform(index)
        latents = codec.latents(codec.encode(torch.from_numpy(waveform)[None]))
        again = codec.decode(latents, len(waveform), [100 + index])[0].numpy()
        real.append(_changes(SPECTRA.decibels(waveform)))
        made.append(_changes(SPECTRA.decibels(again)))
    return float(np.mean(made) / np.mean(real))


def untrained(examples: Examples, wrong: float) -> CompactNetwork:
    """A network at the beginning of a training, with a shape that was learnt wrongly."""
    torch.manual_seed(0)
    network = CompactNetwork(bands=32, clip_dim=6, frame_dim=3, width=8).eval()
    begin(network, examples, SPECTRA)
    network.noise_log_shape += wrong
    return network


@pytest.mark.parametrize("wrong", [-0.4, 0.4])
def test_clips_that_are_made_again_change_from_frame_to_frame_as_the_clips_do(
    clips: ClipSet, tmp_path: Path, wrong: float, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = Examples(clips, SPECTRA, tmp_path / "spectra")
    network = untrained(examples, wrong)
    assert abs(changes(network, clips) - 1) > 0.15
    calibrate(network, examples, SPECTRA, 0)
    assert changes(network, clips) == pytest.approx(1.0, abs=0.05)
    once = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    calibrate(network, examples, SPECTRA, 0)
    assert all(torch.equal(tensor, once[name]) for name, tensor in network.state_dict().items())
    assert capsys.readouterr().err == ""
    assert int(network.active.sum()) >= 1 and float(network.wander) == pytest.approx(1e-3, rel=0.25)


@pytest.mark.parametrize(("wrong", "rounds"), [(-3.0, 2), (3.0, 2), (0.4, 0)])
def test_a_calibration_that_ends_at_its_limits_says_how_far_it_is_off(
    clips: ClipSet,
    tmp_path: Path,
    wrong: float,
    rounds: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "_ROUNDS", rounds)
    examples = Examples(clips, SPECTRA, tmp_path / "spectra")
    network = untrained(examples, wrong)
    calibrate(network, examples, SPECTRA, 0)
    sentence = (
        rf"asdbench: warning: the calibration of the compact codec has not converged after {rounds} rounds: the "
        r"changes of resynthesised clips are off by ([\d.]+) % \(root mean square over the bands\), "
        r"expected at most 5 %, with the factor of (\d+) of 32 bands at its limit, 0\.5 or 1\.5; "
        r"detectors may recognise the codec\n"
    )
    found = re.fullmatch(sentence, capsys.readouterr().err)
    assert found is not None
    assert float(found[1]) == pytest.approx(100 * abs(changes(network, clips) - 1), rel=0.2)
    at_limit = int(((network.calibration == 0.5) | (network.calibration == 1.5)).sum())
    assert int(found[2]) == at_limit and (at_limit > 8) == (rounds > 0)
