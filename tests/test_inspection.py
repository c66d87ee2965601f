"""What is said of recordings that cannot be used, and of others."""

from __future__ import annotations

from asdbench.audio import AudioInfo
from asdbench.inspection import SHOWN, BadClip, BadClipsError, bad_clips, named, notes_on, unread_note


def info(rate: int = 16000, problem: str = "", wrong: bool = False) -> AudioInfo:
    return AudioInfo("hash", rate, 1, 16000, problem, (), wrong)


def test_one_bad_file_is_named_with_its_problem() -> None:
    assert str(BadClipsError([BadClip("a.wav", "it is empty")])) == "a.wav: it is empty"
    error = BadClipsError([BadClip("a.wav", "it is empty")], "spec.yaml:2: dataset.root", "look there")
    assert str(error) == "spec.yaml:2: dataset.root: a.wav: it is empty; look there"


def test_files_with_the_same_problem_are_named_together() -> None:
    bad = [BadClip("a.wav", "it is empty"), BadClip("b.wav", "it is silent"), BadClip("c.wav", "it is empty")]
    assert str(BadClipsError(bad)) == ("3 recordings cannot be used: a.wav, c.wav: it is empty; b.wav: it is silent")


def test_twenty_are_named_and_the_others_counted() -> None:
    bad = [BadClip(f"{index}.wav", "it is empty") for index in range(SHOWN + 7)]
    text = str(BadClipsError(bad))
    assert text.startswith("27 recordings cannot be used: 0.wav, ")
    assert "19.wav: it is empty; and 7 more" in text and "20.wav" not in text
    assert "more" not in named(bad[:SHOWN])


def test_a_rate_that_no_recording_has_is_a_problem_whatever_else_is_wrong() -> None:
    (bad,) = bad_clips(["log.wav", "a.wav"], [info(1, "the clip is silent"), info()], 0, 16000)
    assert bad.path == "log.wav"
    assert "1 Hz and cannot be read at 16000 Hz" in bad.problem


def test_nothing_is_said_of_alike_recordings() -> None:
    assert notes_on(["a", "b"], [info(), info()], 16000) == []
    assert notes_on(["a", "b"], [info(44100), info(48000)], 16000) == []  # both have all that is read
    assert notes_on(["a", "b"], [info(8000), info(8000)], 16000) == []  # neither tells one from the other
    assert notes_on([], [], 16000) == []


def test_one_note_names_all_files_that_lack_the_upper_band() -> None:
    paths = ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
    (note,) = notes_on(paths, [info(8000), info(44100), info(4000), info(8000), info(96000)], 16000)
    assert "3 of 5 files" in note
    assert "sound up to 8000 Hz" in note
    assert note.endswith("c.wav (4000 Hz), a.wav, d.wav (8000 Hz)")


def test_at_their_own_rates_the_lower_of_two_lacks_a_band() -> None:
    (note,) = notes_on(["a.wav", "b.wav"], [info(44100), info(48000)], None)
    assert "sound up to 24000 Hz" in note and note.endswith("a.wav (44100 Hz)")


def test_many_files_of_a_lower_rate_are_counted() -> None:
    paths = [f"{index}.wav" for index in range(50)]
    (note,) = notes_on(paths, [info(8000)] * 49 + [info()], 16000)
    assert "49 of 50 files" in note and "19.wav and 29 more (8000 Hz)" in note and "20.wav" not in note


def test_one_note_counts_all_files_with_a_wrong_length() -> None:
    (note,) = notes_on(["a.wav", "b.wav", "c.wav"], [info(), info(wrong=True), info(wrong=True)], 16000)
    assert note == "2 files have a wrong length in the header and are read to the end, such as b.wav"
    (note,) = notes_on(["a.wav"], [info(wrong=True)], 16000)
    assert note == "1 file has a wrong length in the header and is read to the end, such as a.wav"


def test_parts_of_a_file_are_one_file() -> None:
    (note,) = notes_on(["a.wav#t=0,1", "a.wav#t=1,2"], [info(wrong=True)] * 2, 16000)
    assert note.startswith("1 file has")


def test_formats_that_are_not_read_are_counted() -> None:
    assert unread_note(["x/a.m4a"]).startswith(
        "1 recording is left out, such as x/a.m4a: libsndfile does not read .m4a"
    )
    assert "3 recordings are left out" in unread_note(["a.m4a", "b.WMA", "c.m4a"])
    assert ".m4a, .wma;" in unread_note(["a.m4a", "b.WMA", "c.m4a"])
