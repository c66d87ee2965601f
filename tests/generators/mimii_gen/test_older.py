"""Models of older versions, whose sound was synthesised in closed form, are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asdbench import ClipSet, Request, UserError
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.older import refuse_older
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline, load_pipeline
from asdbench.generators.mimii_gen.record import read_record, write_record
from asdbench.pretrained import hub

CLIP = {
    "clip_id": "fan/0.wav",
    "machine": "fan",
    "section": "00",
    "domain": "source",
    "condition": "normal",
    "attributes": {},
    "fault": "",
    "severity": None,
    "content_hash": "hash 0",
    "caption": "a normal fan",
}


HUB_ID = "someone/older"


def message(model: str | Path) -> str:
    return (
        f"checkpoint: {model} was made by an older version of asdbench, whose closed-form synthesis is now the "
        "generator 'texture' (use: texture); a model of mimii_gen has to be trained anew"
    )


def write_index(folder: Path, **entries: Any) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MimiiGenPipeline"} | entries))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder of an older model: its record is whole."""
    folder = tmp_path / "older"
    folder.mkdir()
    write_index(folder, codec=[None, None], lapped_transform={"bands": 512, "sample_rate": 16000})
    write_record(folder, [CLIP])
    assert read_record(folder) is not None
    return folder


def put_on_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Have the hub hold the files of a folder; returns what it is asked for."""
    asked: list[str] = []

    def hub_file(name: str, file: str) -> Path | None:
        assert name == HUB_ID
        asked.append(file)
        return folder / file if (folder / file).is_file() else None

    monkeypatch.setattr(hub, "hub_file", hub_file)
    return asked


USES: dict[str, Callable[[Path], Any]] = {
    "generate": lambda folder: list(
        MimiiGen(checkpoint=str(folder), device="cpu").generate(
            Request(pd.DataFrame([CLIP]), ClipSet.from_files([], 16000), 16000)
        )
    ),
    "reconstruct": lambda folder: list(
        MimiiGen(checkpoint=str(folder), device="cpu", reconstruct=True).generate(
            Request(pd.DataFrame([CLIP]), ClipSet.from_files([], 16000), 16000)
        )
    ),
    "inputs": lambda folder: MimiiGen(checkpoint=str(folder)).inputs(),
    "learnt_from": lambda folder: MimiiGen(checkpoint=str(folder)).learnt_from(None),
    "learnt_from, trained here": lambda folder: MimiiGen().learnt_from(folder),
    "fingerprints": lambda folder: MimiiGen(checkpoint=str(folder)).fingerprints(None),
    "parameters": lambda folder: MimiiGen(checkpoint=str(folder)).parameters(None),
    "load_pipeline": lambda folder: load_pipeline(str(folder)),
    "from_pretrained": lambda folder: MimiiGenPipeline.from_pretrained(str(folder)),
}


@pytest.mark.parametrize("use", USES)
def test_an_older_model_is_refused_in_one_sentence(older: Path, use: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message(older))}$"):
        USES[use](older)


@pytest.mark.parametrize("use", USES)
def test_an_older_model_on_the_hub_is_refused_in_the_same_sentence(
    older: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_hub(monkeypatch, older)
    with pytest.raises(UserError, match=f"^{re.escape(message(HUB_ID))}$"):
        USES[use](Path(HUB_ID))


def test_the_hub_is_asked_for_further_files_only_where_the_index_is_that_of_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = put_on_hub(monkeypatch, tmp_path)
    write_index(tmp_path, codec=["transformers", "EncodecModel"])
    refuse_older(HUB_ID)
    assert asked == ["model_index.json"]
    write_index(tmp_path, codec=["transformers", "EncodecModel"], lapped_transform=None)
    refuse_older(HUB_ID)
    (tmp_path / "events.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=re.escape(message(HUB_ID))):
        refuse_older(HUB_ID)


def test_a_hub_that_cannot_be_reached_is_left_to_those_who_need_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, file: str) -> None:
        raise UserError("the hub cannot be reached")

    monkeypatch.setattr(hub, "hub_file", unreachable)
    refuse_older(HUB_ID)


@pytest.mark.parametrize("entry", ["levels", "events", "lapped_transform"])
def test_each_entry_of_the_index_tells_an_older_model(tmp_path: Path, entry: str) -> None:
    write_index(tmp_path, **{entry: {"bands": 512}})
    with pytest.raises(UserError, match="made by an older version"):
        refuse_older(tmp_path)


@pytest.mark.parametrize("file", ["levels.safetensors", "events.safetensors"])
def test_files_beside_the_index_tell_an_older_model(tmp_path: Path, file: str) -> None:
    write_index(tmp_path, lapped_transform=None)
    refuse_older(tmp_path)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(UserError, match="made by an older version"):
        refuse_older(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"_class_name": "Other", "levels": 1}', '{"levels": null}'])
def test_other_folders_are_left_to_those_who_read_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "model_index.json").write_text(text)
    refuse_older(tmp_path)
    refuse_older(tmp_path / "nothing")


def test_the_command_line_refuses_an_older_model(
    older: Path, spec_data: dict[str, Any], write_spec: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    spec_data["generators"] = {"ours": {"use": "mimii_gen", "checkpoint": str(older), "device": "cpu"}}
    assert message(older) in refusal("run", write_spec(spec_data))
