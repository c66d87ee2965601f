"""The built-in model: it loads, lists what it has learnt from, and makes clips of every machine it knows."""

from __future__ import annotations

import numpy as np
import pytest

from asdbench import ClipSet, Request
from asdbench.fingerprinting import SAMPLE_RATE, fingerprint, nearest
from asdbench.generation import name_rows
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.shipped import SHIPPED, model_place

MACHINES = ("bearing", "fan", "gearbox", "slider", "valve")


@pytest.fixture(scope="module")
def mini() -> MimiiGen:
    generator = MimiiGen(checkpoint="mini", inference_steps=4, guidance_scale=1.0, device="cpu")
    generator.seed = 3
    return generator


def test_it_is_no_hub_id_and_needs_no_training(mini: MimiiGen) -> None:
    assert not mini.needs_training()
    assert len(mini.inputs()["checkpoint"]) == 32  # a hash of what it is, not "hub:mini"
    assert model_place("someone/mini") == "someone/mini"
    assert "mini" in SHIPPED


def test_it_tells_what_it_has_learnt_from(mini: MimiiGen) -> None:
    learnt, prints = mini.learnt_from(None), mini.fingerprints(None)
    assert learnt is not None and prints is not None
    assert set(learnt["machine"]) == set(MACHINES)
    assert set(learnt["condition"]) == {"normal", "anomaly"}
    assert sorted(prints.names) == sorted(learnt["clip_id"])
    assert mini.parameters(None) == pytest.approx(4.6e6, rel=0.05)


def test_it_makes_clips_of_every_machine_that_are_no_training_clips(mini: MimiiGen) -> None:
    learnt, prints = mini.learnt_from(None), mini.fingerprints(None)
    assert learnt is not None and prints is not None
    rows = learnt.groupby(["machine", "condition"], as_index=False).first()
    rows = name_rows(rows[["machine", "section", "domain", "condition", "attributes"]].assign(split="test"))
    made = list(mini.generate(Request(rows=rows, pool=ClipSet.from_files([], SAMPLE_RATE), sample_rate=SAMPLE_RATE)))
    assert len(made) == len(rows) == 2 * len(MACHINES)
    for clip, row in zip(made, rows.itertuples(), strict=True):
        level = float(np.sqrt(np.mean(np.square(clip.waveform))))
        assert clip.waveform.shape == (10 * SAMPLE_RATE,)
        assert 1e-4 < level < 0.5
        assert row.machine.removesuffix("r") in clip.provenance["caption"]  # "slide rail"
        assert nearest(fingerprint(clip.waveform), prints)[0] < 0.9
