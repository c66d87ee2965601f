"""Descriptions, captions from templates, vocabulary and the file of captions."""

from __future__ import annotations

import itertools
import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asdbench import UserError
from asdbench.datasets.simulated.machine import get_machine, machine_names
from asdbench.generators.shared import captions
from asdbench.generators.shared.captions import (
    TEMPLATES,
    CaptionRow,
    Description,
    Vocabulary,
    caption,
    omitted,
    paraphrase_of,
    read_captions,
    seen,
    unseen,
    write_captions,
)

SEVERITIES = (0.0, 0.3, 0.6, 1.0, 1.4, 1.8)
REAL = [
    # machines and attributes of MIMII DG and DCASE Task 2
    Description("ToyCar", "normal", {"car": "C2", "spd": "34V", "mic": "1"}, "source"),
    Description("slider", "anomaly", {"vel": "730", "ac": "0.11"}, "target"),
    Description("valve", "normal", {"pat": "04", "panel": "bs-c"}, section="04"),
    Description("valve", "anomaly", {"v1pat": "A", "v2pat": "none"}, "target", "02"),
    Description("fan", "anomaly", {"n-lv": "L1", "f-n": "B"}, "source", "01"),
    Description("pump", "normal", section="06"),
    Description("3DPrinter", "anomaly"),
    Description("slider", "normal", {"raw": "0_g_25_mm_2000_mV_none"}),
    Description("AirCompressor", "anomaly", {"oil level": "half_full", "x": "1pt5", "empty": ""}),
]


def simulated() -> Iterator[Description]:
    """Every description that the simulated data set can give."""
    for name in machine_names():
        machine = get_machine(name)
        for domain, values in machine.attributes.items():
            for chosen in itertools.product(*values.values()):
                attributes = dict(zip(values, chosen, strict=True))
                yield Description(name, "normal", attributes, domain)
                yield Description(name, "anomaly", attributes, domain)
                for fault, severity in itertools.product(machine.faults, (None, *SEVERITIES)):
                    yield Description(name, "anomaly", attributes, domain, fault=fault, severity=severity)


