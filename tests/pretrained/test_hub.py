from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    EncodecModel,
    T5EncoderModel,
    T5ForConditionalGeneration,
)
from transformers.utils import logging as transformers_logging

from asdbench import UserError
from asdbench.metrics.audio.embeddings.models import feature_extractor
from asdbench.pretrained import hub
from asdbench.pretrained.hub import (
    check_safetensors,
    hub_file,
    identity_of,
    load_pretrained,
    quiet,
    refuse_pickle,
)

HUB_ID = "nobody/nothing"


class Silence:
    """A network on which nothing answers."""

    calls = 0

    def head(self, *_: Any, **__: Any) -> None:
        Silence.calls += 1
        raise ConnectionError("nothing answers")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> type[Silence]:
    Silence.calls = 0
    monkeypatch.setattr(hub._HUB, "get_session", Silence)
    return Silence


@pytest.fixture
def codec_folder(tiny_codec: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(tiny_codec, tmp_path / "codec"))


def _same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _refused(kind: Any, name: object, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_pretrained(kind, str(name), setting="codec", **options)
    message = str(caught.value)
    assert message.startswith("codec: ") and "\n" not in message
    return message


def test_a_folder_is_loaded_without_a_word(
    tiny_codec: Path, capfd: pytest.CaptureFixture[str], no_network: type[Silence]
) -> None:
    model = load_pretrained(EncodecModel, str(tiny_codec), setting="codec")
    assert _same_weights(model, EncodecModel.from_pretrained(tiny_codec))
    assert not model.training
    capfd.readouterr()
    load_pretrained(EncodecModel, str(tiny_codec), setting="codec")
    assert capfd.readouterr() == ("", "")
    assert no_network.calls == 0


def test_weights_under_the_old_names_of_weight_norm_load(codec_folder: Path) -> None:
    """The published files are older than torch's parametrisations."""
    expected = load_pretrained(EncodecModel, str(codec_folder), setting="codec")
    file = codec_folder / "model.safetensors"
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in load_file(file).items()
    }
    assert any(name.endswith("weight_g") for name in old)
    save_file(old, file, metadata={"format": "pt"})
    assert _same_weights(load_pretrained(EncodecModel, str(codec_folder), setting="codec"), expected)


def test_a_part_of_a_larger_model_loads(tiny_t5: Path) -> None:
    encoder = load_pretrained(T5EncoderModel, str(tiny_t5), setting="text_encoder")
    whole = T5ForConditionalGeneration.from_pretrained(tiny_t5)
    assert _same_weights(encoder.encoder, whole.encoder)
    tokenizer = load_pretrained(AutoTokenizer, str(tiny_t5), setting="text_encoder")
    assert tokenizer("a fan")["input_ids"][-1] == tokenizer.eos_token_id


def test_an_id_that_cannot_be_reached_says_what_to_do(no_network: type[Silence]) -> None:
    message = _refused(EncodecModel, HUB_ID)
    assert f"'{HUB_ID}'" in message and "cannot be reached" in message
    assert f"hf download {HUB_ID} --local-dir DIR" in message and "set codec to that folder" in message
    assert no_network.calls == 1  # the libraries would try six times, for 23 s
    _refused(AutoTokenizer, HUB_ID)
    assert no_network.calls == 2


