"""The generator as users meet it: trained on simulated clips, saved, loaded, sampled, benchmarked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import asdbench
from asdbench import ClipSet, Request, Training, UserError, plugins
from asdbench.generators.mimii_gen.conditioning.caption_t5 import CaptionWriter
from asdbench.generators.mimii_gen.conditioning.text import TextEncoder
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.learning import _parts
from asdbench.generators.mimii_gen.pipeline import load_pipeline
from asdbench.pretrained.device import choose_device
from asdbench.testing import check_generator, example_clips

STEPS = 150


def settings(tiny_codec, tiny_t5, **others):
    small = {
        "codec": str(tiny_codec),
        "bandwidth": 9.6,
        "text_encoder": str(tiny_t5),
        "text_length": 96,
        "preset": "smoke",
        "steps": STEPS,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "warmup_steps": 10,
        "ema_decay": 0.95,
        "validate_every": 30,
        "save_every": 50,
        "device": "cpu",
    }
    return small | others


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> ClipSet:
    """One-second clips of two simulated machines, normal and anomalous."""
    folder = tmp_path_factory.mktemp("clips")
    dataset = plugins.datasets.get("simulated")(
        train_source=6, train_target=2, test_normal=0, test_anomaly=4, duration=1.0
    )
    tables = [dataset.clips(machine, folder) for machine in ("fan", "valve")]
    return ClipSet.from_files(pd.concat(tables, ignore_index=True), 16000)


def training(clips, folder: Path, **others) -> Training:
    for name in ("out", "work", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Training(clips, folder / "out", folder / "work", folder / "cache", **others)


@pytest.fixture(scope="session")
def model(clips, tiny_codec, tiny_t5, tmp_path_factory) -> Path:
    """A model trained for a few seconds."""
    folder = tmp_path_factory.mktemp("model")
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, preview_every=100))
    generator.seed = 1
    generator.train(training(clips, folder))
    return folder


def rows(count=4, **labels):
    label = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly", "attributes": {"m-n": "W"}}
    return pd.DataFrame([{"clip_id": f"row/{index}", **label, **labels} for index in range(count)])


def made(model, clips, request_rows, **others):
    generator = MimiiGen(**{"checkpoint": str(model / "out"), "inference_steps": 5, "device": "cpu"} | others)
    generator.seed = 3
    return list(generator.generate(Request(request_rows, clips, 16000)))


def test_the_loss_falls(model):
    state = sorted((model / "work" / "checkpoints").glob("step-*"))[-1]
    history = json.loads((state / "state.json").read_text())
    validation = [row["validation_loss"] for row in _history(history) if row["validation_loss"] is not None]
    assert len(validation) == STEPS // 30
    assert validation[-1] < 0.8 * validation[0]


def _history(value):
    """The list under the key "history", wherever it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            found = item if key == "history" else _history(item)
            if found is not None:
                return found
    return None


def test_everything_a_model_needs_is_in_its_folder_and_nothing_is_pickled(model, clips):
    files = {path.relative_to(model / "out").as_posix() for path in (model / "out").rglob("*") if path.is_file()}
    expected = {"model_index.json", "training_clips.csv", "captions.csv", "README.md"}
    expected |= {"unet/config.json", "unet/diffusion_pytorch_model.safetensors", "codec/model.safetensors"}
    assert expected <= files
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors", ".csv", ".md", ".txt", ".jinja"}
    pictures = sorted((model / "work" / "previews").glob("*.png"))
    assert [path.name for path in pictures] == ["step-00000100.png"]
    card = (model / "out" / "README.md").read_text()
    for word in ("fan", "valve", "same-machine", str(STEPS)):
        assert word in card


def test_the_record_says_what_was_learnt_from(model, clips):
    record = MimiiGen(checkpoint=str(model / "out")).learnt_from(None)
    assert set(record["content_hash"]) == set(clips.frame["content_hash"])
    by_hash = clips.frame.set_index("content_hash")
    for row in record.itertuples():
        clip = by_hash.loc[row.content_hash]
        assert (row.machine, row.condition, row.attributes) == (clip.machine, clip.condition, clip.attributes)
        if row.fault:
            assert row.fault == clip.provenance["fault"].replace("_", " ")
            assert row.severity == pytest.approx(clip.provenance["severity"])
            assert row.fault in row.caption
    assert (record.loc[record["condition"] == "anomaly", "fault"] != "").any()


