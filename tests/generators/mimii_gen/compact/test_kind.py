from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from asdbench import UserError
from asdbench.generators.mimii_gen.compact.kind import is_compact
from asdbench.generators.mimii_gen.compact.network import CompactNetwork
from asdbench.generators.mimii_gen.generator import MimiiGen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact codec as it is saved."""
    folder = tmp_path_factory.mktemp("codec")
    CompactNetwork(bands=8, clip_dim=2, frame_dim=1, width=8).save_pretrained(folder)
    return folder


def test_a_compact_codec_is_known_by_its_name_or_configuration(folder: Path, tiny_codec: Path, tmp_path: Path) -> None:
    assert is_compact("compact") and is_compact(str(folder)) and not is_compact(str(tiny_codec))
    assert not is_compact("facebook/encodec_24khz") and not is_compact(str(tmp_path))
    (tmp_path / "config.json").write_text("[1")
    assert not is_compact(str(tmp_path))


REASONS = {
    "bandwidth": "which has no bit rate",
    "channels": "whose latents are a sequence and a vector and are not reshaped",
    "normalization": "whose latents are always normalised by dimension",
    "gradient_checkpointing": "whose U-Net needs little memory",
}


@pytest.mark.parametrize(
    ("name", "value", "found", "default"),
    [
        ("bandwidth", 12.0, "12.0", "24.0"),
        ("bandwidth", None, "null", "24.0"),
        ("channels", 8, "8", "16"),
        ("normalization", "none", "none", "channel"),
        ("gradient_checkpointing", True, "true", "false"),
    ],
)
@pytest.mark.parametrize("trained_here", [True, False])
def test_settings_without_effect_on_a_compact_codec_are_refused(
    folder: Path, tiny_codec: Path, name: str, value: Any, found: str, default: str, trained_here: bool
) -> None:
    codec = "compact" if trained_here else str(folder)
    sentence = (
        f"{name} is {found}, expected the default, {default}: it has no effect with codec '{codec}', a compact one, "
        f"{REASONS[name]}; leave it out"
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        MimiiGen(codec=codec, **{name: value})
    assert getattr(MimiiGen(codec=str(tiny_codec), **{name: value}), name) == value
    assert MimiiGen(codec=codec, checkpoint="mini", **{name: value}).codec == codec  # the model has its own codec


@pytest.mark.parametrize("trained_here", [True, False])
def test_the_defaults_are_accepted(folder: Path, trained_here: bool) -> None:
    codec = "compact" if trained_here else str(folder)
    defaults = {"bandwidth": 24.0, "channels": 16, "normalization": "channel", "gradient_checkpointing": False}
    assert MimiiGen(codec=codec).settings() == MimiiGen(codec=codec, **defaults).settings()
