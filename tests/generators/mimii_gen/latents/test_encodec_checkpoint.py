"""The original layout is written down here a second time: as a network of its own, and as a table of module indices."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import click.testing
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import elu, pad
from transformers import EncodecConfig, EncodecModel

from asdbench import UserError
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.encodec_checkpoint import convert_state_dict, load_original, main

SMALL: dict[str, Any] = {"num_filters": 2, "hidden_size": 16, "codebook_size": 16, "target_bandwidths": [3.0]}
SMALL_48: dict[str, Any] = SMALL | {
    "sampling_rate": 48000,
    "audio_channels": 2,
    "normalize": True,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
}

# Places in the module lists of the original SEANet with four strides and one residual block each.
ENCODER_CONVS, ENCODER_BLOCKS, ENCODER_LSTM = (0, 3, 6, 9, 12, 15), (1, 4, 7, 10), 13
DECODER_CONVS, DECODER_TRANSPOSED, DECODER_BLOCKS, DECODER_LSTM = (0, 15), (3, 6, 9, 12), (4, 7, 10, 13), 1
LSTM_TENSORS = [f"{kind}_l{layer}" for layer in (0, 1) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _original_names(normed: bool, codebooks: int) -> dict[str, str]:
    """Names in transformers by the original name: ``normed`` for weight norm, else the group norm of 48 kHz."""
    names: dict[str, str] = {}

    def conv(original: str, ours: str, kind: str = "conv") -> None:
        original = f"{original}.{kind}"
        names[f"{original}.{kind}.bias"] = f"{ours}.conv.bias"
        if normed:
            names[f"{original}.{kind}.weight_g"] = f"{ours}.conv.parametrizations.weight.original0"
            names[f"{original}.{kind}.weight_v"] = f"{ours}.conv.parametrizations.weight.original1"
        else:
            names[f"{original}.{kind}.weight"] = f"{ours}.conv.weight"
            names[f"{original}.norm.weight"] = f"{ours}.norm.weight"
            names[f"{original}.norm.bias"] = f"{ours}.norm.bias"

    for side, convs, transposed, blocks, lstm in (
        ("encoder", ENCODER_CONVS, (), ENCODER_BLOCKS, ENCODER_LSTM),
        ("decoder", DECODER_CONVS, DECODER_TRANSPOSED, DECODER_BLOCKS, DECODER_LSTM),
    ):
        for index in convs:
            conv(f"{side}.model.{index}", f"{side}.layers.{index}")
        for index in transposed:
            conv(f"{side}.model.{index}", f"{side}.layers.{index}", "convtr")
        for index in blocks:
            for inner in ("block.1", "block.3", "shortcut"):
                conv(f"{side}.model.{index}.{inner}", f"{side}.layers.{index}.{inner}")
        for name in LSTM_TENSORS:
            names[f"{side}.model.{lstm}.lstm.{name}"] = f"{side}.layers.{lstm}.lstm.{name}"
    for index in range(codebooks):
        for name in ("inited", "cluster_size", "embed", "embed_avg"):
            names[f"quantizer.vq.layers.{index}._codebook.{name}"] = f"quantizer.layers.{index}.codebook.{name}"
    return names


def _model(**settings: Any) -> EncodecModel:
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig(**settings)).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_(0.0, 0.2)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)  # so that norms and magnitudes are not those of a start
    return model


def _original(model: EncodecModel) -> dict[str, Tensor]:
    """The tensors of a model under their original names."""
    names = _original_names(model.config.norm_type == "weight_norm", len(model.quantizer.layers))
    tensors = model.state_dict()
    assert sorted(names.values()) == sorted(tensors)
    return {original: tensors[ours].clone() for original, ours in names.items()}


@torch.no_grad()
def _encode_by_hand(state: dict[str, Tensor], wave: Tensor) -> Tensor:
    """The causal encoder of the EnCodec paper (section 3.1) in plain torch, from tensors under their original names.

    Strides of 2, 4, 5 and 8 by convolutions of twice that width, residual blocks of widths 3 and 1 with a convolution
    as shortcut, a two-layer LSTM with a skip; weights are g v / |v|; input is mirrored at the start.
    """

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        g, v = state[f"{name}.conv.conv.weight_g"], state[f"{name}.conv.conv.weight_v"]
        weight = g * v / v.square().sum(dim=(1, 2), keepdim=True).sqrt()
        x = pad(x, (v.shape[2] - stride, 0), mode="reflect") if v.shape[2] > stride else x
        return nn.functional.conv1d(x, weight, state[f"{name}.conv.conv.bias"], stride)

    def lstm(x: Tensor, name: str) -> Tensor:  # x: (batch, channels, time)
        sequence = x.permute(2, 0, 1)
        for layer in (0, 1):
            w_ih, w_hh, b_ih, b_hh = (
                state[f"{name}.lstm.{kind}_l{layer}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            hidden = cell = torch.zeros(sequence.shape[1], w_hh.shape[1])
            steps = []
            for frame in sequence:
                gates = frame @ w_ih.T + b_ih + hidden @ w_hh.T + b_hh
                enter, forget, new, leave = gates.chunk(4, dim=1)
                cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
                hidden = torch.sigmoid(leave) * torch.tanh(cell)
                steps.append(hidden)
            sequence = torch.stack(steps)
        return sequence.permute(1, 2, 0) + x

    x = conv(wave, "encoder.model.0")
    for block, down, stride in ((1, 3, 2), (4, 6, 4), (7, 9, 5), (10, 12, 8)):
        name = f"encoder.model.{block}"
        inner = conv(elu(conv(elu(x), f"{name}.block.1")), f"{name}.block.3")
        x = conv(elu(conv(x, f"{name}.shortcut") + inner), f"encoder.model.{down}", stride)
    return conv(elu(lstm(x, "encoder.model.13")), "encoder.model.15")


def _same(left: EncodecModel, right: EncodecModel) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("settings", [SMALL, SMALL_48])
def test_a_converted_checkpoint_gives_the_same_sound(settings: dict[str, Any], tmp_path: Path) -> None:
    model = _model(**settings)
    torch.save(_original(model), tmp_path / "encodec.th")
    save_file(_original(model), tmp_path / "encodec.safetensors")
    for name in ("encodec.th", "encodec.safetensors"):
        loaded = load_original(tmp_path / name, EncodecConfig(**settings))
        assert not loaded.training and _same(loaded, model)
        before, after = Codec(model, None), Codec(loaded, None)
        sound = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
        codes = before.encode(sound)
        assert torch.equal(after.encode(sound), codes)
        assert torch.equal(after.decode(after.latents(codes)), before.decode(before.latents(codes)))
        assert after.identity == before.identity


def test_the_encoder_is_that_of_the_paper() -> None:
    model = _model(**SMALL)
    state = _original(model)
    converted: Any = EncodecModel(EncodecConfig(**SMALL)).eval()
    converted.load_state_dict(convert_state_dict(state, EncodecConfig(**SMALL)))
    wave = torch.randn(2, 1, 10 * 320, generator=torch.Generator().manual_seed(0))
    expected = _encode_by_hand(state, wave)
    assert expected.shape == (2, 16, 10) and float(expected.std()) > 0.01
    with torch.no_grad():
        torch.testing.assert_close(converted.encoder(wave), expected, atol=1e-5, rtol=0)


def test_the_published_sizes_are_known(tmp_path: Path) -> None:
    for settings, names in (({}, 32), (_published_48(), 16)):
        with torch.device("meta"):
            model = EncodecModel(EncodecConfig(**settings))
        empty = {name: torch.ones(tensor.shape) for name, tensor in _named(model, names).items()}
        torch.save(empty, tmp_path / "encodec.th")
        loaded = load_original(tmp_path / "encodec.th")
        assert {key: getattr(loaded.config, key) for key in settings} == settings
        assert len(loaded.quantizer.layers) == names


def _published_48() -> dict[str, Any]:
    return {
        "sampling_rate": 48000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
    }


def _named(model: EncodecModel, codebooks: int) -> dict[str, Tensor]:
    names = _original_names(model.config.norm_type == "weight_norm", codebooks)
    tensors = model.state_dict()
    return {original: tensors[ours] for original, ours in names.items()}


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    config = EncodecConfig(**SMALL)
    state = _original(_model(**SMALL))
    less = {name: tensor for name, tensor in state.items() if not name.endswith("weight_hh_l1")}
    with pytest.raises(UserError, match=r"no tensor for 'encoder\.layers\.13\.lstm\.weight_hh_l1' and 1 more"):
        convert_state_dict(less, config)
    with pytest.raises(UserError, match=r"holds 'encoder\.model\.16\.conv\.conv\.bias', which is no part"):
        convert_state_dict(state | {"encoder.model.16.conv.conv.bias": torch.zeros(1)}, config)
    with pytest.raises(UserError, match=r"'encoder\.model\.0\.conv\.conv\.bias' has the shape \(3,\), expected \(2,\)"):
        convert_state_dict(state | {"encoder.model.0.conv.conv.bias": torch.zeros(3)}, config)
    torch.save(state, tmp_path / "small.th")
    with pytest.raises(UserError, match=r"small\.th: the checkpoint has no tensor for"):
        load_original(tmp_path / "small.th")  # not of the published size


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_other_files_are_refused_and_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap, text = tmp_path / "trap.th", tmp_path / "text.th"
    torch.save({"a": _Trap()}, trap)
    text.write_text("no checkpoint")
    with pytest.raises(UserError, match=r"trap\.th: the file is no checkpoint of plain tensors"):
        load_original(trap)
    trap.write_bytes(pickle.dumps(_Trap(), protocol=2))
    with pytest.raises(UserError, match=r"trap\.th"):
        load_original(trap)
    assert not (tmp_path / "sprung").exists()
    for name in ("text.th", "none.th", "none.safetensors"):
        with pytest.raises(UserError, match=name):
            load_original(tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.th")
    with pytest.raises(UserError, match="expected a mapping of names to tensors"):
        load_original(tmp_path / "list.th")
    whole = tmp_path / "whole.th"
    torch.save({"a": torch.zeros(1000)}, whole)
    whole.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"whole\.th: the file cannot be read"):
        load_original(whole)


def test_the_command_writes_a_folder_that_loads(tmp_path: Path) -> None:
    model = _model(**SMALL)
    torch.save({"best_state": _original(model)}, tmp_path / "in.th")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    runner = click.testing.CliRunner()
    out = tmp_path / "out"
    done = runner.invoke(main, [str(tmp_path / "in.th"), str(out), "--config", str(tmp_path / "config.json")])
    assert done.exit_code == 0, done.output
    assert done.output == f"wrote {out} (24000 Hz, 10 codebooks)\n"
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    assert Codec.load(str(out), 3.0).identity == Codec(model, 3.0).identity
    refused = runner.invoke(main, [str(tmp_path / "none.th"), str(out)])
    assert refused.exit_code == 2 and "none.th: the file cannot be read" in refused.output
    refused = runner.invoke(main, [str(tmp_path / "in.th"), str(out), "--config", str(tmp_path / "in.th")])
    assert refused.exit_code == 2 and "expected the config.json of an EnCodec" in refused.output