def test_a_record_that_lost_rows_or_is_gone_is_noticed(model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model / "out", copy)
    generator = MimiiGen(checkpoint=str(copy))
    lines = (copy / "training_clips.csv").read_text().splitlines(keepends=True)
    for kept in (1, len(lines) - 1):
        (copy / "training_clips.csv").write_text("".join(lines[:kept]))
        with pytest.raises(UserError, match=r"training_clips.csv: the table of training clips is damaged"):
            generator.learnt_from(None)
    (copy / "training_clips.json").unlink()
    assert generator.learnt_from(None) is None
    with pytest.raises(UserError, match=r"unet holds no model_index.json"):
        MimiiGen(checkpoint=str(copy / "unet")).learnt_from(None)


def test_captions_from_nowhere_are_named(tiny_codec, tiny_t5):
    with pytest.raises(UserError, match=r"captions: tempalte: .* expected template or t5, or a CSV file"):
        MimiiGen(**settings(tiny_codec, tiny_t5, captions="tempalte")).inputs()


def test_the_level_of_generated_latents_is_that_of_the_training(model):
    card = (model / "out" / "README.md").read_text()
    ratio = float(re.search(r"level of generated latents \(1 is right\)[^0-9]*([0-9.]+)", card)[1])
    assert 0.7 < ratio < 1.4


def test_clips_have_the_length_of_the_training(model, clips):
    for clip in made(model, clips, rows(), inference_steps=25):
        assert clip.waveform.shape == (16000,)
        assert clip.waveform.dtype == np.float32
        assert np.isfinite(clip.waveform).all()
        assert clip.provenance["unseen"] == []
        assert "fan" in clip.provenance["caption"]


def test_a_caption_changes_what_is_made_and_nothing_else_does(model, clips):
    first = made(model, clips, rows(2))
    again = made(model, clips, rows(2))
    np.testing.assert_array_equal(first[0].waveform, again[0].waveform)
    other = made(model, clips, rows(2).assign(caption="A valve without a fault sounds normal."))
    assert other[0].provenance["clip_seed"] == first[0].provenance["clip_seed"]
    scale = np.abs(first[0].waveform).max()
    assert np.abs(other[0].waveform - first[0].waveform).max() > 0.01 * scale


def test_fault_and_severity_are_those_of_training_clips_or_as_asked(model, clips):
    generated = made(model, clips, rows(12), inference_steps=1)
    met = MimiiGen(checkpoint=str(model / "out")).learnt_from(None).query("machine == 'fan' and fault != ''")
    pairs = set(zip(met["fault"], met["severity"], strict=True))
    assert {(clip.provenance["fault"], clip.provenance["severity"]) for clip in generated} <= pairs
    assert len({clip.provenance["fault"] for clip in generated}) > 1
    severe = made(model, clips, rows(2), inference_steps=1, severity=1.5)
    assert all("severe" in clip.provenance["caption"] for clip in severe)
    normal = made(model, clips, rows(2, condition="normal"), inference_steps=1)
    assert all(clip.provenance["fault"] is None for clip in normal)


def test_a_caption_that_was_given_tells_its_own_fault(model, clips):
    asked = rows(2).assign(caption=["A fan with wear sounds anomalous.", float("nan")], attributes=[{"m-n": "Q"}] * 2)
    own, labelled = made(model, clips, asked, inference_steps=1)
    assert own.provenance["caption"] == asked["caption"][0]
    assert (own.provenance["fault"], own.provenance["severity"], own.provenance["unseen"]) == (None, None, [])
    assert labelled.provenance["fault"] in labelled.provenance["caption"]
    assert labelled.provenance["unseen"] == ["fan: m-n=Q"]


def test_labels_that_no_training_clip_had_are_listed_and_warned_of(model, clips, capsys):
    odd = pd.concat([rows(1), rows(1, attributes={"m-n": "Q"}).assign(clip_id="odd")], ignore_index=True)
    generated = made(model, clips, odd, inference_steps=1)
    assert generated[0].provenance["unseen"] == []
    assert generated[1].provenance["unseen"] == ["fan: m-n=Q"]
    warning = capsys.readouterr().err
    assert warning.count("asdbench: warning") == 1
    assert "fan: m-n=Q" in warning