def test_offline_mode_asks_nobody(no_network: type[Silence], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in _refused(EncodecModel, HUB_ID)
    assert no_network.calls == 0


def test_a_cached_model_loads_without_a_network(tiny_codec: Path, tmp_path: Path, no_network: type[Silence]) -> None:
    cached = tmp_path / "models--nobody--nothing"
    shutil.copytree(tiny_codec, cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    model = load_pretrained(EncodecModel, HUB_ID, setting="codec", cache_dir=tmp_path)
    assert _same_weights(model, EncodecModel.from_pretrained(tiny_codec))
    assert no_network.calls == 1
    (cached / "snapshots" / ("0" * 40) / "model.safetensors").unlink()
    assert "the local cache does not hold all of it" in _refused(EncodecModel, HUB_ID, cache_dir=tmp_path)


def test_paths_are_told_from_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in (str(tmp_path / "none"), "./none", "~/none-such-folder", "models/none", "a/b/c", "a\\b"):
        assert _refused(EncodecModel, name) == f"codec: no such folder: '{name}'"
    (tmp_path / "file.safetensors").touch()
    assert "is a file" in _refused(EncodecModel, "file.safetensors")
    assert "neither a folder nor a hub id" in _refused(EncodecModel, "a model of mine")
    assert "neither a folder nor a hub id" in _refused(EncodecModel, "")


def test_pickles_are_refused_and_never_read(codec_folder: Path) -> None:
    (codec_folder / "pytorch_model.bin").write_bytes(b"no pickle at all")  # beside safetensors, as on the hub
    load_pretrained(EncodecModel, str(codec_folder), setting="codec")
    (codec_folder / "model.safetensors").unlink()
    message = _refused(EncodecModel, codec_folder)
    assert str(codec_folder / "pytorch_model.bin") in message and "pickle" in message and ".safetensors" in message
    (codec_folder / "pytorch_model.bin").unlink()
    assert "holds no weights" in _refused(EncodecModel, codec_folder)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_pickles_are_found_in_the_folders_of_a_pipeline(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "unet").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    refuse_pickle(tmp_path)
    (tmp_path / "unet" / f"weights{suffix}").touch()
    with pytest.raises(UserError, match=f"weights{suffix}: weights in a pickle"):
        refuse_pickle(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_truncated_weights_are_named(codec_folder: Path, keep: int) -> None:
    file = codec_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert f"{file}: the file is truncated" in _refused(EncodecModel, codec_folder)


def test_a_missing_part_of_split_weights_is_named(tiny_codec: Path, tmp_path: Path) -> None:
    with quiet():
        EncodecModel.from_pretrained(tiny_codec).save_pretrained(tmp_path, max_shard_size="100KB")
    parts = sorted(tmp_path.glob("*.safetensors"))
    assert len(parts) > 1
    load_pretrained(EncodecModel, str(tmp_path), setting="codec")
    parts[1].unlink()
    with pytest.raises(UserError, match=f"{parts[1].name}: the file is missing"):
        check_safetensors(tmp_path)
    _refused(EncodecModel, tmp_path)


def _drop(tensors: dict[str, torch.Tensor], name: str) -> None:
    del tensors[name]


def _reshape(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = torch.zeros(len(tensors[name]) + 1)


def _add(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors["encoder.layers.99.conv.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop, "they have no encoder.layers.0.conv.bias"),
        (_reshape, "they have the wrong shape for encoder.layers.0.conv.bias"),
        (_add, "they have the unexpected encoder.layers.99.conv.bias"),
    ],
)
def test_weights_that_do_not_fill_the_model_are_refused(
    codec_folder: Path, change: Callable[[dict[str, torch.Tensor], str], None], words: str
) -> None:
    file = codec_folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors, "encoder.layers.0.conv.bias")
    save_file(tensors, file, metadata={"format": "pt"})
    assert words in _refused(EncodecModel, codec_folder)


def test_optional_weights_may_be_missing(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    with quiet():
        BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert "they have no pooler." in _refused(AutoModel, tmp_path)
    assert load_pretrained(AutoModel, str(tmp_path), setting="text_encoder", optional=("pooler.",)).config.vocab_size


def test_folders_of_something_else_are_refused(codec_folder: Path, tiny_t5: Path, tmp_path: Path) -> None:
    message = _refused(EncodecModel, tiny_t5)
    assert str(tiny_t5 / "config.json") in message and "type 't5', expected 'encodec'" in message
    assert "holds no tokenizer" in _refused(AutoTokenizer, codec_folder)
    (tmp_path / "empty").mkdir()
    assert "holds no config.json" in _refused(EncodecModel, tmp_path / "empty")
    (codec_folder / "config.json").write_text("{")
    assert "config.json: the file cannot be read as JSON" in _refused(EncodecModel, codec_folder)
    (codec_folder / "config.json").write_text("[]")
    assert "expected a JSON object, found list" in _refused(EncodecModel, codec_folder)


def test_a_config_that_makes_no_model_is_refused(codec_folder: Path) -> None:
    file = codec_folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"norm_type": "none"}))
    message = _refused(EncodecModel, codec_folder)
    assert "EncodecModel cannot be loaded" in message and "norm_type must be one of" in message


def test_identity_is_of_the_contents(codec_folder: Path, tmp_path: Path) -> None:
    first = identity_of(str(codec_folder))
    copy = Path(shutil.copytree(codec_folder, tmp_path / "copy"))
    (copy / "README.md").write_text("a model")
    (copy / "pytorch_model.bin").touch()
    (copy / ".cache").mkdir()
    (copy / ".cache" / "download.json").write_text("{}")
    assert identity_of(str(copy)) == first
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    changed = identity_of(str(copy))
    (copy / "added_tokens.json").write_text("{}")
    assert len({first, changed, identity_of(str(copy))}) == 3
    assert identity_of("facebook/encodec_24khz") == "hub:facebook/encodec_24khz"
    with pytest.raises(UserError, match="no such folder"):
        identity_of(str(tmp_path / "none"))


def test_one_file_of_a_model_comes_from_the_cache(tmp_path: Path, no_network: type[Silence]) -> None:
    snapshot = tmp_path / "models--nobody--nothing" / "snapshots" / ("0" * 40)
    refs, absent = snapshot.parents[1] / "refs", snapshot.parents[1] / ".no_exist" / ("0" * 40)
    for folder in (snapshot, refs, absent):
        folder.mkdir(parents=True)
    (refs / "main").write_text("0" * 40)
    (snapshot / "table.csv").write_text("a")
    (absent / "other.csv").touch()  # the hub's mark for a file that was asked for and is not there
    assert hub_file(HUB_ID, "table.csv", cache_dir=tmp_path) == snapshot / "table.csv"
    assert hub_file(HUB_ID, "other.csv", cache_dir=tmp_path) is None
    with pytest.raises(UserError, match=f"checkpoint: the model '{HUB_ID}' cannot be loaded .*cannot be reached"):
        hub_file(HUB_ID, "unknown.csv", cache_dir=tmp_path)


def test_quiet_puts_everything_back() -> None:
    def state() -> tuple[int, bool, bool]:
        bars = transformers_logging.is_progress_bar_enabled(), hub._HUB.are_progress_bars_disabled()
        return logging.getLogger("transformers").level, *bars

    before = state()
    within: list[tuple[int, bool, bool]] = []

    @quiet()
    def fail() -> None:
        within.append(state())
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert within == [(logging.ERROR, False, True)]
    assert state() == before


def _marks(folder: Path) -> Path:
    """Let a folder's parts ask for code that would write the file that is returned."""
    mark = folder / "ran"
    (folder / "own_code.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Own: ...\n")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        path = folder / name
        data = json.loads(path.read_text()) if path.is_file() else {}
        classes = {"AutoTokenizer": ["own_code.Own", "own_code.Own"]} | dict.fromkeys(
            ("AutoConfig", "AutoModel", "AutoFeatureExtractor"), "own_code.Own"
        )
        kinds = {
            "model_type": "own",
            "tokenizer_class": "Own",
            "feature_extractor_type": "Own",
            "architectures": ["Own"],
        }
        path.write_text(json.dumps(data | kinds | {"auto_map": classes}))
    return mark


@pytest.mark.parametrize("kind", [AutoTokenizer, AutoModel])
def test_code_beside_weights_is_neither_run_nor_asked_about(
    tiny_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(tiny_t5, folder)
    mark = _marks(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("there was a question"))
    _refused(kind, folder)
    assert not mark.exists()


def test_code_beside_a_feature_extractor_is_neither_run_nor_asked_about(
    tiny_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(tiny_t5, folder)
    mark = _marks(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("there was a question"))
    with pytest.raises(UserError, match="has no feature extractor that can be loaded"):
        feature_extractor(str(folder))
    assert not mark.exists()
