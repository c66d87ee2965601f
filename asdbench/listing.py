"""What `asdbench list` prints: every plugin with one line, or one plugin with its settings."""

from __future__ import annotations

import inspect
from typing import Any

from asdbench import plugins
from asdbench.errors import UserError, did_you_mean
from asdbench.plugins import Plugin, Registry, acts_in
from asdbench.spec import shipped_specs

_KINDS: dict[str, Registry[Any]] = {
    "datasets": plugins.datasets,
    "detectors": plugins.detectors,
    "generators": plugins.generators,
    "embeddings": plugins.embeddings,
    "metrics": plugins.metrics,
    "parts": plugins.parts,
}


def overview() -> str:
    """All plugins and shipped benchmarks, one line each."""
    lines = []
    for kind, registry in _KINDS.items():
        lines.append(f"{kind}:")
        for name in registry.names():
            try:
                line = registry.summary(name)
            except UserError as error:  # one broken package must not hide the others
                line = f"cannot be used: {error}"
            lines.append(f"  {name:<18} {line}")
    lines.append("benchmarks:")
    for name, path in shipped_specs().items():
        lines.append(f"  {name:<18} {_description(path)}")
    return "\n".join(lines)


def details(name: str) -> str:
    """The docstring and settings of each plugin of a name, and the text of the shipped benchmark of that name.

    Raises:
        UserError: nothing has this name.
    """
    specs = shipped_specs()
    parts = [_plugin(registry, name) for registry in _KINDS.values() if name in registry.names()]
    if name in specs:
        parts.append(f"benchmark {name}\n\n{specs[name].read_text().rstrip()}")
    if not parts:
        known = [plugin for registry in _KINDS.values() for plugin in registry.names()]
        raise UserError(f"there is no plugin '{name}'{did_you_mean(name, [*known, *specs])}")
    return "\n\n".join(parts)


def _plugin(registry: Registry[Any], name: str) -> str:
    plugin = registry.get(name)
    lines = [f"{registry.kind} {name}", "", inspect.getdoc(plugin) or "", ""]
    if isinstance(plugin, type) and issubclass(plugin, Plugin):
        lines.append("settings:")
        for attribute, info in plugin.__pydantic_fields__.items():
            kind = getattr(info.annotation, "__name__", None) or str(info.annotation)
            kind = kind if "[" not in str(info.annotation) else str(info.annotation)
            default = "required" if info.is_required() else f"default {info.get_default(call_default_factory=True)!r}"
            kind = kind.replace("typing.", "")
            when = f", {acts_in(info)} only" if acts_in(info) else ""
            lines.append(f"  {info.alias or attribute} ({kind}, {default}{when})  {info.description or ''}".rstrip())
    return "\n".join(lines)


def _description(path: Any) -> str:
    from asdbench.yaml_file import read_yaml

    data, _ = read_yaml(path)
    return " ".join(str(data.get("description", "")).split()).partition(". ")[0]
