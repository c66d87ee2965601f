"""Pretrained parts by hub id or local folder: safetensors only, whole or not at all.

The libraries are lenient: they start from random weights where a file lacks some, unpickle where there is no
safetensors file, and try for half a minute to reach a hub that cannot be reached. Here each of these is a `UserError`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.utils
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from asdbench import UserError
from asdbench.pretrained.files import identity_of, local_folder

__all__ = [
    "PICKLES",
    "check_safetensors",
    "hub_file",
    "identity_of",
    "load_pretrained",
    "local_folder",
    "quiet",
    "refuse_pickle",
]

PICKLES = (".bin", ".pt", ".pth", ".th", ".ckpt", ".pkl", ".pickle")
"""How the names of weight files end that run code when they are read."""
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "spiece.model", "tokenizer.model", "vocab.json", "vocab.txt")
_HUB: Any = huggingface_hub.utils  # its names are loaded lazily, which mypy cannot see
_LIBRARIES = ("transformers", "diffusers", "huggingface_hub", "accelerate")
_PROBE_SECONDS = 5.0


def load_pretrained(kind: Any, name: str, *, setting: str, optional: Sequence[str] = (), **kwargs: Any) -> Any:
    """Load a model or tokenizer from the hub, from its local cache or from a folder.

    Args:
        kind: a class with ``from_pretrained``: of transformers (models and tokenizers) or a diffusers model.
        name: an id such as ``facebook/encodec_24khz``, or a folder.
        setting: the setting of the plugin that holds the name, for messages.
        optional: first words of weights that may be missing, such as ``"pooler."`` where the pooler is not used.
        kwargs: passed on to ``from_pretrained``.

    Raises:
        UserError: there is no such folder; the hub cannot be reached and the model is not cached; the files are
            pickles, truncated, of another model type, or lack weights. The message names the file or id.
    """
    folder = local_folder(name, setting)
    tokenizer = _is_tokenizer(kind)
    if folder is not None:
        _check_folder(folder, kind, tokenizer, setting)
        options: dict[str, Any] = {"local_files_only": True}
    else:
        options = {"local_files_only": not _hub_answers()}
    if not _is_of_diffusers(kind):  # which knows no such option: it runs no code that comes with weights
        options["trust_remote_code"] = False  # left out, transformers asks at the terminal
    if not tokenizer:
        # Tensors of a wrong shape are let through here so that `_check_weights` can name them.
        options |= {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    source = name if folder is None else str(folder)
    try:
        with quiet():
            loaded = kind.from_pretrained(source, **options, **kwargs)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError, StrictDataclassError) as error:
        if folder is None:
            raise UserError(_not_from_hub(name, setting, options["local_files_only"], error)) from error
        raise UserError(f"{setting}: {folder}: {kind.__name__} cannot be loaded ({_reason(error)})") from error
    if tokenizer:
        return loaded
    model, info = loaded
    _check_weights(model, info, name, setting, optional)
    return model


def hub_file(name: str, file: str, *, setting: str = "checkpoint", cache_dir: Path | None = None) -> Path | None:
    """Return one file of a model on the hub, brought here if need be; None where the model has no such file.

    Args:
        name: hub id.
        file: name of the file in the model.
        setting: see `load_pretrained`.
        cache_dir: where downloads are kept; None for the hub's own place.

    Raises:
        UserError: the model cannot be reached and what was cached of it does not tell.
    """
    reachable = _hub_answers()
    if not reachable:
        cached = huggingface_hub.try_to_load_from_cache(name, file, cache_dir)
        if cached is not None:
            return Path(cached) if isinstance(cached, str) else None  # else it is known that there is none
    try:
        with quiet():
            return Path(
                huggingface_hub.hf_hub_download(name, file, cache_dir=cache_dir, local_files_only=not reachable)
            )
    except LocalEntryNotFoundError as error:
        raise UserError(_not_from_hub(name, setting, not reachable, error)) from error
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(_not_from_hub(name, setting, not reachable, error)) from error


def refuse_pickle(folder: Path, setting: str = "") -> None:
    """Refuse weights that come as pickles only, in a folder or in the folders in it.

    A pickle beside safetensors is allowed, as on the hub; it is never read.

    Raises:
        UserError: names the first such file.
    """
    prefix = f"{setting}: " if setting else ""
    for path in sorted(folder.rglob("*")):
        if path.suffix in PICKLES and path.is_file() and not any(path.parent.glob("*.safetensors")):
            raise UserError(
                f"{prefix}{path}: weights in a pickle are refused because reading them can run any code, "
                "expected a .safetensors file"
            )


def check_safetensors(folder: Path, setting: str = "") -> None:
    """Check that all safetensors files under a folder are whole, and that none of an index is missing.

    The weights are not read: the header says how long a file must be.

    Raises:
        UserError: names the first file that is damaged or missing.
    """
    prefix = f"{setting}: " if setting else ""
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{prefix}{path}: the file is truncated or no safetensors file ({_reason(error)})"
            ) from error
    for path in sorted(folder.rglob("*.safetensors.index.json")):
        for name in sorted(set(_read_json(path, prefix).get("weight_map", {}).values())):
            if not (path.parent / name).is_file():
                raise UserError(f"{prefix}{path.parent / name}: the file is missing, {path.name} lists it")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and warnings of transformers, diffusers and the hub within a block."""
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    hub_bars = not _HUB.are_progress_bars_disabled()
    restore: list[Callable[[], None]] = []
    for library in _progress_libraries():
        if library.is_progress_bar_enabled():
            library.disable_progress_bar()
            restore.append(library.enable_progress_bar)
    if hub_bars:
        _HUB.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for enable in restore:
            enable()
        if hub_bars:
            _HUB.enable_progress_bars()


