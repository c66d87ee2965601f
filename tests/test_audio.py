"""Reading, checking, resampling and writing audio."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asdbench import UserError, audio


def tone(frequency: float, rate: int, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(num_samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (num_samples, channels))
    return samples[:, 0] if channels == 1 else samples


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


# --- resampling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (16000, 48000), (8000, 16000), (22050, 16000)]
)
@pytest.mark.parametrize("frequency", [50.0, 440.0, 3000.0])
def test_a_resampled_sine_is_the_sine_sampled_at_the_new_rate(from_rate: int, to_rate: int, frequency: float) -> None:
    resampled = audio.resample(tone(frequency, from_rate, 1.0), from_rate, to_rate)
    expected = tone(frequency, to_rate, 1.0)
    assert resampled.dtype == np.float32
    assert len(resampled) == len(expected) == to_rate
    middle = slice(to_rate // 8, -to_rate // 8)  # the filter rings where the tone starts and ends
    np.testing.assert_allclose(resampled[middle], expected[middle], atol=1e-3)
    assert rms(resampled[middle]) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)


def test_what_lies_above_the_new_band_is_removed() -> None:
    resampled = audio.resample(tone(11000, 48000, 1.0), 48000, 16000)
    assert rms(resampled[2000:-2000]) < 1e-4


def test_equal_rates_change_nothing() -> None:
    waveform = noise(1000).astype(np.float32)
    assert audio.resample(waveform, 16000, 16000) is waveform


# --- writing and reading ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=50), st.sampled_from([8000, 16000, 44100]))
def test_sixteen_bit_samples_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], rate: int
) -> None:
    path = tmp_path_factory.mktemp("round") / "clip.wav"
    waveform = np.array(values, dtype=np.float32) / 32768
    audio.write(path, waveform, rate)
    np.testing.assert_array_equal(audio.read(path), waveform)
    assert soundfile.info(path).samplerate == rate
    assert soundfile.info(path).subtype == "PCM_16"


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    audio.write(path, np.array([2.0, -2.0, 1.0, -1.0, 0.5]), 16000)
    np.testing.assert_allclose(audio.read(path), [32767 / 32768, -1, 32767 / 32768, -1, 0.5], atol=1e-6)


def test_float_files_keep_what_pcm_would_clip(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    audio.write(path, np.array([2.0, -2.0, 0.1]), 16000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path), np.array([2.0, -2.0, 0.1], dtype=np.float32))


@pytest.mark.parametrize("channels", [2, 8])
def test_channels(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "multi.wav"
    soundfile.write(path, noise(4000, channels), 16000)
    whole, _ = soundfile.read(path, dtype="float32")
    for channel in range(channels):
        np.testing.assert_array_equal(audio.read(path, channel=channel), whole[:, channel])
    np.testing.assert_allclose(audio.read(path, channel="mean"), whole.mean(axis=1), atol=1e-7)
    assert audio.read(path, channel=1).flags.c_contiguous
    with pytest.raises(UserError, match=rf"multi\.wav: channel {channels} was asked for, but the file has {channels} "):
        audio.read(path, channel=channels)


def test_reading_at_another_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(440, 48000, 0.5), 48000, subtype="FLOAT")
    assert len(audio.read(path)) == 24000
    np.testing.assert_array_equal(audio.read(path, 16000), audio.resample(tone(440, 48000, 0.5), 48000, 16000))


# --- content hashes ---------------------------------------------------------------------------------------------------


def test_equal_audio_has_an_equal_hash_whatever_the_container(tmp_path: Path) -> None:
    values = (noise(8000, 2) * 32768).astype(np.int16)
    for name in ("a.wav", "b.flac", "c.aiff"):
        soundfile.write(tmp_path / name, values, 16000, subtype="PCM_16")
    soundfile.write(tmp_path / "d.wav", values.astype(np.float32) / 32768, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "e.wav", values.astype(np.int32) << 16, 16000, subtype="PCM_24")
    infos = [audio.inspect(tmp_path / name) for name in ("a.wav", "b.flac", "c.aiff", "d.wav", "e.wav")]
    assert len({info.content_hash for info in infos}) == 1
    assert {(info.sample_rate, info.channels, info.num_samples, info.problem) for info in infos} == {
        (16000, 2, 8000, "")
    }


def test_any_difference_changes_the_hash(tmp_path: Path) -> None:
    values = (noise(8000) * 32768).astype(np.int16)
    one_off = values.copy()
    one_off[4000] ^= 1
    variants = {
        "same.wav": (values, 16000),
        "sample.wav": (one_off, 16000),
        "rate.wav": (values, 16001),
        "shorter.wav": (values[:-1], 16000),
        "stereo.wav": (np.stack([values, values], axis=1), 16000),
        "reshaped.wav": (values.reshape(-1, 2), 16000),
    }
    for name, (samples, rate) in variants.items():
        soundfile.write(tmp_path / name, samples, rate)
    assert len({audio.inspect(tmp_path / name).content_hash for name in variants}) == len(variants)


def test_headers_do_not_count(tmp_path: Path) -> None:
    values = (noise(8000) * 32768).astype(np.int16)
    soundfile.write(tmp_path / "plain.wav", values, 16000)
    with soundfile.SoundFile(tmp_path / "titled.wav", "w", 16000, 1, "PCM_16") as file:
        file.title = "a title"
        file.write(values)
    assert (tmp_path / "plain.wav").read_bytes() != (tmp_path / "titled.wav").read_bytes()
    titled = audio.inspect(tmp_path / "titled.wav")
    assert titled.problem == ""
    assert titled.content_hash == audio.inspect(tmp_path / "plain.wav").content_hash


# --- files that cannot be used ----------------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.wav"
    soundfile.write(path, noise(8000), 16000)
    return path


def refuses(path: Path, message: str) -> None:
    """Both the pass over the data and a later read must say the same."""
    assert message in audio.inspect(path).problem
    with pytest.raises(UserError) as error:
        audio.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_good_file_has_no_problem(good: Path) -> None:
    assert audio.inspect(good).problem == ""


def test_missing_file(tmp_path: Path) -> None:
    refuses(tmp_path / "none.wav", "the file does not exist")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    refuses(tmp_path / "empty.wav", "the file is empty (0 bytes)")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    refuses(tmp_path / "folder.wav", "the file cannot be ")


@pytest.mark.parametrize(
    "content", [b"not audio, whatever its name says", b"\0" * 1000, b"RIFF", b"RIFF\x00\x01\x00\x00WAVE"]
)
def test_unreadable_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    refuses(tmp_path / "bad.wav", "the file cannot be read as audio (")


@pytest.mark.parametrize("kept", [12, 20, 30, 40])
def test_a_header_that_is_cut_off(good: Path, kept: int) -> None:
    good.write_bytes(good.read_bytes()[:kept])
    info = audio.inspect(good)
    assert info.problem
    with pytest.raises(UserError, match=r"good\.wav: "):
        audio.read(good)


@pytest.mark.parametrize("missing", [161, 999, 15000])
def test_truncated_wav(good: Path, missing: int) -> None:
    good.write_bytes(good.read_bytes()[:-missing])
    refuses(good, f"the file is truncated ({missing} bytes are missing)")


def test_truncated_wav_with_other_chunks_before_the_data(good: Path) -> None:
    content = good.read_bytes()
    at = content.index(b"data")
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"  # chunks of odd length are padded
    good.write_bytes(content[:at] + odd + content[at:-300])
    refuses(good, "the file is truncated (300 bytes are missing)")


def with_lengths(path: Path, riff: int | None, data: int, order: str = "<") -> None:
    """Write other lengths into the header of a WAV file."""
    content = bytearray(path.read_bytes())
    at = content.index(b"data")
    content[4:8] = struct.pack(f"{order}I", len(content) - 8 if riff is None else riff)
    content[at + 4 : at + 8] = struct.pack(f"{order}I", data)
    path.write_bytes(content)


WRONG_LENGTHS = {
    "sox to a pipe": (0x7FFFF024, 0x7FFFF000),
    "arecord to a pipe": (0x7FFFFFE4, 0x7FFFFFC0),
    "ffmpeg to a pipe": (0xFFFFFFFF, 0xFFFFFFFF),
    "a recorder that lost power": (0, 0),
    "a recorder that lost power, with a length of the whole": (None, 0),
    "a recorder that lost power, with a length of before": (None, 8000),
    "firmware that counts 16 bytes too many": (None, 16016),
    "firmware that counts 44 bytes too many": (None, 16044),
}


@pytest.mark.parametrize("lengths", WRONG_LENGTHS.values(), ids=WRONG_LENGTHS)
def test_a_wrong_length_in_the_header_is_noticed_and_the_file_read_to_its_end(good: Path, lengths) -> None:
    right, whole = audio.inspect(good), audio.read(good)
    assert not right.has_wrong_length
    with_lengths(good, *lengths)
    assert audio.inspect(good) == replace(right, has_wrong_length=True)
    np.testing.assert_array_equal(audio.read(good), whole)
    np.testing.assert_array_equal(audio.read(f"{good}#t=0.1,0.4"), whole[1600:6400])


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_length_zero_is_mended_whatever_the_samples_are(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(8000, 2), 48000, subtype=subtype)
    right = audio.inspect(path)
    with_lengths(path, 0, 0)
    assert audio.inspect(path) == replace(right, has_wrong_length=True)


@pytest.mark.parametrize("length", [bytes(8), b"\xff" * 8])
def test_unknown_lengths_in_rf64(tmp_path: Path, length: bytes) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(8000), 16000, format="RF64", subtype="PCM_16")
    right = audio.inspect(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"ds64")
    content[at + 16 : at + 24] = length
    path.write_bytes(content)
    assert audio.inspect(path) == replace(right, has_wrong_length=True)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(16000, 1, "PCM_16"), (44100, 2, "PCM_24"), (12345, 3, "PCM_S8")]
)
@pytest.mark.parametrize("num_samples", [8192, 160001, 1000003])
def test_a_flac_from_a_pipe_is_read_to_its_end(tmp_path: Path, rate, channels, subtype, num_samples) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(num_samples, channels), rate, subtype=subtype)
    right, whole = audio.inspect(path), audio.read(path)
    content = bytearray(path.read_bytes())
    content[21], content[22:26] = content[21] & 0xF0, bytes(4)
    path.write_bytes(content)
    assert audio.inspect(path) == replace(right, has_wrong_length=True)
    np.testing.assert_array_equal(audio.read(path), whole)
    assert audio.duration(path) == num_samples / rate
    path.write_bytes(content[:-100])
    assert audio.inspect(path).problem == "the header does not say how long the audio is"
    assert audio.duration(path) is None


@pytest.mark.parametrize("end", [b"LIST" + struct.pack("<I", 1000) + bytes(1000), bytes(9000), b"TAG" + b"x" * 125])
def test_what_stands_after_the_audio_is_not_heard(good: Path, end: bytes) -> None:
    right = audio.inspect(good)
    good.write_bytes(good.read_bytes() + end)
    assert audio.inspect(good) == right


def test_an_empty_wav_with_other_chunks_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(0), 16000)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert audio.inspect(path).problem == "the clip holds no samples"
    assert not audio.inspect(path).has_wrong_length


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    minute = noise(16000 * 60).astype(np.float32)
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        for _ in range(10):
            file.write(minute)
    tracemalloc.start()
    assert audio.inspect(path).num_samples == 16000 * 600
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < minute.nbytes * 2


# --- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "usable"), [(1, False), (999, False), (1000, True), (768000, True), (768001, False)])
def test_rates_that_no_recording_has_are_refused_with_both_rates(tmp_path: Path, rate: int, usable: bool) -> None:
    path = tmp_path / "log.wav"
    soundfile.write(path, noise(200000), rate)
    message = f"the file has a sample rate of {rate} Hz and cannot be read at 16000 Hz; expected 1000 to 768000 Hz"
    assert audio.inspect(path).problem_of(0, 16000) == ("" if usable else message)
    if not usable:
        with pytest.raises(UserError, match=f"log.wav: {message}"):
            audio.read(path, 16000)


# --- compressed files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "how"), [("a.mp3", {}), ("a.opus", {"format": "OGG", "subtype": "OPUS"})])
def test_compressed_recordings_are_read(tmp_path: Path, name: str, how: dict[str, str]) -> None:
    waveform = tone(440, 16000, 1.0, 0.3) + 0.01 * noise(16000).astype(np.float32)
    soundfile.write(tmp_path / name, waveform, 16000, **how)
    assert name.endswith(audio.AUDIO_SUFFIXES)
    info = audio.inspect(tmp_path / name)
    assert (info.problem, info.num_samples, info.sample_rate) == ("", 16000, 16000)
    assert np.corrcoef(audio.read(tmp_path / name), waveform)[0, 1] > 0.98


# --- parts of recordings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_part_is_what_the_whole_has_there(tmp_path: Path, rate: int, channels: int, suffix: str) -> None:
    path = tmp_path / f"long{suffix}"
    soundfile.write(path, noise(rate * 3, channels), rate)
    whole = audio.read(path, channel="mean")
    part = f"{path}#t=0.5,1.75"
    np.testing.assert_array_equal(audio.read(part, channel="mean"), whole[rate // 2 : rate // 2 + rate * 5 // 4])
    soundfile.write(tmp_path / f"cut{suffix}", soundfile.read(path)[0][rate // 2 : rate // 2 + rate * 5 // 4], rate)
    assert audio.inspect(part) == audio.inspect(tmp_path / f"cut{suffix}")


def test_a_part_beyond_the_end_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", noise(16000), 16000)
    refuses(Path(f"{tmp_path / 'long.wav'}#t=0.5,1.5"), "the recording ends after 1.000 s")
    refuses(Path(f"{tmp_path / 'long.wav'}#t=3,4"), "the recording ends after 1.000 s")


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_truncated_flac(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(32000), 16000)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    refuses(path, "the file cannot be read as audio (")


@pytest.mark.parametrize("samples", [np.zeros(8000), np.full(8000, 0.25), np.zeros((8000, 2))])
def test_silent_clip(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "silent.wav", samples, 16000)
    assert "the clip is silent" in audio.inspect(tmp_path / "silent.wav").problem


def test_a_clip_with_one_live_channel_is_not_silent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", np.stack([noise(8000), np.zeros(8000)], axis=1), 16000)
    assert audio.inspect(tmp_path / "clip.wav").problem == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    samples = noise(8000)
    samples[5000] = value
    soundfile.write(tmp_path / "clip.wav", samples, 16000, subtype="FLOAT")
    assert audio.inspect(tmp_path / "clip.wav").problem == "the clip holds NaN or infinite samples"


@pytest.mark.parametrize(("rate", "enough"), [(8000, 1600), (16000, 3200), (44100, 8820)])
def test_too_short(tmp_path: Path, rate: int, enough: int) -> None:
    soundfile.write(tmp_path / "enough.wav", noise(enough), rate)
    soundfile.write(tmp_path / "short.wav", noise(enough - 1), rate)
    assert audio.inspect(tmp_path / "enough.wav").problem == ""
    assert "the clip is too short (0.200 s, at least 0.2 s" in audio.inspect(tmp_path / "short.wav").problem


def test_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert audio.inspect(tmp_path / "none.wav").problem == "the clip holds no samples"


def test_a_negative_channel_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "multi.wav", noise(4000, 2), 16000)
    with pytest.raises(UserError, match="channel -1 was asked for"):
        audio.read(tmp_path / "multi.wav", channel=-1)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("AIFF", "PCM_16"), ("RF64", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("OGG", "VORBIS")],
)
def test_truncated_files_of_other_containers(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "clip"
    noise = np.random.default_rng(0).standard_normal(16000) * 0.1
    soundfile.write(path, noise, 16000, format=container, subtype=subtype)
    assert audio.inspect(path).problem == ""
    path.write_bytes(path.read_bytes()[:-1000])
    refuses(path, "truncated")


def test_a_silent_channel_matters_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dead_microphone.wav"
    samples = np.random.default_rng(0).standard_normal((8000, 3)) * 0.1
    samples[:, 1] = 0
    soundfile.write(path, samples, 16000)
    info = audio.inspect(path)
    assert info.silent_channels == (1,)
    assert info.problem_of(0) == info.problem_of("mean") == ""
    assert info.problem_of(1) == "channel 1 is silent (every sample is the same)"
    assert "channel 3 was asked for, but the file has 3" in info.problem_of(3)
