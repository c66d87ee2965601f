"""Reading YAML from strangers: safe, bounded, and with the line of every value for error messages."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import yaml

from asdbench.errors import UserError

Path = tuple[str | int, ...]
"""Where a value stands: ``("detectors", "ae", "score")``."""
Places = dict[Path, str]
"""Which "file:line" each value came from."""

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
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: {path.stat().st_size} bytes, expected at most {MAX_BYTES} for a spec")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(_yaml_sentence(path, error)) from None
    except RecursionError:
        raise UserError(f"{path}: values are nested too deeply") from None
    if root is None:
        raise UserError(f"{path}: the file is empty, expected a benchmark spec")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}:{_line(root)}: expected a mapping (`name: …`) at the top, found {_kind(root)}")
    _refuse_explosions(path, root)
    places: Places = {}
    constructor = yaml.SafeLoader("")
    value = _build(path, root, constructor, (), places)
    assert isinstance(value, dict)
    return value, places


def _build(path: FilePath, node: yaml.Node, constructor: yaml.SafeLoader, at: Path, places: Places) -> Any:
    places[at] = f"{path}:{_line(node)}"
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{path}:{_line(key_node)}: expected a plain word as key, found {_kind(key_node)}")
            key = key_node.value
            if key == "<<":
                raise UserError(f"{path}:{_line(key_node)}: merge keys (<<) are not supported, use `extends:`")
            if key in mapping:
                raise UserError(f"{path}:{_line(key_node)}: the key '{key}' is given twice")
            mapping[key] = _build(path, value_node, constructor, (*at, key), places)
        return mapping
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_build(path, item, constructor, (*at, index), places) for index, item in enumerate(node.value)]
    try:
        return constructor.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(_yaml_sentence(path, error, _line(node))) from None


def _refuse_explosions(path: FilePath, root: yaml.Node) -> None:
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


def _yaml_sentence(path: FilePath, error: Exception, line: int | None = None) -> str:
    if isinstance(error, yaml.constructor.ConstructorError) and "could not determine a constructor" in str(
        error.problem
    ):
        tag = str(error.problem).rpartition("'")[0].rpartition("'")[2]
        return f"{path}:{line}: the tag '{tag}' is not allowed, a spec holds plain values only"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else line
        return f"{path}:{line}: not valid YAML: {error.problem or error.context}"
    return f"{path}{f':{line}' if line else ''}: not valid YAML: {error}"
