"""Reading YAML from strangers: safe, bounded, and with the line of every value for error messages."""

from __future__ import annotations

import math
import re
from pathlib import Path as FilePath
from typing import Any

import yaml

from asdbench.errors import UserError

Path = tuple[str | int, ...]
"""Where a value stands: ``("detectors", "ae", "score")``."""
Places = dict[Path, str]
"""Which "file:line" each value came from."""

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
"""A file that expands to more values than this, by aliases of aliases, is refused before it is expanded."""


def read_yaml(path: FilePath) -> tuple[dict[str, Any], Places]:
    """Read a YAML mapping.

    Returns:
        The mapping and the place of each of its values.

    Raises:
        UserError: no such file, no valid YAML, tags that would build objects, a key given twice, too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f"{path}: the file is too large for a spec, expected at most {MAX_BYTES} bytes")
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    root = _compose(text, str(path))
    if root is None:
        raise UserError(f"{path}: the file is empty, expected a benchmark spec")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}:{_line(root)}: expected a mapping (`name: …`) at the top, found {_kind(root)}")
    places: Places = {}
    value = _build(str(path), root, (), places)
    assert isinstance(value, dict)
    return value, places


def parse_value(text: str, where: str) -> Any:
    """Read one YAML value, as safely as a file.

    Args:
        text: such as ``[1, 2]``.
        where: how messages call its place.

    Raises:
        UserError: it is no YAML value, or one that a spec cannot hold.
    """
    root = _compose(text, where)
    return None if root is None else _build(where, root, (), {})


def _compose(text: str, where: str) -> yaml.Node | None:
    """Parse a text into nodes and refuse what would explode; builds nothing."""
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(_yaml_sentence(where, error)) from None
    except RecursionError:
        raise UserError(f"{where}: values are nested too deeply") from None
    if root is not None:
        _refuse_explosions(where, root)
    return root


def _build(where: str, node: yaml.Node, at: Path, places: Places) -> Any:
    places[at] = f"{where}:{_line(node)}"
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{where}:{_line(key_node)}: expected a plain word as key, found {_kind(key_node)}")
            key = key_node.value
            if key == "<<":
                raise UserError(f"{where}:{_line(key_node)}: merge keys (<<) are not supported, use `extends:`")
            if key in mapping:
                raise UserError(f"{where}:{_line(key_node)}: the key '{key}' is given twice")
            mapping[key] = _build(where, value_node, (*at, key), places)
        return mapping
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_build(where, item, (*at, index), places) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
        tag = node.tag.removeprefix(_TAG)
        raise UserError(f"{where}:{_line(node)}: the tag '{tag}' is not allowed, a spec holds plain values only")
    if node.style is None and node.tag == f"{_TAG}str" and _FLOAT.fullmatch(node.value):
        return float(node.value)  # 1e-3 is a number, as in YAML 1.2
    try:
        value = yaml.SafeLoader("").construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except (yaml.YAMLError, ValueError, KeyError, IndexError, OverflowError):
        kind = node.tag.removeprefix(_TAG)
        raise UserError(
            f"{where}:{_line(node)}: found '{node.value}', expected a finite value of type {kind}"
        ) from None


def _refuse_explosions(path: str, root: yaml.Node) -> None:
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise UserError(f"{path}:{_line(node)}: an alias refers to a value that contains it")
        open_nodes.add(id(node))
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(size(child) for child in children))
        open_nodes.discard(id(node))
        if total > MAX_NODES:
            raise UserError(f"{path}:{_line(node)}: aliases expand to more than {MAX_NODES} values")
        sizes[id(node)] = total
        return total

    size(root)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    kinds: dict[type[yaml.Node], str] = {yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}
    return kinds.get(type(node), f"'{str(node.value)[:40]}'")


def _yaml_sentence(where: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        return f"{where}{line}: not valid YAML: {error.problem or error.context}"
    return f"{where}: not valid YAML: {' '.join(str(error).split())}"
