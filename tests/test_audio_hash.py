"""The hash of the audio as it is read, and where it stands in for the hash of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import asdbench
from asdbench import ClipSet, GeneratedClip, Generator, UserError, audio, plugins
from asdbench.audio_hash import audio_hash
from asdbench.exposure import refuse_leaks
from asdbench.roles import assign_roles
from asdbench.spec import Holdout
from asdbench.store import Store
from asdbench.testing import example_clips


def noise(seed: int, samples: int = 8000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (samples, channels)).astype(np.float32)


def hash_of(path: Path, rate: int | None = 16000, channel: Any = 0) -> str:
    return audio_hash(str(path), audio.inspect(path), rate, channel)


def test_the_hash_is_that_of_the_mono_file_with_the_audio_that_is_read(tmp_path: Path) -> None:
    eight = noise(0, 24000, 8)
    soundfile.write(tmp_path / "eight.wav", eight, 48000, subtype="FLOAT")
    for channel in (0, 3, "mean"):
        mono = audio.read(tmp_path / "eight.wav", 16000, channel)
        soundfile.write(tmp_path / "mono.wav", mono, 16000, subtype="FLOAT")
        expected = audio.inspect(tmp_path / "mono.wav").content_hash
        assert hash_of(tmp_path / "eight.wav", 16000, channel) == expected == hash_of(tmp_path / "mono.wav")
    assert hash_of(tmp_path / "eight.wav", None, 0) != hash_of(tmp_path / "eight.wav", 16000, 0)
    assert hash_of(tmp_path / "eight.wav", 16000, 0) != hash_of(tmp_path / "eight.wav", 16000, 1)
    assert hash_of(tmp_path / "mono.wav") == hash_of(tmp_path / "mono.wav", None)


def test_clip_sets_have_the_hash_and_tables_of_before_too(tmp_path: Path) -> None:
    clips = example_clips(tmp_path, 2, 1, "test")
    assert list(clips.frame["audio_hash"]) == list(clips.frame["content_hash"])
    older = clips.frame.drop(columns="audio_hash")
    assert list(ClipSet(older, 16000).frame["audio_hash"]) == list(clips.frame["content_hash"])
    assert set(ClipSet(older, 8000).frame["audio_hash"]) == {""}
    assert ClipSet(older, 16000).content_id() == clips.content_id()
    assert set(clips.without_labels().frame["audio_hash"]) == {""}


def stereo(clips: ClipSet, row: int, path: Path, **labels: str) -> dict[str, Any]:
    """The row of a stereo file whose first channel is a clip."""
    wave = clips.waveform(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([wave, noise(9, len(wave))[:, 0]], axis=1), 16000, subtype="FLOAT")
    told = clips.frame.iloc[row][["machine", "section", "domain", "split", "condition", "attributes"]].to_dict()
    return {**told, "clip_id": path.name, "path": str(path), **labels}


def test_a_recording_that_is_stereo_in_one_role_and_mono_in_the_other_is_refused(tmp_path: Path) -> None:
    clips = ClipSet.concat([example_clips(tmp_path, 12, 0, "train"), example_clips(tmp_path, 10, 8, "test")])
    test = int(np.flatnonzero(assign_roles(clips, Holdout()).test.frame["condition"].notna())[0])
    row = int(
        clips.frame.index[clips.frame["clip_id"] == assign_roles(clips, Holdout()).test.frame["clip_id"][test]][0]
    )
    twin = ClipSet.from_files([stereo(clips, row, tmp_path / "twin.wav", split="train", condition="normal")])
    assert twin.frame["content_hash"][0] != clips.frame["content_hash"][row] == twin.frame["audio_hash"][0]
    with pytest.raises(
        UserError, match=r"twin\.wav \(detector training\), the same in the channel .* that are read; rem"
    ):
        assign_roles(ClipSet.concat([clips, twin]), Holdout())


def test_a_model_that_has_learnt_a_test_clip_in_another_file_is_refused(tmp_path: Path) -> None:
    clips = ClipSet.concat([example_clips(tmp_path, 12, 0, "train"), example_clips(tmp_path, 10, 8, "test")])
    roles = assign_roles(clips, Holdout())
    twin = ClipSet.from_files([stereo(roles.test, 0, tmp_path / "twin.wav")])
    columns = ["clip_id", "machine", "condition", "content_hash", "audio_hash"]
    with pytest.raises(UserError, match=r"1 of the 9 clips that this benchmark tests on.*\(to the model twin\.wav\)"):
        refuse_leaks(twin.frame[columns], clips, roles, "same-machine")
    older = twin.frame[columns].drop(columns="audio_hash")  # knows its clips by the whole file only
    refuse_leaks(older, clips, roles, "same-machine")
    # The benchmark has the stereo file, an older model learnt from the mono one.
    row = int(roles.test.frame.index[0])
    other = ClipSet.concat([roles.test.select(np.arange(len(roles.test)) != row), twin])
    swapped = type(roles)(fit=roles.fit, test=other, pool=roles.pool)
    mono = roles.test.select([row]).frame[columns].drop(columns="audio_hash")
    with pytest.raises(UserError, match="1 of the 9 clips that this benchmark tests on"):
        refuse_leaks(mono, clips, swapped, "same-machine")
    hidden = twin.frame[columns].assign(condition="normal", machine="other")
    refuse_leaks(hidden, roles.fit, type(roles)(roles.fit, roles.fit, roles.pool), "none")
    anomalous = ClipSet.from_files([stereo(roles.pool.where(condition="anomaly"), 0, tmp_path / "hidden.wav")])
    told = anomalous.frame[columns].assign(condition="normal")
    with pytest.raises(UserError, match="has learnt from 1 anomalous clips"):
        refuse_leaks(told, clips, roles, "none")


def test_the_store_remembers_hashes_of_files_that_are_not_read_as_they_are(tmp_path: Path, monkeypatch: Any) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    paths = []
    for index, channels in enumerate((1, 2, 2)):
        paths.append(str(tmp_path / f"{index}.wav"))
        soundfile.write(paths[-1], noise(index, channels=channels), 16000, subtype="FLOAT")
    infos = store.inspect_files(paths)
    first = store.audio_hashes(paths, infos, 16000, 0)
    assert first == [audio_hash(path, info, 16000, 0) for path, info in zip(paths, infos, strict=True)]
    read = []
    monkeypatch.setattr("asdbench.audio_hash.read", lambda path, *how: read.append(path) or audio.read(path, *how))
    assert store.audio_hashes(paths, infos, 16000, 0) == first
    assert read == []
    assert store.audio_hashes(paths, infos, 16000, 1)[1] != first[1]
    assert sorted(read) == paths[1:]
    read.clear()
    soundfile.write(paths[2], noise(7, channels=2), 16000, subtype="FLOAT")
    again = store.audio_hashes(paths, store.inspect_files(paths), 16000, 0)
    assert read == paths[2:]
    assert again[:2] == first[:2] and again[2] != first[2]


@pytest.mark.parametrize("kind", ["test", "train"])
def test_a_generator_that_gives_out_what_is_read_of_a_stereo_file_is_refused(tmp_path: Path, kind: str) -> None:
    rows = []
    for split, condition, count in (("train", "normal", 8), ("test", "normal", 6), ("test", "anomaly", 6)):
        for index in range(count):
            path = tmp_path / "data" / "fan" / split / f"section_00_source_{split}_{condition}_{index:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise(len(rows), 24000, 2), 48000)
            rows.append(path)

    @plugins.generator("reader_of_stereo")
    class Reader(Generator):
        """Gives out recordings that it should not know."""

        def generate(self, request: Any) -> Any:
            known = {one["path"] for one in request.pool.frame.to_dict("records")}
            files = [str(path) for path in rows if path.parent.name == kind and str(path) not in known]
            for index in range(len(request.rows)):
                yield GeneratedClip(audio.read(files[index], 16000), {"file": index})

    spec = {
        "name": "stereo",
        "dataset": {"use": "dcase", "root": str(tmp_path / "data")},
        "seeds": [0],
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"reader": {"use": "reader_of_stereo"}},
        "embeddings": {},
        "statistics": {"resamples": 100},
    }
    with pytest.raises(UserError, match=r"two roles: .*generated by reader\), the same in the channel and at the rate"):
        asdbench.run(spec, runs=tmp_path / "runs", workers=0)
