"""Reading YAML safely, with lines."""

from __future__ import annotations

import pytest

from asdbench.errors import UserError
from asdbench.yaml_file import read_yaml


def test_values_and_their_lines(write_spec):
    path = write_spec("name: x\nlist:\n  - 1\n  - {deep: [true, 2.5, null]}\ntext: 'a: b'\n")
    data, places = read_yaml(path)
    assert data == {"name": "x", "list": [1, {"deep": [True, 2.5, None]}], "text": "a: b"}
    assert places["list", 1, "deep", 2] == f"{path}:4"
    assert places["text",] == f"{path}:5"


def test_numbers_with_exponents_are_numbers(write_spec):
    data, _ = read_yaml(write_spec("a: 1e-3\nb: 2E4\nc: '1e-3'\nd: 1e\n"))
    assert data == {"a": 0.001, "b": 20000.0, "c": "1e-3", "d": "1e"}


def test_aliases_are_expanded(write_spec):
    data, _ = read_yaml(write_spec("a: &x {k: 1}\nb: *x\n"))
    assert data == {"a": {"k": 1}, "b": {"k": 1}}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a: !!python/object/apply:os.system ['touch /tmp/x']",
            [":1:", "python/object/apply:os.system", "not allowed"],
        ),
        ("a: 1\nb: !!python/name:os.system\n", [":2:", "not allowed"]),
        ("a: !custom {x: 1}", [":1:", "!custom", "not allowed"]),
        (BOMB, ["aliases expand to more than"]),
        ("a: &a [*a]", [":1:", "contains it"]),
        ("a: 1\nb: 2\na: 3\n", [":3:", "'a' is given twice"]),
        ("a: [1, 2", [":1:", "not valid YAML"]),
        ("a:\n\t- x", [":2:", "not valid YAML"]),
        ("- a\n- b", [":1:", "expected a mapping", "a list"]),
        ("just words", [":1:", "expected a mapping"]),
        ("", ["empty"]),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", [":3:", "extends"]),
        ("a: 2026-13-45", [":1:", "timestamp", "not allowed"]),
        ("a: .inf", [":1:", "'.inf'", "finite"]),
        ("a: !!bool maybe", [":1:", "'maybe'", "bool"]),
        ("a: !!int ''", [":1:", "int"]),
        ("!!set {a}", ["not allowed"]),
        ("a: !!set {b}", [":1:", "'set' is not allowed"]),
        ("? [1, 2]\n: x\n", [":1:", "plain word"]),
        ("[" * 3000 + "]" * 3000, ["nested too deeply"]),
    ],
)
def test_bad_files_are_refused_in_one_sentence(write_spec, text, words):
    path = write_spec(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(UserError, match="expected UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_text("#" * 1_000_001)
    with pytest.raises(UserError, match="at most"):
        read_yaml(tmp_path / "big.yaml")
