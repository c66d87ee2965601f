"""The generator with a compact codec, trained on simulated clips: `codec: compact`, and a codec trained before."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from asdbench import ClipSet, Request, Training, UserError, plugins
from asdbench.exposure import refuse_leaks
from asdbench.generators.mimii_gen import codec_choice
from asdbench.generators.mimii_gen.codec_training.part import CodecPart
from asdbench.generators.mimii_gen.compact.codec import CompactCodec
from asdbench.generators.mimii_gen.compact.settings import CompactSettings
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.pipeline import load_pipeline

SMALL = {"bands": 32, "clip_dim": 6, "frame_dim": 4, "width": 16, "seconds": 0.512, "batch_size": 8}


@pytest.fixture(autouse=True)
def _small_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_choice, "CompactSettings", partial(CompactSettings, **SMALL))


def settings(**others: Any) -> dict[str, Any]:
    small = {
        "codec": "compact",
        "codec_steps": 10,
        "clip_steps": 4,
        "text_encoder": "new",
        "train_text_encoder": True,
        "preset": "smoke",
        "weights": "float16",
        "steps": 4,
        "batch_size": 4,
        "save_every": 2,
        "device": "cpu",
    }
    return small | others


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    folder = tmp_path_factory.mktemp("clips")
    dataset = plugins.datasets.get("simulated")(
        train_source=4, train_target=0, test_normal=0, test_anomaly=2, duration=1.0
    )
    tables = [dataset.clips(machine, folder) for machine in ("fan", "slider")]
    return ClipSet.from_files(pd.concat(tables, ignore_index=True), 16000)


def training(clips: ClipSet, folder: Path) -> Training:
    for name in ("out", "work", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Training(clips, folder / "out", folder / "work", folder / "cache")


def train(clips: ClipSet, folder: Path, **others: Any) -> Path:
    generator = MimiiGen(**settings(**others))
    generator.seed = 5
    generator.train(training(clips, folder))
    return folder / "out"


@pytest.fixture(scope="module")
def model(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_choice, "CompactSettings", partial(CompactSettings, **SMALL))
        return train(clips, tmp_path_factory.mktemp("model"))


def rows(count: int = 2, **labels: Any) -> pd.DataFrame:
    label = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly", "attributes": {}}
    return pd.DataFrame([{"clip_id": f"row/{index}", **label, **labels} for index in range(count)])


def made(model: Path, clips: ClipSet, asked: pd.DataFrame, **others: Any) -> Any:
    generator = MimiiGen(**{"checkpoint": str(model), "inference_steps": 3, "device": "cpu"} | others)
    generator.seed = 3
    return list(generator.generate(Request(asked, clips, 16000)))


def test_a_model_is_trained_with_its_codec_and_makes_clips(model: Path, clips: ClipSet) -> None:
    pipeline = load_pipeline(str(model))
    assert CompactCodec(pipeline.codec).identity == pipeline.space.codec  # half precision changes it no more
    assert {each.dtype for each in load_file(next((model / "codec").glob("*.safetensors"))).values()} == {torch.float16}
    first, again = made(model, clips, rows()), made(model, clips, rows())
    for one, other in zip(first, again, strict=True):
        assert one.waveform.shape == (16000,) and np.isfinite(one.waveform).all() and one.waveform.std() > 0
        assert np.array_equal(one.waveform, other.waveform)
    (alone,) = made(model, clips, rows().iloc[[1]])
    assert np.abs(alone.waveform - first[1].waveform).max() < 1e-4 * first[1].waveform.std()


def test_starting_from_a_real_clip_and_the_codec_alone(model: Path, clips: ClipSet) -> None:
    for others in ({"strength": 0.5}, {"reconstruct": True}):
        clip = made(model, clips, rows(1), **others)[0]
        host = clips.frame[clips.frame["clip_id"] == clip.provenance["host"]].iloc[0]
        assert host.machine == "fan" and clip.waveform.shape == (16000,)


def test_a_training_that_is_interrupted_ends_with_the_same_bytes(
    model: Path, clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asdbench.generators.mimii_gen.compact import training as codec_training
    from asdbench.generators.mimii_gen.training import loop

    def interrupt(name: str, step: int, original: Any) -> Any:
        def interrupted(self: Any, *arguments: Any) -> Any:
            if self.now.step == step:
                raise KeyboardInterrupt
            return original(self, *arguments)

        return interrupted

    for kind, name, step in ((codec_training._Training, "_step", 4), (loop._Training, "_gradients", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, interrupt(name, step, getattr(kind, name)))
            with pytest.raises(KeyboardInterrupt):
                train(clips, tmp_path)
    out = train(clips, tmp_path)
    for path in model.rglob("*.safetensors"):
        assert (out / path.relative_to(model)).read_bytes() == path.read_bytes(), path.name


def test_a_codec_that_was_trained_on_these_clips_adds_none_to_the_record(model: Path, clips: ClipSet) -> None:
    assert not (model / "codec_clips.csv").exists()
    known = MimiiGen(checkpoint=str(model)).learnt_from(None)
    assert known is not None and set(known["content_hash"]) == set(clips.frame["content_hash"])


def test_clips_that_the_codec_alone_knows_are_recorded_and_refused_as_test_clips(
    clips: ClipSet, tmp_path: Path
) -> None:
    part = CodecPart(preset="compact", steps=3, device="cpu", **SMALL)
    part.seed = 0
    part.train(training(clips, tmp_path / "codec"))
    others = clips.where(machine="fan")
    model = train(others, tmp_path / "model", codec=str(tmp_path / "codec" / "out"))
    known = MimiiGen(checkpoint=str(model)).learnt_from(None)
    assert known is not None and set(known["content_hash"]) == set(clips.frame["content_hash"])
    assert set(known.loc[known["caption"] != "", "content_hash"]) == set(others.frame["content_hash"])
    sliders = clips.where(machine="slider")
    roles: Any = SimpleNamespace(test=sliders, fit=clips.select([]))
    with pytest.raises(UserError, match="learnt from 8 of the 8 clips that this benchmark tests on"):
        refuse_leaks(known, sliders, roles, "same-machine")
    with pytest.raises(UserError, match="the model has learnt nothing of slider, it knows fan"):
        made(model, clips, rows(1, machine="slider"))


def test_too_few_clips_and_several_processes_are_refused(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = clips.where(machine="fan").select(range(1, 8))
    with pytest.raises(UserError, match="a compact codec is trained on at least 8 clips, found 7"):
        train(few, tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="codec is 'compact', which is trained in one process, found WORLD_SIZE"):
        codec_choice.codec_for(MimiiGen(**settings()), clips, training(clips, tmp_path), torch.device("cpu"))


def test_a_compact_codec_has_no_identity_of_its_own() -> None:
    assert MimiiGen(**settings()).inputs() == {"codec": "compact", "text_encoder": "new"}