def test_a_machine_that_the_model_has_never_met_is_refused_unless_a_caption_says_what_to_make(model, clips):
    odd = pd.concat([rows(1), rows(1, machine="pump").assign(clip_id="odd")], ignore_index=True)
    message = "the model has learnt nothing of pump, it knows fan, valve; train one on clips of that machine, or say in"
    for asked in (odd, odd.assign(caption=["A fan.", float("nan")]), odd.assign(caption="")):
        with pytest.raises(UserError, match=message):
            made(model, clips, asked, inference_steps=1)
    own = made(model, clips, odd.assign(caption=[float("nan"), "A pump."]), inference_steps=1)
    assert own[1].provenance["caption"] == "A pump."


def test_audio_to_audio_starts_from_a_normal_clip_of_the_machine(model, clips):
    distances = []
    for strength in (0.05, 1.0):
        clip = made(model, clips, rows(1), inference_steps=20, strength=strength)[0]
        host = clips.frame[clips.frame["clip_id"] == clip.provenance["host"]].iloc[0]
        assert (host.machine, host.condition) == ("fan", "normal")
        assert clip.provenance["strength"] == strength
        wave = clips.waveform(int(host.name))
        distances.append(np.abs(clip.waveform - wave).std())
    assert distances[0] < distances[1]


def test_as_a_control_real_clips_go_through_the_codec(model, clips):
    asked = pd.concat([rows(2), rows(2, condition="normal").assign(clip_id=["n/0", "n/1"])], ignore_index=True)
    pipeline = load_pipeline(str(model / "out"))
    hosts = set()
    for clip, condition in zip(made(model, clips, asked, reconstruct=True), asked["condition"], strict=True):
        host = clips.frame[clips.frame["clip_id"] == clip.provenance["host"]].iloc[0]
        assert host.condition == condition
        codes = pipeline.codec.encode(torch.from_numpy(clips.waveform(int(host.name)))[None, None], bandwidth=9.6)
        decoded = pipeline.codec.decode(codes.audio_codes, codes.audio_scales)[0][0, 0].numpy()
        np.testing.assert_allclose(clip.waveform, decoded[: len(clip.waveform)], atol=1e-6)
        hosts.add(host.clip_id)
    assert len(hosts) == 4


def test_clip_length_is_free(model, clips):
    assert made(model, clips, rows(1), inference_steps=1, clip_seconds=2.5)[0].waveform.shape == (40000,)
    with pytest.raises(UserError, match=r"clip_seconds: found 0\.01 s"):
        made(model, clips, rows(1), inference_steps=1, clip_seconds=0.01)


@pytest.mark.parametrize("strength", [None, 0.5])
def test_clip_length_is_exact_at_another_rate_than_the_codec_s(model, clips, strength):
    wanted = 11027  # at 22050 Hz; the nearest number of samples at the codec's 16 kHz would give 11026
    generator = MimiiGen(
        checkpoint=str(model / "out"), inference_steps=1, device="cpu", clip_seconds=wanted / 22050, strength=strength
    )
    pool = ClipSet(clips.frame, 22050, clips.channel)
    (clip,) = generator.generate(Request(rows(1), pool, 22050))
    assert clip.waveform.shape == (wanted,)


@pytest.mark.parametrize("lengths", [(16000, 9000, 12345)])
def test_a_clip_does_not_depend_on_hosts_of_other_lengths_beside_it(model, tmp_path, lengths):
    table = []
    for index, machine in enumerate(("fan", "valve", "pump")):
        path = tmp_path / f"{machine}.wav"
        noise = np.random.default_rng(index).standard_normal(lengths[index])
        soundfile.write(path, 0.1 * noise, 16000, subtype="FLOAT")
        labels = {"clip_id": path.name, "path": str(path), "machine": machine, "section": "00", "domain": "source"}
        table.append(labels | {"split": "train", "condition": "normal", "attributes": {}})
    pool = ClipSet.from_files(table, 16000)
    asked = rows(6).assign(machine=["fan", "valve", "pump", "valve", "fan", "fan"], caption="it clogs")
    together = made(model, pool, asked, strength=0.5, sampling_batch=4)
    assert [len(clip.waveform) for clip in together] == [lengths[place] for place in (0, 1, 2, 1, 0, 0)]
    for index in range(len(asked)):
        (alone,) = made(model, pool, asked.iloc[[index]], strength=0.5, sampling_batch=4)
        difference = np.abs(alone.waveform - together[index].waveform).max()
        assert difference <= 1e-6 * np.std(alone.waveform)


