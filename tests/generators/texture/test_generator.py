"""The generator as users meet it: trained on simulated clips, loaded, sampled, benchmarked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import welch

import asdbench
from asdbench import ClipSet, GeneratedClip, NotApplicableError, Request, UserError, plugins
from asdbench.exposure import refuse_leaks
from asdbench.fingerprinting import fingerprint, nearest
from asdbench.generators.texture.generator import Texture
from asdbench.roles import Roles
from asdbench.testing import check_generator


def rows(count: int = 4, **labels: Any) -> pd.DataFrame:
    label = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly", "attributes": {"m-n": "W"}}
    return pd.DataFrame([{"clip_id": f"row/{index}", **label, **labels} for index in range(count)])


def made(model: Path, asked: pd.DataFrame, rate: int = 16000, seed: int = 3, **settings: Any) -> list[GeneratedClip]:
    generator = Texture(checkpoint=str(model), **settings)
    generator.seed = seed
    return list(generator.generate(Request(asked, ClipSet.from_files([], rate), rate)))


def test_it_is_found_by_name_and_learns() -> None:
    assert plugins.generators.get("texture") is Texture
    assert Texture().needs_training() and not Texture(checkpoint="simulated").needs_training()
    assert Texture().inputs() == {}


def test_clips_have_the_length_of_the_training(model: Path) -> None:
    for machine in ("fan", "valve"):
        for clip in made(model, rows(2, machine=machine, attributes={})):
            assert clip.waveform.shape == (16000,)
            assert clip.waveform.dtype == np.float32
            assert np.isfinite(clip.waveform).all()
            assert machine in clip.provenance["caption"]


def test_clips_sound_like_those_of_the_training(model: Path, clips: ClipSet) -> None:
    """Clips of the same labels have the same level in octaves, as far as eight of them say."""
    for machine in ("fan", "valve"):
        real = clips.where(machine=machine, condition="normal")
        asked = real.frame.drop(columns="provenance")
        levels = [
            np.array([octaves(wave) for wave in waves])
            for waves in (list(real.waveforms()), [clip.waveform for clip in made(model, asked)])
        ]
        assert np.abs(levels[0].mean(axis=0) - levels[1].mean(axis=0)).max() < 4  # dB
        assert np.abs(levels[0].mean() - levels[1].mean()) < 2


def octaves(wave: np.ndarray) -> list[float]:
    frequencies, density = welch(wave, 16000, nperseg=1024)
    edges = 125 * 2.0 ** np.arange(7)
    return [float(10 * np.log10(density[(frequencies >= low) & (frequencies < 2 * low)].mean())) for low in edges[:-1]]


def test_a_valve_comes_and_goes_and_a_fan_does_not(model: Path) -> None:
    spread = {}
    for machine in ("fan", "valve"):
        waves = [clip.waveform for clip in made(model, rows(6, machine=machine, condition="normal", attributes={}))]
        levels = [10 * np.log10(np.square(wave.reshape(-1, 160)).mean(axis=1)) for wave in waves]
        spread[machine] = np.mean([level.std() for level in levels])
    assert spread["valve"] > 2 * spread["fan"]


def test_a_clip_depends_on_its_own_row_and_the_seed_alone(model: Path) -> None:
    asked = pd.concat([rows(3), rows(3, machine="valve").assign(clip_id=["v/0", "v/1", "v/2"])], ignore_index=True)
    together = made(model, asked)
    for order in ([5, 3, 1, 0, 2, 4], [4], [1, 2]):
        for place, clip in zip(order, made(model, asked.iloc[order]), strict=True):
            np.testing.assert_array_equal(clip.waveform, together[place].waveform)
            assert clip.provenance == together[place].provenance
    for first, other in zip(together, made(model, asked, seed=4), strict=True):
        assert not np.array_equal(first.waveform, other.waveform)
    assert len({clip.provenance["clip_seed"] for clip in together}) == len(asked)


def test_a_caption_changes_what_is_made(model: Path) -> None:
    own = rows(2).assign(caption=["A fan with wear in the target domain sounds anomalous.", float("nan")])
    (free, labelled), plain = made(model, own), made(model, rows(2))
    assert free.provenance["caption"] == own["caption"][0]
    assert (free.provenance["fault"], free.provenance["severity"], free.provenance["unseen"]) == (None, None, [])
    assert free.provenance["clip_seed"] == plain[0].provenance["clip_seed"]
    assert not np.array_equal(free.waveform, plain[0].waveform)
    np.testing.assert_array_equal(labelled.waveform, plain[1].waveform)


def test_fault_and_severity_are_those_of_training_clips_or_as_asked(model: Path) -> None:
    table = Texture(checkpoint=str(model)).learnt_from(None)
    assert table is not None
    known = table.query("machine == 'fan' and fault != ''")
    pairs = set(zip(known["fault"], known["severity"], strict=True))
    found = [(clip.provenance["fault"], clip.provenance["severity"]) for clip in made(model, rows(12))]
    assert set(found) <= pairs and len({fault for fault, _ in found}) > 1
    assert all("severe" in clip.provenance["caption"] for clip in made(model, rows(2), severity=1.5))
    assert all("wear" in clip.provenance["caption"] for clip in made(model, rows(2), fault="wear"))
    assert all(clip.provenance["fault"] is None for clip in made(model, rows(2, condition="normal")))


def test_labels_that_no_training_clip_had_are_listed_and_warned_of(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = pd.concat([rows(1), rows(1, attributes={"m-n": "Q"}).assign(clip_id="odd")], ignore_index=True)
    usual, other = made(model, odd)
    assert usual.provenance["unseen"] == [] and other.provenance["unseen"] == ["fan: m-n=Q"]
    warning = capsys.readouterr().err
    assert warning.count("asdbench: warning") == 1 and "fan: m-n=Q" in warning


@pytest.mark.parametrize("machine", ["fan", "valve"])
@pytest.mark.parametrize(("seconds", "rate"), [(2.5, 16000), (0.05, 16000), (11027 / 22050, 22050), (0.7, 8000)])
def test_clip_length_is_free_and_exact_at_any_rate(model: Path, machine: str, seconds: float, rate: int) -> None:
    (clip,) = made(model, rows(1, machine=machine, attributes={}), rate, clip_seconds=seconds)
    assert clip.waveform.shape == (round(seconds * rate),)
    assert 1e-4 < clip.waveform.std() < 0.5


def test_as_a_control_real_clips_go_through_the_transform(model: Path, clips: ClipSet) -> None:
    asked = pd.concat([rows(2), rows(2, condition="normal").assign(clip_id=["n/0", "n/1"])], ignore_index=True)
    generator, hosts = Texture(checkpoint=str(model), reconstruct=True), set()
    back = list(generator.generate(Request(asked, clips, 16000)))
    for clip, condition in zip(back, asked["condition"], strict=True):
        host = clips.frame[clips.frame["clip_id"] == clip.provenance["host"]].iloc[0]
        assert host.condition == condition
        np.testing.assert_allclose(clip.waveform, clips.waveform(int(host.name)), atol=1e-6)
        hosts.add(host.clip_id)
    assert len(hosts) == 4


def test_the_contract(clips: ClipSet, training: Callable[..., Any], tmp_path: Path) -> None:
    from asdbench.testing import example_clips

    Texture().train(training(example_clips(tmp_path / "clips", 12, 8), tmp_path))
    check_generator(Texture, checkpoint=str(tmp_path / "out"))


def test_machines_and_conditions_that_were_not_learnt_are_named(
    model: Path, clips: ClipSet, training: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no clip of machine 'pump', expected one of: fan, valve"):
        made(model, rows(1, machine="pump"))
    with pytest.raises(UserError, match=r"'valv', expected one of: fan, valve; did you mean 'valve'\?"):
        made(model, rows(1, machine="valv"))
    Texture().train(training(clips.where(condition="normal", machine="fan"), tmp_path, exposure="none"))
    with pytest.raises(NotApplicableError, match=r"no anomalous clip of machine 'fan', so it makes none"):
        made(tmp_path / "out", rows(1))
    assert len(made(tmp_path / "out", rows(2, condition="normal"))) == 2
    assert "No anomalies were among the training clips of fan" in (tmp_path / "out" / "README.md").read_text()


def test_a_benchmark_refuses_to_test_on_what_was_learnt(model: Path, clips: ClipSet) -> None:
    learnt = Texture(checkpoint=str(model)).learnt_from(None)
    roles = Roles(fit=clips.select([]), pool=clips.select([0, 1]), test=clips.select([2, 3]))
    with pytest.raises(UserError, match="learnt from 2 of the 2 clips that this benchmark tests on"):
        refuse_leaks(learnt, clips, roles, "same-machine")


def test_copies_of_training_clips_are_known_and_generated_clips_are_none(model: Path, clips: ClipSet) -> None:
    prints = Texture(checkpoint=str(model)).fingerprints(None)
    assert prints is not None and sorted(prints.names) == sorted(clips.frame["clip_id"])
    assert nearest(fingerprint(0.3 * clips.waveform(5)), prints)[1] == clips.frame["clip_id"][5]
    assert all(nearest(fingerprint(clip.waveform), prints)[0] < 0.9 for clip in made(model, rows(4)))


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for bands, message in ((100, "a multiple of 16"), (16, "greater than or equal to 32")):
        with pytest.raises((UserError, ValueError), match=message):
            Texture(bands=bands)
    with pytest.raises(UserError, match="no such folder: 'simulatd'"):
        Texture(checkpoint="simulatd").inputs()


def test_a_benchmark_trains_generates_and_compares(tmp_path: Path) -> None:
    spec = {
        "name": "whole",
        "dataset": {
            "use": "simulated",
            "train_source": 12,
            "train_target": 4,
            "test_normal": 4,
            "test_anomaly": 8,
            "duration": 1.0,
        },
        "machines": ["fan", "valve"],
        "seeds": [0],
        "holdout": {"train": 8, "anomaly": 8},
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"texture": {"use": "texture"}},
        "statistics": {"resamples": 100},
    }
    results = asdbench.run(spec, runs=tmp_path, workers=0)
    assert results.gaps["gap"].notna().all()
    assert set(results.gaps["machine"]) == {"fan", "valve"}
    own = results.generated[results.generated["generator"] == "texture"]
    assert set(own["condition"]) == {"anomaly", "normal"}
    assert all(json.loads(text)["caption"] for text in own["provenance"])
    controls = results.comparison.controls
    assert {"codec, normal", "generated normal", "matched"} <= set(controls["control"])
    assert controls["auc"].notna().all()


def test_neither_training_nor_generating_imports_a_library_of_neural_networks(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from asdbench import ClipSet, Request, Training
from asdbench.generators.texture.generator import Texture
from asdbench.testing import example_clips
folder = Path(sys.argv[1])
for name in ("out", "work", "cache"):
    (folder / name).mkdir()
clips = example_clips(folder / "clips", 8, 4)
Texture().train(Training(clips, folder / "out", folder / "work", folder / "cache"))
request = Request(clips.frame, clips, 16000)
for settings in ({}, {"reconstruct": True}):
    generator = Texture(checkpoint=str(folder / "out"), **settings)
    assert len(list(generator.generate(request))) == 12
    generator.learnt_from(None), generator.fingerprints(None), generator.parameters(None), generator.inputs()
found = {name.partition(".")[0] for name in sys.modules}
assert not found & {"torch", "diffusers", "transformers", "accelerate", "huggingface_hub"}, found
import asdbench.generators.texture as package
assert all("import torch" not in path.read_text() for path in Path(package.__path__[0]).rglob("*.py"))
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
