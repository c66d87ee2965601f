"""The model card: the facts are in it, in Markdown that can be read by machines and people."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from asdbench import UserError
from asdbench.generators.mimii_gen.model_card import (
    UNKNOWN_LICENCE,
    ModelCard,
    Part,
    licence_of,
    model_card_text,
    write_model_card,
)
from asdbench.generators.shared.record import data_hash

CARD = ModelCard(
    clips={"fan": {"normal": 40, "anomaly": 12}, "bearing": {"normal": 30}},
    content_hashes=["cc", "aa", "bb"],
    codec=Part("facebook/encodec_24khz", "c0dec1d"),
    text_encoder=Part("google/flan-t5-base", "7e871d"),
    captions="template",
    settings={"learning_rate": 1e-4, "prediction_type": "epsilon", "note": "a|b\nc", "holdout": {"normal": 0.1}},
    steps=1234,
    exposure="same-machine",
    seed=7,
    training_loss=0.12345678,
    validation_loss=0.2,
    generated_level=1.02,
    sample_rate=24000,
    seconds=10.0,
    versions={"torch": "2.13.0"},
)


def parts(text: str) -> tuple[dict[str, Any], str]:
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def tables(body: str) -> list[tuple[str, ...]]:
    """All rows of all tables; escaped bars are part of a cell."""
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [
        tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for line in lines
        if set(line) - set("|- ")
    ]


def test_front_matter() -> None:
    front, _ = parts(model_card_text(CARD))
    assert front["license"] == "other"
    assert "anomalous-sound-detection" in front["tags"]
    assert parts(model_card_text(replace(CARD, license="cc-by-4.0")))[0]["license"] == "cc-by-4.0"


def test_facts_are_there() -> None:
    _, body = parts(model_card_text(CARD))
    rows = tables(body)
    for row in (
        ("bearing", "normal", "30"),
        ("fan", "anomaly", "12"),
        ("fan", "normal", "40"),
        ("steps", "1234"),
        ("seed", "7"),
        ("last training loss", "0.1235"),
        ("last validation loss, at fixed noise", "0.2"),
        ("level of generated latents (1 is right)", "1.02"),
        ("sample rate", "24000 Hz"),
        ("length of a clip by default", "10 s"),
        ("learning_rate", "0.0001"),
        ("prediction_type", "epsilon"),
        ("note", "a|b c"),
        ("holdout", '{"normal": 0.1}'),
        ("torch", "2.13.0"),
    ):
        assert row in rows
    assert {len(row) for row in rows} == {2, 3, 4}
    text_encoder = next(row for row in rows if row[0] == "text encoder")
    assert text_encoder == ("text encoder", "google/flan-t5-base", "7e871d", "Apache-2.0")
    codec = next(row for row in rows if row[0] == "codec")
    assert codec[1:3] == ("facebook/encodec_24khz", "c0dec1d")
    assert "MIT" in codec[3] and "weights" in codec[3]
    assert "3 clips" in body
    assert f"`{data_hash(CARD.content_hashes)}`" in body
    assert "**same-machine** (anomalies of the machine types that the model makes" in body
    for word in ("copies", "Attributes", "Levels", "epsilon"):
        assert word in body


def test_hash_of_the_data_is_what_it_says() -> None:
    expected = hashlib.blake2b(b"aa\nbb\ncc\n", digest_size=16).hexdigest()
    assert data_hash(["cc", "aa", "bb"]) == expected
    assert data_hash(["aab", "bcc"]) != data_hash(["aa", "bbcc"])


def test_licences() -> None:
    def licence(name: str) -> str:
        return licence_of(Part(name, ""))

    assert licence("t5-large") == licence("google-t5/t5-base") == licence("google/flan-t5-xl") == "Apache-2.0"
    assert "CC-BY-NC 4.0" in licence("facebook/encodec_32khz")
    for local in ("t5-mine", "/models/encodec_24khz", "somebody/flan-t5-base"):
        assert licence(local) == UNKNOWN_LICENCE
    assert licence_of(Part("/models/mine", "", "CC0-1.0")) == "CC0-1.0"


def test_what_was_not_measured_says_so() -> None:
    card = replace(CARD, training_loss=None, validation_loss=float("nan"), generated_level=None, seconds=None)
    rows = tables(parts(model_card_text(card))[1])
    assert ("last training loss", "not measured") in rows
    assert ("last validation loss, at fixed noise", "nan") in rows
    assert ("level of generated latents (1 is right)", "not measured") in rows
    assert not any(row[0].startswith("length") for row in rows)


@pytest.mark.parametrize(
    ("std", "warned"), [(4.5, True), (0.5, True), (float("nan"), True), (1.05, False), (None, False)]
)
def test_wrong_levels_are_pointed_out(std: float | None, warned: bool) -> None:
    assert ("levels of this checkpoint are off" in model_card_text(replace(CARD, generated_level=std))) == warned


def test_a_model_that_heard_no_anomaly_says_so() -> None:
    sentence = "No anomalies were among the training clips"
    assert sentence not in model_card_text(CARD)
    assert sentence in model_card_text(replace(CARD, exposure="none"))
    assert sentence in model_card_text(replace(CARD, clips={"fan": {"normal": 3}}))
    other = model_card_text(replace(CARD, exposure="half"))
    assert "Exposure to anomalies: **half**." in other


def test_caption_model_is_a_part() -> None:
    card = replace(CARD, captions="t5", caption_model=Part("t5-large", "hub:t5-large"))
    assert ("caption model", "t5-large", "hub:t5-large", "Apache-2.0") in tables(model_card_text(card))


def test_use_of_it() -> None:
    _, body = parts(model_card_text(CARD))
    code = body.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'pipeline(["A recording of a normal bearing."], seeds=[0])' in code
    assert "asdbench generate mimii_gen OUT --set checkpoint=DIR --machines bearing" in body
    odd = model_card_text(replace(CARD, clips={'a"b': {"anomaly": 1}}))
    compile(odd.split("```python\n")[1].split("```")[0], "card", "exec")


def test_writing(tmp_path: Path) -> None:
    write_model_card(tmp_path, CARD)
    write_model_card(tmp_path, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == model_card_text(CARD)
    with pytest.raises(UserError, match=r"README.md: the model card cannot be written"):
        write_model_card(tmp_path / "none", CARD)