def test_the_contract(tiny_codec, tiny_t5, tmp_path):
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, steps=3))
    generator.train(training(example_clips(tmp_path / "clips", 12, 12), tmp_path))
    check_generator(MimiiGen, checkpoint=str(tmp_path / "out"), inference_steps=3, sampling_batch=3, device="cpu")


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_the_null_embedding_that_was_trained_with_is_the_one_that_is_saved(
    clips, tiny_codec, tiny_t5, tmp_path, joint, learned
):
    few = {"steps": 3, "caption_dropout": 0.5, "train_text_encoder": joint, "learned_null": learned}
    MimiiGen(**settings(tiny_codec, tiny_t5, **few)).train(training(clips, tmp_path))
    null = torch.tensor(load_pipeline(str(tmp_path / "out")).config.null_embedding)
    empty = TextEncoder.load(str(_text(tmp_path))).null()
    if learned:
        averaged = load_file(tmp_path / "work" / "checkpoints" / "step-00000003" / "ema.safetensors")["null"]
        assert torch.equal(null, averaged)
        assert not torch.allclose(null, empty, atol=1e-4)
    else:
        torch.testing.assert_close(null, empty)
    assert torch.equal(empty, TextEncoder.load(str(tiny_t5)).null()) is not joint


def _text(folder):
    """Text encoder and tokenizer of a model in one folder, as `TextEncoder.load` takes them."""
    together = folder / "text"
    shutil.copytree(folder / "out" / "text_encoder", together)
    shutil.copytree(folder / "out" / "tokenizer", together, dirs_exist_ok=True)
    return together


def test_an_interrupted_training_ends_with_the_same_weights(clips, tiny_codec, tiny_t5, tmp_path):
    few = {"save_every": 4, "validate_every": 100, "normalization": "dimension", "vague_captions": 0.5}

    def train(folder, steps):
        generator = MimiiGen(**settings(tiny_codec, tiny_t5, **few | {"steps": steps}))
        generator.train(training(clips, folder))
        return load_pipeline(str(folder / "out")).unet.state_dict()

    whole = train(tmp_path / "whole", 8)
    train(tmp_path / "parts", 3)
    resumed = train(tmp_path / "parts", 8)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_cannot_be_learnt_from_is_said(clips, tiny_codec, tiny_t5, tmp_path):
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, steps=1))
    normal = clips.where(condition="normal")
    with pytest.raises(UserError, match="no anomalous clips to learn from"):
        generator.train(training(normal, tmp_path))
    with pytest.raises(UserError, match="there are no clips to learn from"):
        generator.train(training(clips.select([]), tmp_path))
    short = MimiiGen(**settings(tiny_codec, tiny_t5, steps=1, seconds=0.01))
    with pytest.raises(UserError, match=r"last 0.010 s, the U-Net 'smoke' needs at least 0.0\d+ s"):
        short.train(training(clips, tmp_path))
    captions = tmp_path / "captions.csv"
    captions.write_text("content_hash,clip_id,caption\nx,y,a fan\n")
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, steps=1, captions=str(captions)))
    with pytest.raises(UserError, match=r"captions.csv: 32 of 32 clips have no caption"):
        generator.train(training(clips, tmp_path))


def test_with_exposure_none_normal_clips_are_enough(clips, tiny_codec, tiny_t5, tmp_path, capsys):
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, steps=2))
    normal = clips.where(condition="normal")
    generator.train(training(normal, tmp_path, exposure="none"))
    clip = made(tmp_path, clips, rows(1), inference_steps=1)[0]
    assert clip.provenance["unseen"] == ["condition anomaly of fan"]
    assert "condition anomaly of fan" in capsys.readouterr().err


