from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from asdbench import ClipSet, UserError
from asdbench.generators.mimii_gen.latents.cache import LatentCache
from asdbench.generators.mimii_gen.latents.codec import Codec

MakePool = Callable[..., ClipSet]


@pytest.fixture
def codec(tiny_codec: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """Counts what it encodes in ``encoded``."""
    codec: Any = Codec.load(str(tiny_codec), 9.6)
    codec.encoded = 0
    encode = codec.encode

    def counting(waveforms: torch.Tensor) -> torch.Tensor:
        codec.encoded += len(waveforms)
        return encode(waveforms)

    monkeypatch.setattr(codec, "encode", counting)
    return codec


def _direct(codec: Codec, clips: ClipSet, index: int) -> torch.Tensor:
    """Codes without a cache, shape (1, K, T)."""
    rate = clips.sample_rate or int(clips.frame["sample_rate"].iloc[index])
    return Codec.encode(codec, torch.from_numpy(codec.resample(clips.waveform(index), rate))[None])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_latents_from_the_cache_are_those_of_the_encoder(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    clips = make_pool([{}] * 4)  # of unequal lengths
    cache = LatentCache(tmp_path / "cache", codec)
    cache.add(clips)
    again = LatentCache(tmp_path / "cache", codec)
    again.add(clips)
    assert codec.encoded == 4  # type: ignore[attr-defined]
    for index, content in enumerate(clips.frame["content_hash"]):
        codes = again.codes(content)
        expected = _direct(codec, clips, index)
        assert codes.dtype == np.uint16 and codes.shape == expected.shape[1:]
        latents = codec.latents(torch.from_numpy(codes.astype(np.int64))[None])
        assert torch.equal(latents, codec.latents(expected))
        assert again.num_samples(content) == clips.frame["num_samples"].iloc[index]
        assert cache.path(content).parent.name == content[:2]


def test_codes_above_32767_come_back(make_pool: MakePool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16000, target_bandwidths=[0.8], num_filters=2, codebook_size=2**16, hidden_size=4
    )
    model = EncodecModel(config)
    book = model.quantizer.layers[0].codebook.embed
    clips = make_pool([{}])
    with torch.no_grad():
        frames = model.eval().encoder(torch.from_numpy(clips.waveform(0))[None, None])[0].T
    book.fill_(1e3)
    book[2**16 - len(frames) :] = frames  # each frame is a codeword, the last 25
    codec = Codec(model, None)
    cache = LatentCache(tmp_path / "cache", codec)
    cache.add(clips)
    codes = cache.codes(clips.frame["content_hash"][0])
    assert codes.shape == (1, 25) and codes.min() > 2**15
    assert torch.equal(torch.from_numpy(codes.astype(np.int64))[None], _direct(codec, clips, 0))


def test_clips_are_resampled_to_the_rate_of_the_codec(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    clips = make_pool([{}, {}], sample_rate=48000)
    content = clips.frame["content_hash"][1]
    folders = set()
    for rate in (None, 48000, 8000):
        read = ClipSet(clips.frame, rate)
        cache = LatentCache(tmp_path / "cache", codec)
        cache.add(read)
        folders.add(cache.path(content).parents[1].name)
        assert cache.num_samples(content) == len(codec.resample(read.waveform(1), rate or 48000))
        expected = _direct(codec, read, 1)[0].numpy()
        assert np.array_equal(cache.codes(content), expected)
    assert len(folders) == 3 and all(name.startswith(codec.identity) for name in folders)
    with pytest.raises(UserError, match=r"\(sample rate, channel\) \(8000, 0\)"):
        cache.add(ClipSet(clips.frame, 16000))


def test_equal_audio_is_encoded_once(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool([{}, {}])
    twice = ClipSet.concat([pool, pool.select([1, 0, 1])])
    seen: list[tuple[int, int]] = []
    LatentCache(tmp_path / "cache", codec).add(twice, progress=lambda done, total: seen.append((done, total)))
    assert codec.encoded == 2  # type: ignore[attr-defined]
    assert len(_files(tmp_path / "cache")) == 2
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_codes_do_not_depend_on_what_else_is_encoded(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    clips = make_pool([{}] * 3)
    forwards, alone = LatentCache(tmp_path / "a", codec), LatentCache(tmp_path / "b", codec)
    forwards.add(clips)
    alone.add(clips.select([2]))
    content = clips.frame["content_hash"][2]
    assert forwards.path(content).read_bytes() == alone.path(content).read_bytes()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_truncate, _empty, _flip, Path.unlink])
def test_damaged_files_are_made_anew(
    codec: Codec, make_pool: MakePool, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    clips = make_pool([{}, {}])
    cache = LatentCache(tmp_path / "cache", codec)
    cache.add(clips)
    content = clips.frame["content_hash"][0]
    before = cache.path(content).read_bytes()
    damage(cache.path(content))
    with pytest.raises(UserError, match=f"{content}.safetensors: .*expected a clip that was added"):
        cache.codes(content)
    cache.add(clips)
    assert cache.path(content).read_bytes() == before
    assert codec.encoded == 3  # type: ignore[attr-defined]


def test_files_of_another_codec_do_not_count(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    clips = make_pool([{}])
    content = clips.frame["content_hash"][0]
    cache = LatentCache(tmp_path / "cache", codec)
    cache.add(clips)
    coarse = LatentCache(tmp_path / "cache", Codec(codec.model, 2.4))
    coarse.add(clips)
    assert coarse.codes(content).shape[0] == 8 and cache.codes(content).shape[0] == 32
    cache.path(content).write_bytes(coarse.path(content).read_bytes())
    with pytest.raises(UserError, match="the file of codes is damaged"):
        cache.codes(content)


def test_a_writer_that_is_stopped_leaves_no_half_file(
    codec: Codec, make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = make_pool([{}])
    cache = LatentCache(tmp_path / "cache", codec)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            cache.add(clips)
    assert _files(tmp_path / "cache") == []
    cache.add(clips)
    assert [path.name for path in _files(tmp_path / "cache")] == [f"{clips.frame['content_hash'][0]}.safetensors"]
    assert os.path.getsize(cache.path(clips.frame["content_hash"][0])) < 2 * 32 * 25 + 300


def test_clips_that_were_not_added_are_refused(codec: Codec, make_pool: MakePool, tmp_path: Path) -> None:
    cache = LatentCache(tmp_path / "cache", codec)
    with pytest.raises(ValueError, match="no clips were added"):
        cache.codes("00")
    clips = make_pool([{}])
    cache.add(clips)
    with pytest.raises(UserError, match="there are no codes of this clip"):
        cache.codes("0" * 32)
    Path(clips.file(0)).unlink()
    with pytest.raises(UserError, match="the file does not exist"):
        LatentCache(tmp_path / "other", codec).add(clips)
