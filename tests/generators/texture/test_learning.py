"""Training: equal bytes from equal clips, interruptions, any rate and length, and what cannot be learnt from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from asdbench import ClipSet, Request, UserError
from asdbench.generators.texture import learning
from asdbench.generators.texture.generator import Texture
from asdbench.generators.texture.learning import _common_length
from asdbench.generators.texture.model import TextureModel

Train = Callable[..., Any]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def trained(clips: ClipSet, training: Train, folder: Path, seed: int = 1, **settings: Any) -> Path:
    generator = Texture(**settings)
    generator.seed = seed
    generator.train(training(clips, folder))
    return folder / "out"


def test_a_model_is_all_in_its_folder(model: Path, clips: ClipSet) -> None:
    names = {path.name for path in model.iterdir()}
    assert names == {
        "README.md",
        "events.safetensors",
        "fingerprints.safetensors",
        "levels.safetensors",
        "texture.json",
        "training_clips.csv",
        "training_clips.json",
    }
    card = (model / "README.md").read_text()
    for word in (
        "closed-form",
        "no neural network",
        "same-machine",
        "| valve | 1 s | comes and goes",
        "512, of 15.62 Hz",
    ):
        assert word in card
    record = Texture(checkpoint=str(model)).learnt_from(None)
    assert record is not None
    assert list(record["content_hash"]) == list(clips.frame["content_hash"])


def test_the_same_clips_and_seed_give_the_same_bytes(
    model: Path, clips: ClipSet, training: Train, tmp_path: Path
) -> None:
    with threadpool_limits(limits=1):
        trained(clips, training, tmp_path / "again")
    assert files(tmp_path / "again") == files(model.parent)
    trained(clips, training, tmp_path / "other", seed=2)
    assert files(tmp_path / "other")["levels.safetensors"] != files(model.parent)["levels.safetensors"]


def test_an_interrupted_training_goes_on_and_gives_the_same_bytes(
    model: Path, clips: ClipSet, training: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    analyse, fit_machine = learning.analyse, learning.fit_machine

    def counted(*arguments: Any) -> Any:
        calls.append("analyse")
        return analyse(*arguments)

    def stopped(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    def fitted(*arguments: Any) -> Any:
        calls.append("events")
        return fit_machine(*arguments)

    monkeypatch.setattr(learning, "analyse", counted)
    monkeypatch.setattr(learning, "fit_machine", stopped)
    with pytest.raises(KeyboardInterrupt):
        trained(clips, training, tmp_path)
    assert calls == ["analyse", "analyse"]
    monkeypatch.setattr(learning, "fit_machine", fitted)
    trained(clips, training, tmp_path)
    assert calls == ["analyse", "analyse", "events"]  # what was analysed before is kept
    assert files(tmp_path) == files(model.parent)
    trained(clips, training, tmp_path)
    assert calls == ["analyse", "analyse", "events"]
    assert files(tmp_path) == files(model.parent)


def test_progress_is_reported(clips: ClipSet, training: Train, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    generator = Texture()
    generator.train(training(clips, tmp_path, progress=lambda done, total, note: seen.append((done, total, note))))
    assert {note for _, _, note in seen} == {"clips analysed", "events of valve"}
    for note in ("clips analysed", "events of valve"):
        done = [done for done, _, one in seen if one == note]
        assert done == sorted(done)
    assert (len(clips), len(clips), "clips analysed") in seen


def written(folder: Path, lengths: list[int], rate: int, **labels: Any) -> ClipSet:
    """Noise that is loud for a tenth of the time, of some lengths in samples."""
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, length in enumerate(lengths):
        random = np.random.default_rng(number)
        time = np.arange(length) / rate
        loud = (time + random.random()) % 0.5 < 0.05
        path = folder / f"{number}.wav"
        soundfile.write(path, 0.01 * random.standard_normal(length) * (1 + 9 * loud), rate, subtype="FLOAT")
        row = {"clip_id": f"{number}.wav", "path": str(path), "machine": "drum", "section": "00", "domain": "unknown"}
        rows.append(row | {"split": "train", "condition": "normal", "attributes": {}} | labels)
    return ClipSet.from_files(rows, rate)


def generated(folder: Path, rate: int, count: int = 4) -> list[np.ndarray]:
    row = {"machine": "drum", "section": "00", "domain": "unknown", "condition": "normal", "attributes": {}}
    rows = pd.DataFrame([{"clip_id": str(number), **row} for number in range(count)])
    request = Request(rows, ClipSet.from_files([], rate), rate)
    return [np.asarray(clip.waveform) for clip in Texture(checkpoint=str(folder)).generate(request)]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_any_rate_and_lengths_of_any_sort(training: Train, tmp_path: Path, rate: int) -> None:
    lengths = [round(rate * seconds) for seconds in (1.0, 1.3, 1.31, 1.7, 2.0, 2.0)]
    clips = written(tmp_path / "clips", lengths, rate)
    out = tmp_path / "out"
    Texture().train(training(clips, tmp_path, exposure="none"))
    model = TextureModel.load(out)
    assert model.transform.sample_rate == rate
    assert dict(model.num_samples) == {"drum": lengths[-1]}
    assert model.events is not None and model.events.names == [("drum", "normal")]
    for wave in generated(out, rate):
        assert len(wave) == lengths[-1]
        power = np.square(wave[: rate // 100 * 200].reshape(200, -1)).mean(axis=1)
        assert (power > 10 * np.median(power)).mean() == pytest.approx(0.1, abs=0.08)


def test_clips_are_cut_to_the_length_of_which_most_is_had() -> None:
    assert _common_length([[10, 10, 10, 9]]) == 9
    assert _common_length([[10] * 9 + [1]]) == 10
    assert _common_length([[10] * 9, [4, 5]]) == 5  # some clips of each kind have it
    assert _common_length([[7]]) == 7


def test_each_at_its_own_rate_is_read_at_that_of_most(training: Train, tmp_path: Path) -> None:
    parts = [
        written(tmp_path / str(rate), [2 * rate] * count, rate, domain=domain)
        for rate, count, domain in ((8000, 4, "source"), (16000, 5, "target"))
    ]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    frame["clip_id"] = [f"{number}" for number in range(len(frame))]
    Texture().train(training(ClipSet(frame, None), tmp_path, exposure="none"))
    assert TextureModel.load(tmp_path / "out").transform.sample_rate == 16000


def test_bands_are_those_that_are_asked_for(clips: ClipSet, training: Train, tmp_path: Path) -> None:
    model = TextureModel.load(trained(clips, training, tmp_path, bands=256))
    assert model.transform.bands == 256 and model.levels.bands == 256


def test_anomalies_without_faults_are_learnt_from(clips: ClipSet, training: Train, tmp_path: Path) -> None:
    frame = clips.frame.assign(provenance=[None] * len(clips), attributes=[{}] * len(clips))
    out = trained(ClipSet(frame, 16000), training, tmp_path)
    rows = frame[frame["condition"] == "anomaly"].drop(columns="provenance")
    made = list(Texture(checkpoint=str(out)).generate(Request(rows, clips, 16000)))
    assert len(made) == len(rows) and all(clip.provenance["fault"] is None for clip in made)


@pytest.mark.parametrize("exposure", ["none", "other-machines"])
def test_machines_without_anomalies_are_learnt_from(
    clips: ClipSet, training: Train, tmp_path: Path, exposure: str
) -> None:
    chosen = [
        row.condition == "normal" or (exposure != "none" and row.machine == "fan") for row in clips.frame.itertuples()
    ]
    Texture().train(training(clips.select(np.flatnonzero(chosen)), tmp_path, exposure=exposure))
    names = TextureModel.load(tmp_path / "out").levels.names
    assert (("fan", "anomalous") in names) is (exposure != "none")


def test_what_cannot_be_learnt_from_is_said(clips: ClipSet, training: Train, tmp_path: Path) -> None:
    normal = clips.where(condition="normal")
    with pytest.raises(UserError, match=r"there are no clips to learn from; 'holdout' in the spec"):
        Texture().train(training(clips.select([]), tmp_path))
    with pytest.raises(UserError, match=r"there are no anomalous clips to learn from \(16 normal ones were found\)"):
        Texture().train(training(normal, tmp_path))
    with pytest.raises(UserError, match=r"0 normal clips of machine 'fan' to learn from, expected 4 or more"):
        Texture().train(training(clips.where(condition="anomaly"), tmp_path))
    few = ClipSet.concat([normal, clips.where(condition="anomaly", machine="fan").select([0, 1])])
    with pytest.raises(UserError, match=r"2 anomalous clips of machine 'fan' .*, expected none or 4 or more"):
        Texture().train(training(few, tmp_path, exposure="other-machines"))
    short = written(tmp_path / "short", [16000] * 4 + [3300], 16000)
    with pytest.raises(UserError, match=r"4\.wav: the clip lasts 0\.206 s, expected at least 0\.32 s to learn"):
        Texture(bands=1024).train(training(short, tmp_path, exposure="none"))


def test_clips_of_unknown_condition_are_left_out(
    clips: ClipSet, training: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = clips.frame.copy()
    frame.loc[frame.index[:2], "condition"] = "unknown"
    out = trained(ClipSet(frame, 16000), training, tmp_path)
    record = Texture(checkpoint=str(out)).learnt_from(None)
    assert record is not None and len(record) == len(clips) - 2
    assert f"texture: 2 of {len(clips)} clips are left out" in capsys.readouterr().err
