"""Original EnCodec checkpoints to the folder format that the plugin loads.

    python -m asdbench.generators.mimii_gen.latents.encodec_checkpoint encodec_24khz-d7cc33bc.th OUT_DIR

The first release of EnCodec (github.com/facebookresearch/encodec) keeps its weights in ``.th`` files, which are
pickles. They are read here, and only here, with torch's restricted unpickler, which builds tensors and containers and
nothing else. The network is that of `transformers.EncodecModel`, module by module and in the same order; only names
differ:

=====================================  =========================================
original                               transformers
=====================================  =========================================
``encoder.model.N``                    ``encoder.layers.N`` (decoder likewise)
``….conv.conv.``, ``….convtr.convtr.`` ``….conv.``
``….conv.norm.``, ``….convtr.norm.``   ``….norm.`` (48 kHz)
``weight_g``, ``weight_v``             ``parametrizations.weight.original0``, ``…original1``
``quantizer.vq.layers.N._codebook.``   ``quantizer.layers.N.codebook.``
=====================================  =========================================

Residual blocks (``block.1``, ``block.3``, ``shortcut``) and LSTMs (``lstm.weight_ih_l0`` …) have the same names within.
No value is changed, so that both give the same sound, bit for bit where both are computed by the same kernels.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from asdbench import UserError
from asdbench.pretrained.hub import quiet

_RENAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(?:conv\.conv|convtr\.convtr)\.", ".conv."),
    (r"\.(?:conv|convtr)\.norm\.", ".norm."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)

_48_KHZ: dict[str, Any] = {
    "sampling_rate": 48000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
}
"""How the published 48 kHz model differs from the 24 kHz model, which has the default configuration."""


def convert_state_dict(state: Mapping[str, Tensor], config: EncodecConfig) -> dict[str, Tensor]:
    """Rename the tensors of an original checkpoint to those of `transformers.EncodecModel`.

    Args:
        state: names and tensors of the original layout.
        config: configuration of the network.

    Raises:
        UserError: a tensor is missing, has another shape than the configuration says, or is not part of the network.
    """
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in EncodecModel(config).state_dict().items()}
    converted: dict[str, Tensor] = {}
    originals: dict[str, str] = {}
    for original, tensor in state.items():
        name = original
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if name not in wanted:
            raise UserError(f"the checkpoint holds '{original}', which is no part of an EnCodec of this configuration")
        converted[name], originals[name] = tensor, original
    missing = [name for name in wanted if name not in converted]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"the checkpoint has no tensor for '{missing[0]}'{more}, expected a whole EnCodec")
    for name, shape in wanted.items():
        if converted[name].shape != shape:
            raise UserError(
                f"the checkpoint's '{originals[name]}' has the shape {tuple(converted[name].shape)}, "
                f"expected {tuple(shape)} by the configuration"
            )
    return {name: converted[name] for name in wanted}


def load_original(path: str | Path, config: EncodecConfig | None = None) -> EncodecModel:
    """Load an original checkpoint as `transformers.EncodecModel`, in evaluation mode.

    Args:
        path: a ``.th`` file, or the same tensors as ``.safetensors``.
        config: configuration of the network; None takes that of the published model with as many audio channels: one
            is the 24 kHz model, two the 48 kHz model.

    Raises:
        UserError: the file cannot be read, needs more than tensors to be unpickled, or is no such checkpoint.
    """
    path = Path(path)
    state = _read(path)
    if config is None:
        config = _published_config(state)
    try:
        converted = convert_state_dict(state, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    model: Any = EncodecModel(config)
    model.load_state_dict(converted)
    network: EncodecModel = model.eval()
    return network


def _published_config(state: Mapping[str, Tensor]) -> EncodecConfig:
    first = state.get("encoder.model.0.conv.conv.weight", state.get("encoder.model.0.conv.conv.weight_v"))
    stereo = first is not None and first.ndim == 3 and first.shape[1] == 2
    return EncodecConfig(**_48_KHZ) if stereo else EncodecConfig()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: the file is no checkpoint of plain tensors (torch refused to unpickle it), "
            "expected the .th file of an original EnCodec"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: the file cannot be read as a checkpoint ({reason})") from error
    if isinstance(state, dict) and isinstance(state.get("best_state"), dict):
        state = state["best_state"]  # as AudioCraft keeps the models it trains
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a mapping of names to tensors, the state dict of an original EnCodec")
    return state


class _Refusal(click.ClickException):
    exit_code = 2  # as the other commands


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="config.json of a transformers EnCodec, for models other than the published 24 and 48 kHz ones.",
)
def main(checkpoint: Path, out_dir: Path, config_file: Path | None) -> None:
    """Convert the original EnCodec CHECKPOINT (.th) to a folder that the setting "codec" takes."""
    try:
        model: Any = load_original(checkpoint, _read_config(config_file) if config_file else None)
    except UserError as error:
        raise _Refusal(str(error)) from error
    with quiet():
        model.save_pretrained(out_dir)
    click.echo(f"wrote {out_dir} ({model.config.sampling_rate} Hz, {model.config.num_quantizers} codebooks)")


def _read_config(path: Path) -> EncodecConfig:
    try:
        return EncodecConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: expected the config.json of an EnCodec ({error})") from error


if __name__ == "__main__":
    main()