def has_word(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def check_tells_all(description: Description, sentence: str) -> None:
    assert sentence[0].isupper() or sentence[0].isdigit()
    assert sentence.endswith(".")
    assert not re.search(r"\s\s|\s[,.:;]|,,|[{}]", sentence), sentence
    if description.condition == "normal":
        assert has_word("normal", sentence.lower()) and "anomal" not in sentence.lower()
    else:
        assert has_word("anomalous", sentence.lower()) and "normal" not in sentence.lower()
    stated = [value.replace("_", " ") for value in description.attributes.values()]
    stated += [description.fault.replace("_", " ")] if description.fault else []
    stated += [description.severity_word] if description.severity_word else []
    stated += [description.domain] if description.domain in ("source", "target") else []
    stated += [description.section] if description.section != "00" else []
    for value in filter(None, stated):
        assert has_word(value, sentence), (value, sentence)


class TestTemplates:
    def test_there_are_enough_that_differ(self) -> None:
        assert TEMPLATES >= 8
        for description in REAL:
            sentences = [caption(description, variant) for variant in range(TEMPLATES)]
            assert len(set(sentences)) == TEMPLATES
            assert len({tuple(sorted(sentence.lower().split())) for sentence in sentences}) == TEMPLATES
        starts = {caption(REAL[0], variant).split()[0] for variant in range(TEMPLATES)}
        assert len(starts) >= 5  # they differ in order too

    @pytest.mark.parametrize("variant", range(TEMPLATES))
    def test_all_of_the_simulated_data_is_told_and_told_apart(self, variant: int) -> None:
        found: dict[str, Description] = {}
        for description in simulated():
            sentence = caption(description, variant)
            machine = "slide rail" if description.machine == "slider" else description.machine
            assert has_word(machine, sentence.lower())
            check_tells_all(description, sentence)
            assert not omitted(description, sentence)
            assert sentence not in found, (description, found[sentence])
            found[sentence] = description
        assert len(found) > 4000

    @pytest.mark.parametrize("variant", range(TEMPLATES))
    def test_real_data(self, variant: int) -> None:
        names = ["toy car", "slide rail", "valve", "valve", "fan", "pump", "3D printer", "slide rail", "air compressor"]
        for description, name in zip(REAL, names, strict=True):
            sentence = caption(description, variant)
            assert has_word(name.lower(), sentence.lower())
            check_tells_all(description, sentence)

    def test_it_reads_well(self) -> None:
        bearing = Description(
            "bearing", "anomaly", {"loc": "A", "vel": "6"}, "target", fault="outer_race", severity=1.3
        )
        assert caption(bearing, 0) == (
            "A recording of an anomalous bearing at a velocity of 6, with the microphone at location A, "
            "in the target domain, with a severe outer race fault."
        )
        assert caption(Description("AirCompressor", "normal"), 2) == "An air compressor makes its normal sound."

    def test_unknown_attributes_are_told_as_they_are(self) -> None:
        description = Description("fan", "normal", {"foo_x": "bar"})
        assert caption(description, 0) == "A recording of a normal fan with foo x bar."
        assert caption(description, 1) == "The sound of a fan in normal operation with a foo x of bar."

    @given(
        machine=st.text(string.ascii_letters, min_size=1),
        attributes=st.dictionaries(st.text(), st.text(), max_size=4),
        condition=st.sampled_from(["normal", "anomaly"]),
        variant=st.integers(-100, 100),
    )
    def test_nothing_breaks_a_caption(
        self, machine: str, attributes: dict[str, str], condition: Any, variant: int
    ) -> None:
        description = Description(machine, condition, attributes)
        sentence = caption(description, variant)
        assert sentence.strip()
        assert "\n" not in sentence
        assert "\n" not in description.metadata_text()

    def test_the_order_of_attributes_is_of_no_matter(self) -> None:
        one = Description("bearing", "normal", {"vel": "6", "loc": "A", "zz": "1", "aa": "2"})
        other = Description("bearing", "normal", {"aa": "2", "loc": "A", "zz": "1", "vel": "6"})
        assert one == other
        assert hash(one) == hash(other)
        assert one.metadata_text() == other.metadata_text()
        for variant in range(TEMPLATES):
            assert caption(one, variant) == caption(other, variant)

    def test_braces_in_values_are_text(self) -> None:
        assert "with foo {machine}" in caption(Description("fan", "normal", {"foo": "{machine}"}), 0)


def test_severity_words_are_graded() -> None:
    words = [Description("fan", "anomaly", severity=step / 100).severity_word for step in range(0, 301)]
    order = [word for index, word in enumerate(words) if index == 0 or word != words[index - 1]]
    assert order == ["inaudible", "barely audible", "slight", "moderate", "severe", "extreme"]
    assert [word for _, word in Description.SEVERITIES] == order[1:]
    assert Description("fan", "anomaly", severity=1.0).severity_word == "moderate"
    assert Description("fan", "anomaly").severity_word is None
    assert {Description("fan", "anomaly", severity=value).severity_word for value in (0.6, 1.0, 1.4)} == {
        "slight",
        "moderate",
        "severe",
    }  # the simulated data set has all three


class TestMetadataText:
    def test_is_compact(self) -> None:
        description = Description("fan", "anomaly", {"m-n": "W"}, "source", "01", "unbalance", 1.0)
        assert description.metadata_text() == (
            "machine: fan; condition: anomalous; section: 01; m-n: W; domain: source; fault: unbalance; "
            "severity: moderate"
        )
        assert Description("slider", "normal").metadata_text() == "machine: slide rail; condition: normal"

    def test_tells_descriptions_apart(self) -> None:
        texts = [description.metadata_text() for description in simulated()]
        assert len(set(texts)) == len(texts)


def test_what_a_caption_leaves_out() -> None:
    description = Description("ToyCar", "anomaly", {"spd": "3", "car": "C2"}, fault="bent_axle", severity=1.0)
    assert omitted(description, "A toy car, model c2, at speed 34") == [
        "condition: anomalous",
        "spd: 3",
        "fault: bent axle",
        "severity: moderate",
    ]
    assert omitted(Description("fan", "normal", {"x": ""}), "normal fan") == []


class TestParaphraseOf:
    def test_depends_on_its_name_alone(self) -> None:
        assert paraphrase_of(0, "abc") == paraphrase_of(0, "abc")
        code = (
            "from asdbench.generators.shared.captions import paraphrase_of;"
            "print([paraphrase_of(0, str(index)) for index in range(20)])"
        )
        environment = {"PYTHONHASHSEED": "7"}
        output = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        assert json.loads(output.stdout) == [paraphrase_of(0, str(index)) for index in range(20)]

    def test_spreads_over_all(self) -> None:
        counts = [0] * TEMPLATES
        for index in range(1000 * TEMPLATES):
            counts[paraphrase_of(3, f"hash {index}")] += 1
        assert all(abs(count - 1000) < 6 * 1000**0.5 for count in counts)  # 6 standard deviations
        assert [paraphrase_of(0, index) for index in range(50)] != [paraphrase_of(1, index) for index in range(50)]
        apart = [(paraphrase_of("a", f"b{index}"), paraphrase_of("ab", index)) for index in range(50)]
        assert any(one != other for one, other in apart)  # the parts are not just strung together


class TestOfClip:
    ROW: ClassVar[dict[str, Any]] = {
        "clip_id": "x",
        "machine": "fan",
        "section": "00",
        "domain": "source",
        "condition": "anomaly",
        "attributes": {"m-n": "W"},
        "provenance": {"fault": "broken_blade", "severity": 0.9731},
    }

    def test_anomaly(self) -> None:
        assert Description.of_clip(self.ROW) == Description(
            "fan", "anomaly", {"m-n": "W"}, "source", "00", "broken blade", 0.9731
        )

    def test_normal_has_no_fault(self) -> None:
        row = {**self.ROW, "condition": "normal", "provenance": {"fault": "", "severity": 0.0}}
        assert Description.of_clip(row) == Description("fan", "normal", {"m-n": "W"}, "source")

    def test_request_rows_have_no_provenance(self) -> None:
        row = {key: value for key, value in self.ROW.items() if key != "provenance"}
        assert Description.of_clip(row) == Description("fan", "anomaly", {"m-n": "W"}, "source")

    def test_rows_of_a_clip_set(self, tmp_path: Path) -> None:
        from asdbench.datasets.simulated.dataset import SimulatedDataset

        settings = {"train_source": 1, "train_target": 0, "test_normal": 0, "test_anomaly": 1, "duration": 1.0}
        frame = SimulatedDataset(**settings).clips("fan", tmp_path)
        normal, *anomalies = (Description.of_clip(row) for _, row in frame.iterrows())
        assert normal.condition == "normal" and normal.fault is None and normal.severity_word is None
        assert {anomaly.domain for anomaly in anomalies} == {"source", "target"}
        for anomaly in anomalies:
            assert (anomaly.fault or "").replace(" ", "_") in get_machine("fan").faults
            assert anomaly.severity_word in ("slight", "moderate", "severe")

    @pytest.mark.parametrize("severity", [float("nan"), -0.1, float("inf"), "strong"])
    def test_bad_severity(self, severity: object) -> None:
        with pytest.raises(UserError, match=r"fan: the severity is .*expected a number of 0 or more"):
            Description.of_clip({**self.ROW, "provenance": {"fault": "x", "severity": severity}})

    def test_unknown_condition(self) -> None:
        with pytest.raises(UserError, match="condition is 'unknown', expected 'normal' or 'anomaly'"):
            Description.of_clip({**self.ROW, "condition": "unknown"})


@pytest.mark.parametrize("machine", ["", "  ", "_"])
def test_a_machine_needs_a_name(machine: str) -> None:
    with pytest.raises(UserError, match=f"machine name '{machine}', expected a name"):
        Description(machine, "normal")


def test_a_fault_needs_a_name_and_an_anomaly() -> None:
    with pytest.raises(UserError, match="the fault is '', expected a name"):
        Description("fan", "anomaly", fault="")
    with pytest.raises(UserError, match="a normal clip has the fault 'unbalance'"):
        Description("fan", "normal", fault="unbalance")
    with pytest.raises(UserError, match="a normal clip has the fault 'unknown'"):
        Description("fan", "normal", severity=1.0)


class TestVocabulary:
    TRAINED = (
        Description("fan", "normal", {"m-n": "X"}, "source"),
        Description("fan", "anomaly", {"m-n": "Y", "vel": "3"}, "target", fault="unbalance", severity=1.0),
        Description("valve", "normal", {"pat": "00"}, section="02"),
        Description("pump", "anomaly"),
    )

    def test_what_was_seen_is_not_unseen(self) -> None:
        vocabulary = seen(self.TRAINED)
        for description in self.TRAINED:
            assert unseen(description, vocabulary) == []
        mixed = Description("fan", "anomaly", {"m-n": "X"}, "source", fault="unbalance", severity=0.9)
        assert unseen(mixed, vocabulary) == []  # a new combination of things that were seen

    @pytest.mark.parametrize(
        ("description", "expected"),
        [
            (Description("bearing", "normal", {"vel": "3"}), ["machine bearing"]),
            (Description("fan", "normal", {"m-n": "W"}), ["fan: m-n=W"]),
            (Description("fan", "normal", {"foo": "bar"}), ["fan: foo=bar"]),
            (Description("valve", "anomaly", {"pat": "00"}, "target", "02", "leak", 1.0),
             ["condition anomaly of valve", "valve: domain target"]),
            (Description("pump", "normal", section="04"), ["condition normal of pump", "pump: section 04"]),
            (Description("fan", "anomaly", fault="clogging", severity=2.0),
             ["fan: fault clogging", "fan: severity extreme"]),
            (Description("fan", "anomaly"), ["fan: anomaly without a named fault"]),
        ],
    )  # fmt: skip
    def test_what_was_not(self, description: Description, expected: list[str]) -> None:
        assert unseen(description, seen(self.TRAINED)) == expected

    def test_every_part_that_a_caption_tells_counts(self) -> None:
        """Whatever changes the caption of a description and occurs in no other is unseen."""
        base = Description("fan", "anomaly", {"m-n": "W"}, "source", "01", "clogging", 1.0)
        vocabulary = seen([base])
        changes: list[dict[str, Any]] = [
            {"machine": "pump"},
            {"attributes": {"m-n": "X"}},
            {"domain": "target"},
            {"section": "02"},
            {"fault": "leak"},
            {"fault": None},
            {"severity": 1.9},
            {"condition": "normal", "fault": None, "severity": None},
        ]
        for change in changes:
            other = replace(base, **change)
            assert caption(other, 0) != caption(base, 0)
            assert len(unseen(other, vocabulary)) == 1, change

    def test_json(self) -> None:
        vocabulary = seen(self.TRAINED)
        text = json.dumps(vocabulary.to_dict())
        assert Vocabulary.from_dict(json.loads(text)) == vocabulary
        assert text == json.dumps(seen(reversed(self.TRAINED)).to_dict())  # the order is of no matter


class TestFile:
    ROWS = (
        CaptionRow("aa", "fan/a.wav", 'The sound of a "fan", normal.'),
        CaptionRow("bb", "fan/b.wav", "Lüfter,\nanomalous."),
        CaptionRow("aa", "fan/again.wav", 'The sound of a "fan", normal.'),
    )

    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "captions.csv"
        write_captions(path, self.ROWS)
        assert read_captions(path) == {row.content_hash: row.caption for row in self.ROWS}
        assert [entry.name for entry in path.parent.iterdir()] == ["captions.csv"]  # nothing else is left
        write_captions(path, self.ROWS[:1])
        assert list(read_captions(path)) == ["aa"]

    def test_a_spreadsheet_may_have_changed_it(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.csv"
        path.write_bytes("\ufeffcaption,note,content_hash,clip_id\r\nA fan.,x,aa,1\r\n\r\n".encode())
        assert read_captions(path) == {"aa": "A fan."}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "line 1: there is no column 'content_hash'"),
            (b"content_hash,clip_id\naa,1\n", "line 1: there is no column 'caption'"),
            (b"content_hash,clip_id,caption\naa,1\n", "line 2: found 2 cells, expected 3"),
            (b"content_hash,clip_id,caption\naa,1,a,b\n", "line 2: found 4 cells, expected 3"),
            (b"content_hash,clip_id,caption\naa,1,a\nbb,2, \n", "line 3: the caption is empty"),
            (b"content_hash,clip_id,caption\n,1,a\n", "line 2: the content hash is empty"),
            (
                b"content_hash,clip_id,caption\naa,1,a fan\naa,2,a valve\n",
                "line 3: the content hash aa has the captions 'a fan' and 'a valve'",
            ),
            (b'content_hash,clip_id,caption\naa,1,"a fan\n', "line 2: not a row of a CSV file"),
            (b"content_hash,clip_id,caption\naa,1,a \xff fan\n", "byte 36 is not UTF-8"),
            (b"content_hash,clip_id,caption\naa,1,a\0fan\n", "line 2: found a NUL byte"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "captions.csv"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            read_captions(path)
        assert str(path) in str(error.value)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"none.csv: the captions cannot be read \(No such file"):
            read_captions(tmp_path / "none.csv")

    def test_a_bad_row_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "captions.csv"
        write_captions(path, self.ROWS)
        before = path.read_bytes()
        for bad in (CaptionRow("aa", "c", "another"), CaptionRow("cc", "c", " "), CaptionRow("", "c", "A fan.")):
            with pytest.raises(UserError, match=r"captions.csv: c: "):
                write_captions(path, [*self.ROWS, bad])
        assert path.read_bytes() == before

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="the captions cannot be written"):
            write_captions(tmp_path / "file" / "captions.csv", self.ROWS)


def test_the_module_is_light() -> None:
    """`asdbench list` must not load torch."""
    code = (
        "import sys, asdbench.generators.shared.captions;"
        "print([name for name in ('torch', 'pandas', 'numpy', 'transformers') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
    assert captions.__doc__