def test_captions_by_t5_are_kept_and_used_again(clips, tiny_codec, tiny_t5, tmp_path, monkeypatch, capsys):
    written = []

    def write(self, descriptions):
        written.extend(description.metadata_text() for description in descriptions)
        return [f"it is {description.metadata_text()[:60]}" for description in descriptions]

    monkeypatch.setattr(CaptionWriter, "write", write)
    t5 = {"captions": "t5", "caption_model": str(tiny_t5)}
    generator = MimiiGen(**settings(tiny_codec, tiny_t5, steps=1, text_length=160, **t5))
    generator.train(training(clips, tmp_path))
    generator.train(training(clips, tmp_path))
    assert len(written) == len(clips)
    known = generator.learnt_from(tmp_path / "out").query("machine == 'fan' and condition == 'normal'").iloc[0]
    met = {"condition": "normal", "attributes": known["attributes"], "domain": known["domain"]}
    new = met | {"attributes": {"m-n": "Q"}}
    asked = pd.concat([rows(1, **met), rows(1, **new).assign(clip_id="new")], ignore_index=True)
    capsys.readouterr()
    old, odd = made(tmp_path, clips, asked, inference_steps=1)
    assert old.provenance["caption"] == known["caption"]
    assert "Q" in odd.provenance["caption"]
    assert not odd.provenance["caption"].startswith("it is")
    assert "1 of 2 captions are in the words of a template" in capsys.readouterr().err
    old, odd = made(tmp_path, clips, asked, inference_steps=1, **t5)
    assert old.provenance["caption"] == known["caption"]
    assert odd.provenance["caption"].startswith("it is machine: fan; condition: normal; m-n: Q")
    assert len(written) == len(clips) + 1
    assert "template" not in capsys.readouterr().err


def test_captions_that_were_kept_are_not_those_of_another_model_or_setting(
    clips, tiny_codec, tiny_t5, tmp_path, monkeypatch
):
    def write(self, descriptions):
        return [f"{Path(self.name).name}: {description.fault}" for description in descriptions]

    monkeypatch.setattr(CaptionWriter, "write", write)
    another = tmp_path / "another"
    shutil.copytree(tiny_t5, another)
    (another / "generation_config.json").write_text('{"num_beams": 2}')

    def train(model, **others):
        t5 = {"captions": "t5", "caption_model": str(model), "steps": 1, "text_length": 160}
        generator = MimiiGen(**settings(tiny_codec, tiny_t5, **t5 | others))
        generator.train(training(clips, tmp_path))

    train(tiny_t5)
    with pytest.raises(UserError, match="begun with other examples"):
        train(another)
    with pytest.raises(UserError, match="begun with other examples"):
        train(tiny_t5, vague_captions=1)
    train(tiny_t5)


def test_identities_follow_the_content_of_local_parts(model, tiny_codec, tiny_t5, tmp_path):
    generator = MimiiGen(**settings(tiny_codec, tiny_t5))
    assert set(generator.inputs()) == {"codec", "text_encoder"}
    checkpoint = MimiiGen(checkpoint=str(model / "out"))
    before = checkpoint.inputs()
    (model / "out" / "training").mkdir()
    (model / "out" / "training" / "state.json").write_text("{}")
    assert checkpoint.inputs() == before
    hub = MimiiGen().inputs()
    assert hub == {"codec": "hub:facebook/encodec_24khz", "text_encoder": "hub:google/flan-t5-base"}
    with pytest.raises(UserError, match="no such folder"):
        MimiiGen(checkpoint=str(tmp_path / "none")).inputs()


def test_a_benchmark_trains_generates_and_compares(tiny_codec, tiny_t5, tmp_path):
    spec = {
        "name": "whole",
        "dataset": {
            "use": "simulated",
            "train_source": 6,
            "train_target": 2,
            "test_normal": 4,
            "test_anomaly": 4,
            "duration": 1.0,
        },
        "machines": ["fan", "valve"],
        "seeds": [0],
        "holdout": {"train": 4},
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {
            "mimii_gen": {"use": "mimii_gen", "inference_steps": 3, **settings(tiny_codec, tiny_t5, steps=5)}
        },
        "statistics": {"resamples": 100},
    }
    results = asdbench.run(spec, runs=tmp_path, workers=0)
    assert results.gaps["gap"].notna().all()
    assert set(results.gaps["machine"]) == {"fan", "valve"}
    own = results.generated[results.generated["generator"] == "mimii_gen"]
    assert own.groupby("condition").size().to_dict() == {"anomaly": 8, "normal": 8}
    assert all(json.loads(text)["caption"] for text in own["provenance"])
    controls = results.comparison.controls
    assert set(controls["control"]) == {"codec, normal", "codec, anomaly", "generated normal", "matched"}
    assert controls["auc"].notna().all()


def test_every_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:1")
    assert choose_device("cuda:0") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="this machine has 0 CUDA GPUs"):
        choose_device("cuda")


@pytest.mark.parametrize(("batch_size", "parts"), [(1, 1), (4, 1), (6, 2), (7, 7), (8, 2), (16, 4)])
def test_on_a_cpu_a_step_is_computed_in_parts_of_at_most_four_clips(batch_size, parts):
    assert _parts(batch_size) == parts
