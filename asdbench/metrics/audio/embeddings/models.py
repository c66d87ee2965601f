"""What the embeddings with weights share: where weights come from, the device, and cutting a clip into segments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asdbench import UserError
from asdbench.pretrained.files import identity_of, local_folder

if TYPE_CHECKING:
    import torch

Waveform = npt.NDArray[np.float32]


def pretrained(kind: Any, name: str, setting: str = "model", **kwargs: Any) -> Any:
    """A model, tokenizer or feature extractor of transformers by hub id or folder; see `load_pretrained`.

    Raises:
        UserError: it cannot be loaded.
    """
    from asdbench.pretrained.hub import load_pretrained

    return load_pretrained(kind, name, setting=setting, **kwargs)


def feature_extractor(name: str, setting: str = "model") -> Any:
    """The feature extractor that belongs to a model, by hub id or folder.

    Raises:
        UserError: there is none, or it cannot be reached.
    """
    import huggingface_hub
    from transformers import AutoFeatureExtractor

    from asdbench.pretrained.hub import quiet

    folder = local_folder(name, setting)
    source = name if folder is None else str(folder)
    # The model has been loaded before this: what the hub has of it is in the cache, unless its extractor is missing.
    offline = folder is not None or huggingface_hub.constants.is_offline_mode()
    try:
        with quiet():
            return AutoFeatureExtractor.from_pretrained(source, local_files_only=offline, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise UserError(
            f"{setting}: '{name}' has no feature extractor that can be loaded (preprocessor_config.json): {reason}"
        ) from error


def identity(name: str, setting: str = "model", *, file: bool = False) -> dict[str, str]:
    """What `Plugin.inputs` says of a model: a hash of its files, or its hub id.

    Raises:
        UserError: there is no such folder or file.
    """
    return {setting: identity_of(name, setting, file=file)}


def weights(path: str, setting: str = "weights") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: there is no such file, or it is none; pickles are refused.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{setting}: {path}: the file does not exist, expected a .safetensors file")
    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{setting}: {path}: expected a .safetensors file, and it cannot be read as one ({error})"
        ) from None


def fill(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: str, setting: str = "weights") -> None:
    """Load tensors into a network, all of them or none.

    Raises:
        UserError: names the first tensor that is missing, unexpected or of another shape.
    """
    wanted = network.state_dict()
    for name in [*wanted, *tensors]:
        found, expected = tensors.get(name), wanted.get(name)
        if found is None or expected is None:
            what = f"lacks the tensor '{name}'" if found is None else f"holds the unexpected tensor '{name}'"
            raise UserError(f"{setting}: {path} {what}, expected the weights of {type(network).__name__}")
        if found.shape != expected.shape:
            raise UserError(
                f"{setting}: {path}: '{name}' has the shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
            )
    network.load_state_dict(tensors)


def device_of(name: str) -> torch.device:
    """A device by name; "auto" is the first GPU, or the CPU where there is none.

    Raises:
        UserError: this machine has no such device.
    """
    from asdbench.pretrained.device import choose_device

    device: torch.device = choose_device(name)
    return device


def segments(waveform: Waveform, length: int, shortest: int) -> list[Waveform]:
    """A clip cut into segments of ``length`` samples; a last one below ``shortest`` is dropped unless it is alone."""
    parts = [waveform[start : start + length] for start in range(0, max(len(waveform), 1), length)]
    return [part for part in parts if len(part) >= shortest] or parts[:1]


def refuse_short(waveform: Waveform, needed: int, sample_rate: int, model: str) -> None:
    """Raise a UserError where a clip is too short for a model."""
    if len(waveform) < needed:
        raise UserError(
            f"the clip has {len(waveform) / sample_rate:.2f} s, {model} needs at least {needed / sample_rate:.2f} s"
        )
