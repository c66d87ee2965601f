"""Comparing any two folders, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench import UserError, audio
from asdbench.metrics.audio.embeddings.transformers_audio import AudioClassifier
from asdbench.metrics.audio.folders import compare_folders
from asdbench.metrics.audio.quality import Options

QUICK = Options(resamples=20, splits=4)


def test_two_folders_are_compared_in_words(two_folders: tuple[Path, Path]) -> None:
    report = compare_folders(*two_folders, options=QUICK)
    text = report.text()
    assert text.splitlines()[0] == f"{two_folders[1]} against {two_folders[0]}"
    for word in (
        "fad",
        "fad_infinity",
        "kad",
        "floor",
        "logmel_stats-",
        "biased upwards",
        "12+12 x 128",
        "may be negative",
    ):
        assert word in text, word
    assert str(report) == text
    assert set(report.table["machine"]) == {"pooled"}


def test_names_and_nesting_do_not_matter(two_folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, made = two_folders
    before = compare_folders(real, made, options=QUICK).table
    moved = tmp_path / "moved"
    (moved / "deep" / "er").mkdir(parents=True)
    for index, path in enumerate(sorted(made.iterdir())):
        path.rename(moved / "deep" / "er" / f"{(7 * index) % 12:02d}.WAV")
    (moved / "notes.txt").write_text("no audio")
    after = compare_folders(real, moved, options=QUICK).table
    values = ["metric", "value", "low", "high", "floor"]
    pd.testing.assert_frame_equal(before[values], after[after["machine"] == "pooled"][values].reset_index(drop=True))


def test_flac_and_ogg_are_audio_and_subfolders_are_machines(tmp_path: Path, write_clip: Callable[..., Path]) -> None:
    import soundfile

    for side in ("a", "b"):
        for machine, suffix in (("fan", "flac"), ("pump", "ogg")):
            for index in range(3):
                wave, rate = soundfile.read(write_clip(tmp_path / "x.wav", side, machine, index))
                (tmp_path / side / machine).mkdir(parents=True, exist_ok=True)
                soundfile.write(tmp_path / side / machine / f"{index}.{suffix}", wave, rate)
    report = compare_folders(tmp_path / "a", tmp_path / "b", options=QUICK)
    assert list(report.table["machine"].unique()) == ["fan", "pump", "pooled"]
    assert "pooled figures are dominated" in report.text()


def test_namesakes_are_pairs_for_kl(two_folders: tuple[Path, Path], tiny_ast: Path, tmp_path: Path) -> None:
    from asdbench.metrics.audio.divergence import kl

    real, made = two_folders
    classifier = AudioClassifier(model=str(tiny_ast), device="cpu")
    unpaired = compare_folders(real, made, embedding=classifier, options=QUICK)
    assert "10 pairings" in unpaired.text()
    for path in made.iterdir():
        path.rename(path.with_name(path.name.replace("made", "real")))
    report = compare_folders(real, made, embedding=classifier, options=QUICK)
    assert "KL pairs files of the same name" in report.text()
    logits = []
    for side in (real, made):
        waves = [audio.read(path) for path in sorted(side.iterdir())]
        logits.append(np.concatenate([classifier.logits(wave) for wave in waves]))
    row = report.table.set_index("metric").loc["kl"]
    assert row["value"] == pytest.approx(kl(*logits), rel=1e-9)
    assert row["low"] <= row["value"] <= row["high"]


def test_captions_come_from_a_table_beside_the_clips(
    two_folders: tuple[Path, Path], tiny_clap: Path, tmp_path: Path
) -> None:
    from asdbench.metrics.audio.embeddings.clap import Clap

    real, made = two_folders
    clap = Clap(model=str(tiny_clap), device="cpu")
    with pytest.raises(UserError, match="needs captions: neither"):
        compare_folders(real, made, clap=clap, options=QUICK)
    for side, column, file in ((real, "file", "captions.csv"), (made, "clip_id", "generated_clips.csv")):
        names = [path.name for path in sorted(side.glob("*.wav"))]
        texts = [("a fan sounds normal", "a valve sounds broken")[index % 2] for index in range(len(names))]
        machines = [("fan", "valve")[index % 2] for index in range(len(names))]
        pd.DataFrame({column: names, "caption": texts, "machine": machines}).to_csv(side / file, index=False)
    report = compare_folders(real, made, clap=clap, options=QUICK)
    assert list(report.table["machine"].unique()) == ["fan", "valve", "pooled"]
    assert {"clap_real", "clap_generated", "clap_difference", "clap_generated_shuffled"} <= set(report.table["metric"])
    assert "paired by 2 captions" in report.text()


def bad(tmp_path: Path, write_clip: Callable[..., Path], case: str) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / "bad"
    folder.mkdir()
    if case == "text only":
        (folder / "readme.txt").write_text("x")
    elif case == "one":
        write_clip(folder / "a.wav", 0)
    elif case in ("nan", "broken", "captions"):
        write_clip(folder / "a.wav", 0)
        write_clip(folder / "b.wav", 1)
    if case == "nan":
        audio.write(folder / "b.wav", np.full(8000, np.nan), 16000, subtype="FLOAT")
    if case == "broken":
        (folder / "b.wav").write_bytes(b"RIFF....nothing")
    if case == "captions":
        (folder / "captions.csv").write_text("name,text\na.wav,x\n")
    return (tmp_path / "absent" if case == "absent" else folder), {}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("absent", "there is no such folder"),
        ("empty", "holds no audio file"),
        ("text only", "holds no audio file"),
        ("one", "holds one audio file, audio metrics need at least two"),
        ("nan", "b.wav: the clip holds NaN"),
        ("broken", "b.wav: the file cannot be read as audio"),
        ("captions", "expected the columns 'clip_id' and 'caption', found name, text"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(
    two_folders: tuple[Path, Path], tmp_path: Path, write_clip: Callable[..., Path], case: str, words: str
) -> None:
    folder, options = bad(tmp_path, write_clip, case)
    with pytest.raises(UserError, match=words) as caught:
        compare_folders(two_folders[0], folder, options=QUICK, **options)
    assert "\n" not in str(caught.value)


def test_mixed_rates_are_read_with_a_note_that_names_the_lower_ones(
    two_folders: tuple[Path, Path], tmp_path: Path, write_clip: Callable[..., Path]
) -> None:
    for index in range(4):
        write_clip(tmp_path / "mixed" / f"{index}.wav", index, rate=44100 if index else 8000)
    report = compare_folders(two_folders[0], tmp_path / "mixed", options=QUICK)
    (note,) = report.notes
    assert "1 of 16 files have lower sample rates" in note
    assert note.endswith(f"{tmp_path / 'mixed' / '0.wav'} (8000 Hz)")
    assert note in report.text()
    report = compare_folders(two_folders[0], tmp_path / "mixed", sample_rate=8000, options=QUICK)
    (note,) = report.notes  # at that rate all have all of the band
    assert (
        note
        == "the files have 8000 Hz and are resampled to the 16000 Hz of logmel_stats: it hears nothing above 4000 Hz"
    )


def test_files_that_cannot_be_used_are_all_named_or_left_out_when_asked(
    two_folders: tuple[Path, Path], write_clip: Callable[..., Path]
) -> None:
    real, made = two_folders
    whole = compare_folders(real, made, options=QUICK).table
    audio.write(real / "silent.wav", np.zeros(8000), 16000)
    (made / "empty.wav").write_bytes(b"")
    (made / "phone.m4a").write_bytes(b"x")
    with pytest.raises(UserError, match=r"2 recordings cannot be used: .*silent\.wav: .*; .*empty\.wav: the file is"):
        compare_folders(real, made, options=QUICK)
    report = compare_folders(real, made, options=QUICK, skip_bad_clips=True)
    pd.testing.assert_frame_equal(report.table, whole)
    skipped, unread = report.notes
    assert skipped.startswith("skipped, since 2 recordings cannot be used: ") and "empty.wav" in skipped
    assert unread.startswith("1 recording is left out") and "phone.m4a" in unread