def _progress_libraries() -> list[Any]:
    """The logging modules of transformers and, where it has been imported, of diffusers."""
    diffusers_logging = sys.modules.get("diffusers.utils.logging")
    return [transformers_logging, *([diffusers_logging] if diffusers_logging else [])]


def _is_of_diffusers(kind: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "diffusers" for base in kind.__mro__)


def _is_tokenizer(kind: Any) -> bool:
    return kind is AutoTokenizer or issubclass(kind, PreTrainedTokenizerBase)


def _check_folder(folder: Path, kind: Any, tokenizer: bool, setting: str) -> None:
    if tokenizer:
        if not any((folder / name).is_file() for name in _TOKENIZERS):
            raise UserError(f"{setting}: {folder} holds no tokenizer, expected a tokenizer.json")
        return
    if not (folder / "config.json").is_file():
        raise UserError(f"{setting}: {folder} holds no config.json, expected the folder of a model")
    config = _read_json(folder / "config.json", f"{setting}: ")
    found, wanted = config.get("model_type"), getattr(getattr(kind, "config_class", None), "model_type", None)
    if wanted and found != wanted:
        raise UserError(f"{setting}: {folder / 'config.json'} describes a model of type '{found}', expected '{wanted}'")
    refuse_pickle(folder, setting)
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{setting}: {folder} holds no weights, expected a .safetensors file")
    check_safetensors(folder, setting)


def _read_json(path: Path, prefix: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{prefix}{path}: the file cannot be read as JSON ({_reason(error)})") from error
    if not isinstance(data, dict):
        raise UserError(f"{prefix}{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _hub_answers() -> bool:
    """Whether the hub can be reached: asked once and without the five retries, which take 23 s."""
    if constants.is_offline_mode():
        return False
    try:
        _HUB.get_session().head(constants.ENDPOINT, timeout=_PROBE_SECONDS)
    except Exception:  # which errors there are depends on the HTTP library, and this changed twice
        return False
    return True


def _not_from_hub(name: str, setting: str, unreachable: bool, error: Exception) -> str:
    reason = _reason(error)
    if unreachable:
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else f"{constants.ENDPOINT} cannot be reached"
        reason = f"{why} and the local cache does not hold all of it"
    return (
        f"{setting}: the model '{name}' cannot be loaded ({reason}); download it elsewhere with "
        f"'hf download {name} --local-dir DIR' and set {setting} to that folder"
    )


def _check_weights(model: Any, info: dict[str, Any], name: str, setting: str, optional: Sequence[str]) -> None:
    """Refuse weights that do not fill the model, or that fill parts of it which it does not have.

    Tensors of parts that the class does not have at all (the decoder of a T5 whose encoder is loaded, the head of a
    language model) are left unused, as intended.
    """
    mismatched = sorted(str(entry[0] if isinstance(entry, tuple) else entry) for entry in info["mismatched_keys"])
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(tuple(optional)))
    parts = {key.split(".")[0] for key in model.state_dict()}
    unexpected = sorted(key for key in info["unexpected_keys"] if key.split(".")[0] in parts)
    for keys, what in ((mismatched, "the wrong shape for"), (missing, "no"), (unexpected, "the unexpected")):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise UserError(
                f"{setting}: the weights of '{name}' do not fit its config.json: they have {what} {keys[0]}{more}"
            )
    if info.get("error_msgs"):
        raise UserError(f"{setting}: the weights of '{name}' do not fit its config.json ({info['error_msgs'][0]})")


def _reason(error: BaseException) -> str:
    """The line of an error that says what is wrong."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[-1] if isinstance(error, StrictDataclassError) else lines[0]
    return line.strip().rstrip(".:")
