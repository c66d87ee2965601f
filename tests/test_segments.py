"""Places of clips that are a part of a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from asdbench.segments import cut, file_of, overlaps, samples_of


def test_a_place_without_a_fragment_is_a_whole_file() -> None:
    for place in ("/data/long.wav", "/data/a#1.wav", "/data/a#t=1.wav", "/data/a.wav#t=5"):
        assert file_of(place) == place
        assert samples_of(place, 16000) is None


def test_a_fragment_names_samples() -> None:
    assert file_of("/data/a b#2.wav#t=10,20") == "/data/a b#2.wav"
    assert samples_of("/data/long.wav#t=10,20", 16000) == (160000, 160000)
    assert samples_of("/data/long.wav#t=0.5,0.75", 44100) == (22050, 11025)


def test_a_file_with_such_a_name_is_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "a.wav#t=1,2"
    odd.touch()
    assert file_of(odd) == str(odd)
    assert samples_of(odd, 16000) is None


@pytest.mark.parametrize(
    ("seconds", "clip", "hop", "starts"),
    [
        (30.0, 10, 10, ["0", "10", "20"]),
        (39.999, 10, 10, ["0", "10", "20"]),
        (30.0, 10, 5, ["0", "5", "10", "15", "20"]),
        (30.0, 10, 12.5, ["0", "12.5"]),
        (9.99, 10, 10, []),
        (0.9, 0.3, 0.3, ["0", "0.3", "0.6"]),
    ],
)
def test_whole_clips_are_cut_and_the_rest_is_left_out(
    seconds: float, clip: float, hop: float, starts: list[str]
) -> None:
    pieces = cut("x.wav", seconds, clip, hop)
    assert [start for _, start in pieces] == starts
    assert [place.partition("#t=")[2].partition(",")[0] for place, _ in pieces] == starts


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 44100, 192000])
@pytest.mark.parametrize("clip", [0.3, 1 / 3, 0.7, 1.001])
def test_pieces_are_of_one_length_and_meet_at_the_sample(rate: int, clip: float) -> None:
    places = [place for place, _ in cut("x.wav", 200.0, clip, clip)]
    parts = [samples_of(place, rate) for place in places]
    assert len({count for _, count in parts}) == 1  # type: ignore[misc]
    for index, (start, _) in enumerate(parts):  # type: ignore[misc]
        assert abs(start - index * round(clip, 6) * rate) <= 0.5 + 1e-6


def test_an_hour_gives_360_clips_of_ten_seconds() -> None:
    pieces = cut("x.wav", 3600.0, 10, 10)
    assert len(pieces) == 360
    assert pieces[-1] == ("x.wav#t=3590,3600", "3590")


def test_overlaps_are_those_of_one_file_with_different_labels() -> None:
    places = ["x.wav#t=0,10", "x.wav#t=10,20", "y.wav#t=5,15", "x.wav#t=20,30", "y.wav", "x.wav#t=5,15"]
    assert overlaps(places, ["fit", "test", "test", "fit", "pool", "pool"]) == [
        ("x.wav#t=0,10", "x.wav#t=5,15"),
        ("x.wav#t=5,15", "x.wav#t=10,20"),
    ]
    assert overlaps(places, ["fit", "test", "test", "fit", "pool", "fit"]) == [("x.wav#t=5,15", "x.wav#t=10,20")]
    assert overlaps(places, ["fit"] * 6) == []
    assert overlaps(places[:5], ["fit", "test", "test", "fit", "pool"]) == []
