"""The built-in model: it loads, says what it has learnt from, and makes clips of every machine it knows."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench import ClipSet, Request
from asdbench.fingerprinting import SAMPLE_RATE, fingerprint, nearest
from asdbench.generation import name_rows
from asdbench.generators.texture.generator import Texture
from asdbench.generators.texture.model import TextureModel
from asdbench.generators.texture.shipped import SHIPPED, model_folder

MACHINES = ("bearing", "fan", "gearbox", "slider", "valve")


@pytest.fixture(scope="module")
def simulated() -> Texture:
    generator = Texture(checkpoint="simulated")
    generator.seed = 3
    return generator


def test_it_is_found_by_name_and_needs_no_training(simulated: Texture) -> None:
    assert not simulated.needs_training()
    assert len(simulated.inputs()["checkpoint"]) == 32
    assert model_folder("elsewhere").name == "elsewhere" and not model_folder("elsewhere").is_absolute()
    assert all(model_folder(name).is_dir() for name in SHIPPED)


def test_it_says_what_it_has_learnt_from(simulated: Texture) -> None:
    learnt, prints = simulated.learnt_from(None), simulated.fingerprints(None)
    assert learnt is not None and prints is not None
    counts = learnt.groupby(["machine", "condition"]).size()
    assert set(learnt["machine"]) == set(MACHINES) and (counts == 980).all() and len(counts) == 10
    assert sorted(prints.names) == sorted(learnt["clip_id"])


def test_slider_and_valve_have_events() -> None:
    model = TextureModel.load(model_folder("simulated"))
    assert model.events is not None and set(model.events.states) == {"slider", "valve"}
    assert dict(model.num_samples) == dict.fromkeys(MACHINES, 10 * SAMPLE_RATE)
    assert (model.transform.bands, model.transform.sample_rate) == (512, SAMPLE_RATE)


def test_it_makes_clips_of_every_machine_that_are_no_training_clips(simulated: Texture) -> None:
    learnt, prints = simulated.learnt_from(None), simulated.fingerprints(None)
    assert learnt is not None and prints is not None
    rows = learnt.groupby(["machine", "condition"], as_index=False).first()
    rows = name_rows(rows[["machine", "section", "domain", "condition", "attributes"]].assign(split="test"))
    request = Request(rows=rows, pool=ClipSet.from_files([], SAMPLE_RATE), sample_rate=SAMPLE_RATE)
    made = list(simulated.generate(request))
    assert len(made) == len(rows) == 2 * len(MACHINES)
    for clip, row in zip(made, rows.itertuples(), strict=True):
        level = float(np.sqrt(np.mean(np.square(clip.waveform))))
        assert clip.waveform.shape == (10 * SAMPLE_RATE,)
        assert 1e-4 < level < 0.5
        assert row.machine.removesuffix("r") in clip.provenance["caption"]  # "slide rail"
        assert clip.provenance["unseen"] == []
        assert nearest(fingerprint(clip.waveform), prints)[0] < 0.9
