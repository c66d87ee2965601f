"""Which files a plugin is made of beside its own: the modules of its collection that it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def imported_files(module: str, files: Iterable[Path]) -> list[Path]:
    """The modules that source files import, directly or by others, from the collection of plugins they belong to.

    The collection of ``asdbench.detectors.mine`` is ``asdbench.detectors``, that of ``acme.mine`` is ``acme``; what is
    imported from elsewhere is no part of a plugin. The import statements are read, wherever they stand in a file;
    nothing is imported.

    Args:
        module: name of the module that defines the plugin; it is loaded already.
        files: the plugin's own files.

    Returns:
        The files of the imported modules without those of ``files``, sorted.
    """
    names = module.split(".")
    collection = ".".join(names[: 2 if names[0] == "asdbench" else 1])
    own, found = set(files), set[Path]()
    for root in map(Path, getattr(sys.modules.get(collection), "__path__", [])):
        waiting = [path for path in own if path.is_relative_to(root)]
        while waiting:
            path = waiting.pop()
            package = [*collection.split("."), *path.relative_to(root).parent.parts]
            for name in _imports(path, package):
                parts = name.split(".")
                if ".".join(parts[: collection.count(".") + 1]) != collection:
                    continue
                target = root.joinpath(*parts[collection.count(".") + 1 :])
                for file in (target.with_suffix(".py"), target / "__init__.py"):
                    if file.is_file() and file not in own | found:
                        found.add(file)
                        waiting.append(file)
    return sorted(found)


def _imports(path: Path, package: list[str]) -> Iterator[str]:
    """Absolute names that a file of a package imports; some may name no module but what is in one."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
