"""Captions written by a small T5 with random weights: what it says is nonsense, but the same nonsense each time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.conditioning.caption_t5 import CaptionWriter
from asdbench.generators.shared.captions import Description

DESCRIPTIONS = [
    Description("fan", "normal", {"m-n": "W"}, "source"),
    Description("bearing", "anomaly", {"vel": "6", "loc": "A"}, "target", fault="outer_race", severity=1.3),
    Description("valve", "normal"),
    Description("fan", "normal", {"m-n": "X"}, "source"),
    Description("gearbox", "anomaly", {"volt": "1.5", "wt": "150"}, fault="wear", severity=0.2),
]


@pytest.fixture(scope="module")
def talkative(tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small T5 with larger weights, so that what it writes depends on what it reads."""
    return _changed(tiny_t5, tmp_path_factory.mktemp("talkative"), _louder)


def _changed(folder: Path, copy: Path, change: Callable[[torch.nn.Module], None]) -> Path:
    from transformers import T5ForConditionalGeneration

    shutil.copytree(folder, copy, dirs_exist_ok=True)
    model = T5ForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        change(model)
    model.save_pretrained(copy)
    return copy


def _louder(model: torch.nn.Module) -> None:
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "EncDecAttention" in name or ("encoder.block" in name and weight.ndim == 2):
            weight.normal_(0.0, 0.7)


def test_equal_metadata_get_equal_captions_and_others_do_not(talkative: Path) -> None:
    captions = CaptionWriter(str(talkative)).write([*DESCRIPTIONS, DESCRIPTIONS[1], DESCRIPTIONS[0]])
    assert captions[5] == captions[1]
    assert captions[6] == captions[0]
    assert len(set(captions)) > 2
    assert all(caption == " ".join(caption.split()) and caption for caption in captions)


def test_the_result_depends_on_neither_batch_nor_order_nor_run(talkative: Path) -> None:
    expected = CaptionWriter(str(talkative)).write(DESCRIPTIONS)
    assert CaptionWriter(str(talkative), batch_size=1).write(DESCRIPTIONS) == expected
    assert CaptionWriter(str(talkative), batch_size=2).write(DESCRIPTIONS) == expected
    assert CaptionWriter(str(talkative)).write(DESCRIPTIONS[::-1]) == expected[::-1]
    writer = CaptionWriter(str(talkative))
    assert [writer.write([description])[0] for description in DESCRIPTIONS] == expected


def test_equal_metadata_are_written_once(talkative: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = CaptionWriter(str(talkative))
    rows = []
    generate = writer.model.generate

    def counting(**options: torch.Tensor) -> torch.Tensor:
        rows.append(len(options["input_ids"]))
        return generate(**options)  # type: ignore[no-any-return]

    monkeypatch.setattr(writer.model, "generate", counting)
    writer.write(DESCRIPTIONS * 10)
    assert rows == [len(DESCRIPTIONS)]


def test_it_is_beam_search_over_the_documented_prompt(talkative: Path) -> None:
    """Against transformers called by hand for one description."""
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(talkative).eval()
    tokenizer = AutoTokenizer.from_pretrained(talkative)
    inputs = tokenizer("summarize: machine: fan; condition: normal; m-n: W; domain: source", return_tensors="pt")
    with torch.no_grad():
        tokens = model.generate(
            input_ids=inputs["input_ids"], num_beams=4, do_sample=False, max_new_tokens=64, no_repeat_ngram_size=3
        )
    expected = " ".join(tokenizer.decode(tokens[0], skip_special_tokens=True).split())
    assert CaptionWriter(str(talkative)).write([DESCRIPTIONS[0]]) == [expected]


def test_generation_settings_of_the_checkpoint_do_not_count(talkative: Path, tmp_path: Path) -> None:
    expected = CaptionWriter(str(talkative)).write(DESCRIPTIONS)
    shutil.copytree(talkative, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 5.0, "max_length": 4, "num_beams": 1, "min_length": 30}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    assert CaptionWriter(str(tmp_path)).write(DESCRIPTIONS) == expected


def test_another_prompt(talkative: Path) -> None:
    writer = CaptionWriter(str(talkative), prompt="Describe the sound: {metadata}.")
    assert writer.write(DESCRIPTIONS) != CaptionWriter(str(talkative)).write(DESCRIPTIONS)
    with pytest.raises(UserError, match=r"caption_prompt: 'Describe' has no '\{metadata\}'"):
        CaptionWriter(str(talkative), prompt="Describe")


def test_an_empty_caption_is_an_error(talkative: Path) -> None:
    writer = CaptionWriter(str(talkative))
    end = writer.tokenizer.eos_token_id

    def prefer_the_end(_: object, __: object, logits: torch.Tensor) -> torch.Tensor:
        return logits + 1e4 * torch.nn.functional.one_hot(torch.tensor(end), logits.shape[-1])

    writer.model.lm_head.register_forward_hook(prefer_the_end)
    with pytest.raises(UserError, match=r"writes an empty caption for 'machine: valve; .*'captions: template'"):
        writer.write([DESCRIPTIONS[2]])


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"caption_model.*no such folder"):
        CaptionWriter(str(tmp_path / "none"))
