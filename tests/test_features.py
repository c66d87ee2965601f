"""Log-mel spectrograms against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from asdbench import audio
from asdbench.features import FLOOR, LogmelSettings, logmel, mel_filters, remembered_logmel


def librosa_logmel(waveform, settings):
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        power=2.0,
    )
    return 10 * np.log10(np.maximum(mel, FLOOR)).T


@pytest.mark.parametrize(
    "settings",
    [
        LogmelSettings(),
        LogmelSettings(n_mels=64, n_fft=2048, hop_length=160),
        LogmelSettings(sample_rate=44100, n_mels=40, fmin=50.0, fmax=14000.0),
        LogmelSettings(sample_rate=8000, n_fft=512, hop_length=256, n_mels=32),
    ],
    ids=str,
)
@pytest.mark.parametrize("samples", [160000, 16001, 3200])
def test_values_equal_librosas_to_a_ten_thousandth_of_a_decibel(settings, samples):
    rng = np.random.default_rng(samples)
    # Loud lows and quiet highs, 70 dB apart: where a single-precision transform would fail.
    waveform = np.cumsum(rng.standard_normal(samples)).astype(np.float32)
    waveform *= 0.5 / np.abs(waveform).max()
    expected = librosa_logmel(waveform, settings)
    found = logmel(waveform, settings)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4


def test_values_equal_librosas_on_real_recordings(shared_data):
    for path in sorted((shared_data / "dcase2023_sample").glob("*/*/*.wav")):
        waveform = audio.read(path)
        assert np.abs(logmel(waveform) - librosa_logmel(waveform, LogmelSettings())).max() < 1e-4, path


def test_ten_seconds_give_313_frames_and_silence_the_floor():
    found = logmel(np.zeros(160000, dtype=np.float32))
    assert found.shape == (313, 128)
    assert np.allclose(found, 10 * np.log10(FLOOR))


def test_filters_equal_librosas():
    for settings in (LogmelSettings(), LogmelSettings(sample_rate=24000, n_fft=2048, n_mels=64, fmin=30, fmax=11000)):
        expected = librosa.filters.mel(
            sr=settings.sample_rate,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            fmin=settings.fmin,
            fmax=settings.fmax,
        )
        assert np.allclose(mel_filters(settings), expected, atol=1e-9)


def test_a_remembered_spectrogram_is_the_same_and_belongs_to_whom_asked() -> None:
    sound = np.random.default_rng(0).standard_normal(8000)
    settings = LogmelSettings(n_mels=64)
    for given in (None, settings):
        for _ in range(2):
            found = remembered_logmel(sound, given)
            assert np.array_equal(found, logmel(sound.astype(np.float32), given))
            found[:] = 0
    assert np.array_equal(remembered_logmel(sound[::2]), logmel(sound[::2].astype(np.float32)))
