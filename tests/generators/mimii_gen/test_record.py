"""What a model keeps of its training: table of clips, fingerprints, and how large it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asdbench import ClipSet, UserError, audio
from asdbench.exposure import refuse_leaks
from asdbench.fingerprinting import fingerprint, nearest
from asdbench.generating import Wish, rows_for
from asdbench.generators.mimii_gen.diffusion.backbone import build_backbone
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.record import (
    CODEC_COLUMNS,
    CODEC_RECORD,
    INDEX,
    UNET,
    codec_clips,
    count_parameters,
    read_fingerprints,
    read_record,
    write_record,
)
from asdbench.generators.shared.record import FINGERPRINTS, RECORD, write_fingerprints
from asdbench.roles import Roles


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a model, without what the test puts there."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / INDEX).write_text("{}")
    return folder


def wave(seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(32000)


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    rows = []
    for seed in range(3):
        path = tmp_path / f"{seed}.wav"
        audio.write(path, wave(seed), 16000)
        labels = {"machine": "fan", "section": "00", "domain": "source", "split": "train", "condition": "normal"}
        rows.append({"clip_id": f"fan/train/{seed}.wav", "path": str(path), "attributes": {}} | labels)
    return ClipSet.from_files(rows)


def test_a_model_knows_copies_of_its_training_clips(model: Path, clips: ClipSet) -> None:
    write_fingerprints(model, clips)
    known = read_fingerprints(model)
    assert known is not None and known.names == tuple(clips.frame["clip_id"])
    for seed, name in enumerate(known.names):
        found, twin = nearest(fingerprint(0.2 * wave(seed)), known)
        assert twin == name and found > 0.99
    assert nearest(fingerprint(wave(99)), known)[0] < 0.6
    plugin = MimiiGen(checkpoint=str(model))
    for given in (None, model):
        again = plugin.fingerprints(given)
        assert again is not None and again.names == known.names


def test_a_clip_takes_half_a_kilobyte(model: Path, clips: ClipSet) -> None:
    write_fingerprints(model, clips)
    one = (model / FINGERPRINTS).stat().st_size
    write_fingerprints(model, clips.select([0, 1]))
    assert one - (model / FINGERPRINTS).stat().st_size < 2 * 48 + 100  # two seconds, and a name


def test_a_model_without_fingerprints_has_none(model: Path) -> None:
    assert read_fingerprints(model) is None


def test_damaged_fingerprints_are_refused(model: Path) -> None:
    (model / FINGERPRINTS).write_bytes(b"nothing")
    with pytest.raises(UserError, match=f"{model / FINGERPRINTS}: the fingerprints are damaged"):
        read_fingerprints(model)


@pytest.mark.parametrize("name", ["smoke", "tiny"])
def test_parameters_are_those_of_the_network(model: Path, name: str) -> None:
    unet = build_backbone(name, 16, 32)
    unet.save_pretrained(model / "unet")
    expected = sum(parameter.numel() for parameter in unet.parameters())
    assert count_parameters(model) == expected
    assert MimiiGen(checkpoint=str(model)).parameters(None) == expected


def test_a_model_without_weights_has_no_number(model: Path) -> None:
    assert count_parameters(model) is None


@pytest.mark.parametrize("content", [b"", b"nothing at all"])
def test_damaged_weights_are_refused(model: Path, content: bytes) -> None:
    (model / UNET).write_bytes(content)
    with pytest.raises(UserError, match=f"{model / UNET}: the weights are damaged"):
        count_parameters(model)


@pytest.mark.parametrize("read", [read_fingerprints, count_parameters, read_record])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, read: object) -> None:
    with pytest.raises(UserError, match=f"holds no {INDEX}"):
        read(tmp_path)  # type: ignore[operator]


def row(number: int, **own: object) -> dict[str, object]:
    labels = {"machine": "fan", "section": "00", "domain": "source", "condition": "anomaly"}
    values = {
        "clip_id": f"fan/{number}.wav",
        "content_hash": f"hash {number}",
        "audio_hash": f"audio {number}",
        "caption": 'a "fan", broken',
    }
    return labels | values | {"attributes": {"vel": "6", "ä": "ö,"}, "fault": "clogging", "severity": None} | own


def test_the_table_is_read_back(model: Path) -> None:
    rows = [row(0, severity=0.5), row(1), row(2, condition="normal", fault="", attributes={})]
    write_record(model, rows)
    table = read_record(model)
    assert table is not None
    assert table.to_dict("records") == [each | {"section": "00"} for each in rows]


def test_a_table_that_lost_a_clip_is_refused(model: Path) -> None:
    write_record(model, [row(0), row(1)])
    path = model / "training_clips.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match="the table of training clips is damaged"):
        read_record(model)


def codec_folder(folder: Path, clips: pd.DataFrame) -> Path:
    """The folder of a codec, with the table of its training clips."""
    folder.mkdir()
    clips[list(CODEC_COLUMNS)].to_csv(folder / RECORD, index=False)
    return folder


def test_a_model_has_heard_what_its_codec_was_trained_on(model: Path, tmp_path: Path) -> None:
    codec = codec_folder(tmp_path / "codec", pd.DataFrame([row(1), row(2, condition="normal", machine="pump")]))
    write_record(model, [row(0), row(1)], codec_clips(str(codec)))
    found = MimiiGen(checkpoint=str(model)).learnt_from(None)
    assert found is not None
    assert list(found["content_hash"]) == ["hash 0", "hash 1", "hash 2"]
    assert list(found["condition"]) == ["anomaly", "anomaly", "normal"]
    assert list(found["attributes"].notna()) == [True, True, False]
    assert list(rows_for(Wish(conditions=("normal",), count=1), found)["machine"]) == ["fan"]  # no pump to ask for
    known = read_record(model)
    assert known is not None and len(known) == 2  # what captions are made from


def test_a_benchmark_refuses_to_test_on_what_the_codec_has_heard(model: Path, clips: ClipSet, tmp_path: Path) -> None:
    codec = codec_folder(tmp_path / "codec", clips.frame)
    write_record(model, [row(0)], codec_clips(str(codec)))
    roles = Roles(fit=clips.select([]), pool=clips.select([0, 1]), test=clips.select([2]))
    with pytest.raises(UserError, match="learnt from 1 of the 1 clips that this benchmark tests on"):
        refuse_leaks(MimiiGen(checkpoint=str(model)).learnt_from(None), clips, roles, "same-machine")
    write_record(model, [row(0)])
    (model / CODEC_RECORD).unlink()
    refuse_leaks(MimiiGen(checkpoint=str(model)).learnt_from(None), clips, roles, "same-machine")


def test_downloaded_codecs_tell_of_no_clips() -> None:
    assert codec_clips("facebook/encodec_24khz") is None


@pytest.mark.parametrize("damage", ["lost", "shortened", "no table"])
def test_what_the_codec_has_heard_cannot_get_lost(model: Path, tmp_path: Path, damage: str) -> None:
    codec = codec_folder(tmp_path / "codec", pd.DataFrame([row(1), row(2)]))
    write_record(model, [row(0)], codec_clips(str(codec)))
    path = model / CODEC_RECORD
    lines = path.read_text().splitlines(keepends=True)
    if damage == "lost":
        path.unlink()
    else:
        path.write_text("".join(lines[:2]) if damage == "shortened" else "nothing\n")
    with pytest.raises(UserError, match=CODEC_RECORD):
        MimiiGen(checkpoint=str(model)).learnt_from(None)
