"""Folders of generated clips."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import soundfile

from asdbench import plugins


def table(folder):
    return pd.read_csv(folder / "generated_clips.csv", keep_default_na=False)


def test_a_folder_in_dcase_layout_that_asdbench_reads_again(data_root, asdbench_command, tmp_path):
    words = ("generate", "effects", "made", "--data", data_root, "--count", 4, "--seed", 3)
    done = asdbench_command(*words)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "made")
    assert rows.groupby(["machine", "condition"]).size().to_dict() == {
        (machine, condition): 4 for machine in ("fan", "pump") for condition in ("anomaly", "normal")
    }
    clips = plugins.datasets.get("dcase")(root=str(tmp_path / "made"))
    assert clips.machines() == ["fan", "pump"]
    read = clips.clips("fan", tmp_path)
    mine = rows[rows["machine"] == "fan"].set_index("clip_id")
    assert len(read) == 8
    for row in read.itertuples():
        made = mine.loc[row.clip_id]
        assert (row.condition, row.domain, row.section) == (made.condition, made.domain, "00")
        assert row.attributes == json.loads(made.attributes)
        wave, rate = soundfile.read(row.path)
        assert rate == 16000
        assert np.isfinite(wave).all()
    about = json.loads((tmp_path / "made" / "generation.json").read_text())
    assert about["generator"] == "effects"
    assert about["seed"] == 3
    assert about["settings"]["severity"] == 0.5


def test_the_same_seed_gives_the_same_clips_and_another_gives_others(data_root, asdbench_command, tmp_path):
    hashes = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        words = ("generate", "effects", name, "--data", data_root, "--condition", "anomaly", "--count", 3)
        assert asdbench_command(*words, "--seed", seed, "--machines", "fan").returncode == 0
        hashes[name] = list(table(tmp_path / name)["content_hash"])
    assert hashes["one"] == hashes["same"] != hashes["other"]


def test_labels_come_from_the_user_or_from_what_the_model_has_learnt(learner, data_root, asdbench_command, tmp_path):
    assert (
        asdbench_command(
            "train", "generator", "learner", "--plugin", learner, "--data", data_root, "--out", "m"
        ).returncode
        == 0
    )
    words = ("generate", "learner", "--plugin", learner, "--set", "checkpoint=m", "--count", 3)
    assert asdbench_command(*words, "known").returncode == 0
    known = table(tmp_path / "known")
    assert set(known["machine"]) == {"fan", "pump"}
    assert {json.loads(text)["vel"] for text in known["attributes"]} <= {"0", "1", "2"}
    wanted = ("--machines", "lathe", "--attribute", "rpm=900", "--caption", "a lathe", "--condition", "anomaly")
    assert asdbench_command(*words, "wanted", *wanted).returncode == 0
    rows = table(tmp_path / "wanted")
    assert list(rows["machine"]) == ["lathe"] * 3
    assert set(rows["attributes"]) == {'{"rpm": "900"}'}
    assert set(rows["caption"]) == {"a lathe"}
    assert (tmp_path / "wanted" / "lathe" / "attributes_00.csv").read_text().splitlines()[1].endswith(",rpm,900")


def test_mistakes_are_told_in_one_sentence_and_leave_nothing(learner, data_root, refusal, tmp_path):
    assert "did you mean 'effects'" in refusal("generate", "efects", "made", "--data", data_root)
    assert "no machine type is known" in refusal("generate", "effects", "made")
    assert "has not been trained" in refusal("generate", "learner", "made", "--plugin", learner)
    assert "expected NAME=VALUE" in refusal("generate", "effects", "made", "--data", data_root, "--attribute", "x")
    assert "there is no setting 'severty'" in refusal(
        "generate", "effects", "made", "--data", data_root, "--set", "severty=1"
    )
    assert "not both" in refusal("generate", "effects", "made", "--data", data_root, "--spec", "mimii_gen")
    assert "no normal clip" in refusal("generate", "effects", "made", "--machines", "fan")
    for name in ("../evil", "a/b", "..", "a\\b"):
        assert "can be that of a folder" in refusal("generate", "effects", "made", "--machines", name)
    for text in ("", "  "):
        assert "--caption: found" in refusal("generate", "effects", "made", "--machines", "fan", "--caption", text)
    assert "expected a number" in refusal("generate", "effects", "made", "--machines", "fan", "--set", "severity=true")
    assert "0 is not in the range" in refusal("generate", "effects", "made", "--machines", "fan", "--count", 0)
    assert not list(tmp_path.glob("evil*"))
    assert not (tmp_path / "made").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("writing-")]
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "letter.txt").touch()
    assert "holds files" in refusal("generate", "effects", "made", "--data", data_root)
