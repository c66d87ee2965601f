"""The record of a fitted detector: what is in it, and what is said of one that is wrong."""

from __future__ import annotations

import json

import pytest

from asdbench import UserError
from asdbench.fitted.record import FORMAT, content_hash, read_record
from asdbench.plugins import source_id
from asdbench.seeding import derive_seed


def test_it_says_how_the_detector_came_about(saved, fitted, clips):
    record = read_record(saved)
    assert record.format == FORMAT
    assert record.detector.use == "logmel_knn"
    assert record.detector.version == type(fitted.plugin).version
    assert record.detector.source == source_id(type(fitted.plugin))
    assert record.detector.origin.startswith("package asdbench ")
    assert record.detector.settings == {"k": 1}
    assert record.detector.seed == derive_seed(0, "fit", "example")
    assert (record.audio.sample_rate, record.audio.channel) == (16000, 0)
    assert (record.fitted.machine, record.fitted.sections, record.fitted.clips) == ("example", ["00"], 12)
    assert record.fitted.content == content_hash(reversed(list(clips.frame["content_hash"])))
    assert record.fitted.content != content_hash(clips.frame["content_hash"][1:])
    assert set(record.files) == {"state.json", "arrays.safetensors"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "found format 2, this version of asdbench reads format 1"),
        ({"format": "1"}, "expected a JSON object with the number 'format'"),
        ({"format": True}, "expected a JSON object with the number 'format'"),
        ({"colour": "red"}, "there is no setting 'colour'"),
        ({"fitted": {"machine": "fan", "sections": ["00"], "clips": "12", "content": ""}}, "fitted.clips: found '12'"),
        ({"fitted": {"machine": "fan", "sections": [], "clips": 12, "content": ""}}, "fitted.sections: "),
        ({"audio": {"sample_rate": 16000, "channel": "left"}}, "audio.channel: found 'left'"),
        ({"audio": {"sample_rate": 0, "channel": 0}}, "audio.sample_rate: "),
        ({"threshold": {"method": "guess", "quantile": 0.9, "value": 1.0}}, "threshold.method: found 'guess'"),
        ({"threshold": {"method": "gamma", "quantile": 0.9, "value": float("nan")}}, "threshold.value: found nan"),
        ({"detector": "logmel_knn"}, "detector: found 'logmel_knn'"),
        ({"files": {"state.json": ""}}, "files: expected the hash of arrays.safetensors"),
        ({"files": {"../state.json": ""}}, "files.../state.json: found '../state.json'"),
        ({"files": ["state.json"]}, "files: "),
    ],
)
def test_a_field_that_is_wrong_is_named(saved, change, sentence):
    path = saved / "detector.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as caught:
        read_record(saved)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_record_is_refused(saved, content):
    (saved / "detector.json").write_bytes(content)
    with pytest.raises(UserError, match=r"detector\.json: "):
        read_record(saved)


def test_a_folder_without_a_detector_is_refused(tmp_path):
    with pytest.raises(UserError, match="no fitted detector in it"):
        read_record(tmp_path)
    with pytest.raises(UserError, match="no such folder, expected one that `asdbench fit`"):
        read_record(tmp_path / "absent")
