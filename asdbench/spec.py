"""The benchmark spec: YAML, composed with ``extends:``, overridden with ``--set``, validated with its lines at hand."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from asdbench import plugins
from asdbench.errors import UserError, did_you_mean
from asdbench.metrics.threshold import METHODS, QUANTILE, Method
from asdbench.plugins import Plugin, Registry
from asdbench.settings_text import build_plugin, parse_assignment
from asdbench.validation import first_error, shown
from asdbench.yaml_file import Path, Places, read_yaml

P = TypeVar("P", bound=Plugin)

Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]*$", max_length=80)]
"""Names become file names, table headings and parts of ``--set``: letters, digits, ``_`` and ``-``."""
Exposure = Literal["same-machine", "other-machines", "none"]
"""Whose real anomalies generators may use; see `asdbench.exposure`."""
BOUNDS = ("real_holdout", "normal_holdout")
"""Generators that controls add: other real anomalies (the ceiling) and other real normal clips (the floor)."""
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**63)]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class PluginSpec(pydantic.BaseModel):
    """A plugin and its settings: ``{use: dcase_ae, score: mse}``."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    use: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as the spec gives them."""
        return dict(self.model_extra or {})


class Holdout(_Model):
    """How many real clips are kept for generators, out of detector training and out of the test sets.

    Each value is a share (0 to below 1) or a number of clips (1 and up) for each machine, spread over sections and
    domains.

    Attributes:
        train: of the normal training clips.
        normal: of the normal test clips.
        anomaly: of the anomalous test clips.
        seed: changes which clips they are.
    """

    train: float = pydantic.Field(0.0, ge=0)
    normal: float = pydantic.Field(0.5, ge=0)
    anomaly: float = pydantic.Field(0.5, ge=0)
    seed: int = 0

    @pydantic.field_validator("train", "normal", "anomaly")
    @classmethod
    def _share_or_count(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError("expected a share below 1 or a whole number of clips")
        return value


class TestSet(_Model):
    """Normal clips from one source paired with anomalous clips from one source.

    "generated" stands for every generator in turn.
    """

    __test__ = False  # pytest: not a test class

    normal: Literal["real"] = "real"
    anomaly: Literal["real", "generated"]


class Statistics(_Model):
    """How intervals are computed.

    Attributes:
        confidence: level of the intervals, such as 0.95.
        resamples: number of bootstrap resamples.
        margin: largest gap that does not matter, as a fraction: 0.05 is 5 points.
        fad_infinity: whether FAD at infinitely many clips is computed too, which takes long.
    """

    confidence: float = pydantic.Field(0.95, gt=0, lt=1)
    resamples: int = pydantic.Field(2000, ge=100, le=1_000_000)
    margin: float = pydantic.Field(0.05, gt=0, lt=1)
    fad_infinity: bool = False


class Threshold(_Model):
    """The score above which a clip is called anomalous; see `asdbench.metrics.threshold`.

    Attributes:
        method: "gamma", fitted to the scores of the training clips, or "empirical", of these scores themselves.
        quantile: 0.9 lets one training clip in ten lie above.
    """

    method: Method = METHODS[0]
    quantile: float = pydantic.Field(QUANTILE, gt=0, lt=1)


class Spec(_Model):
    """A benchmark; the fields are described in the documentation of the spec in README.md."""

    name: Name
    description: str = ""
    plugins: list[str] = []
    dataset: PluginSpec
    machines: list[str] | None = pydantic.Field(None, min_length=1)
    seeds: list[Seed] = pydantic.Field([0, 1, 2], min_length=1)
    holdout: Holdout = Holdout()
    exposure: Exposure = "same-machine"
    controls: Literal["auto", "all", "none"] = "auto"
    detectors: dict[Name, PluginSpec] = pydantic.Field(min_length=1)
    generators: dict[Name, PluginSpec] = {}
    generated_clips: int | None = pydantic.Field(None, ge=1, le=1_000_000)
    test_sets: dict[Name, TestSet] = pydantic.Field(
        {"original": TestSet(anomaly="real"), "generated": TestSet(anomaly="generated")}, min_length=1
    )
    embeddings: dict[Name, PluginSpec] = {"logmel_stats": PluginSpec(use="logmel_stats")}
    metrics: list[str] = ["auc", "pauc", "auc_source", "auc_target"]
    published: Name | None = None
    official: Literal[2020, 2021, 2022, 2023, 2024, 2025, 2026] | None = None
    statistics: Statistics = Statistics()
    threshold: Threshold = Threshold()

    @pydantic.field_validator("seeds", "machines", "metrics")
    @classmethod
    def _no_repeats(cls, values: list[Any] | None) -> list[Any] | None:
        for value in values or []:
            if (values or []).count(value) > 1:
                raise ValueError(f"{value!r} is given twice")
        return values

    @pydantic.field_validator("generators")
    @classmethod
    def _real_is_taken(cls, values: dict[str, PluginSpec]) -> dict[str, PluginSpec]:
        if "real" in values:
            raise ValueError("'real' stands for the recordings, choose another name for the generator")
        return values


_NESTED: dict[str, type[_Model]] = {
    "holdout": Holdout,
    "statistics": Statistics,
    "test_sets": TestSet,
    "threshold": Threshold,
}


class LoadedSpec:
    """A valid spec together with its plugins.

    Attributes:
        spec: the validated spec, everything resolved.
        plugin_files: absolute paths of the plugin files it names.
        dataset: the dataset instance.
        detectors, generators: instances by the spec's names; they carry settings and are never fitted. Among the
            generators are the bounds that controls add.
        embeddings: instances by the spec's names, by which generated clips are compared with real ones.
        controlled: names of the generators that controls are run for: they make normal clips too.
        variants: further instances of those, as controls, by ``GENERATOR.CONTROL``.
    """

    def __init__(self, data: dict[str, Any], places: Places, folder: FilePath, plugin_files: list[FilePath]) -> None:
        self._places = places
        self.spec = self._validate(data)
        self.plugin_files = [(folder / name).resolve() for name in self.spec.plugins]
        self.plugin_files += [path.resolve() for path in plugin_files if path.resolve() not in self.plugin_files]
        try:
            plugins.load_files(self.plugin_files)
        except UserError as error:
            raise UserError(f"{self._where(('plugins',))}: {error}") from None
        self.dataset = self._build(plugins.datasets, self.spec.dataset, ("dataset",))
        self.detectors = {
            name: self._build(plugins.detectors, entry, ("detectors", name))
            for name, entry in self.spec.detectors.items()
        }
        self.generators = {
            name: self._build(plugins.generators, entry, ("generators", name))
            for name, entry in self.spec.generators.items()
        }
        self.embeddings = {
            name: self._build(plugins.embeddings, entry, ("embeddings", name))
            for name, entry in self.spec.embeddings.items()
        }
        self.controlled = self._controlled()
        if self.controlled:
            for name in BOUNDS:
                if not any(entry.use == name for entry in self.spec.generators.values()):
                    self.generators[name] = self._build(plugins.generators, PluginSpec(use=name), ("controls",))
        self.variants = {
            f"{name}.{control}": type(self.generators[name])(**{**self.generators[name].settings(), **changes})
            for name in self.controlled
            for control, changes in type(self.generators[name]).controls.items()
        }
        for index, name in enumerate(self.spec.metrics):
            self._lookup(plugins.metrics, name, ("metrics", index))
        self._check_published()
        if not self.generators and all(entry.anomaly == "generated" for entry in self.spec.test_sets.values()):
            raise UserError(
                f"{self._where(('test_sets',))}: every test set needs generated clips, but there is no generator"
            )

    def place(self, *at: str | int) -> str:
        """Where a field stands, for messages: "file.yaml:12: detectors.ae"."""
        return self._where(at)

    def resolved(self) -> dict[str, Any]:
        """The spec with every default filled in, as JSON values; what a run stores."""
        data = self.spec.model_dump(mode="json")
        data["plugins"] = [str(path) for path in self.plugin_files]
        data["dataset"] = {"use": self.spec.dataset.use, **self.dataset.settings()}
        for kind in ("detectors", "generators", "embeddings"):
            instances: dict[str, Plugin] = getattr(self, kind)
            data[kind] = {name: {"use": instance.name, **instance.settings()} for name, instance in instances.items()}
        return data

    def _check_published(self) -> None:
        if self.spec.published is None:
            return
        from asdbench.report import published  # with all of the tables, which no other spec needs here

        try:
            published.figures(self.spec.published)
        except UserError as error:
            raise UserError(f"{self._where(('published',))}: {error}") from None

    def _controlled(self) -> list[str]:
        """The generators that controls are run for: those that learn, or all, or none, as the spec says."""
        made = any(entry.anomaly == "generated" for entry in self.spec.test_sets.values())
        if self.spec.controls == "none" or not made:
            return []
        every = self.spec.controls == "all"
        return [name for name, each in self.generators.items() if not each.is_control and (every or each.learns)]

    def _validate(self, data: dict[str, Any]) -> Spec:
        try:
            return Spec.model_validate(data)
        except pydantic.ValidationError as error:
            raise UserError(self._sentence(error, (), list(Spec.model_fields))) from None

    def _lookup(self, registry: Registry[Any], name: str, at: Path) -> Any:
        try:
            return registry.get(name)
        except UserError as error:
            raise UserError(f"{self._where(at)}: {error}") from None

    def _build(self, registry: Registry[type[P]], entry: PluginSpec, at: Path) -> P:
        plugin: type[P] = self._lookup(registry, entry.use, (*at, "use"))
        for name, value in entry.settings.items():
            if isinstance(value, bool) and plugin.is_number(name):
                raise UserError(f"{self._where((*at, name))}: found {value}, expected a number")
        try:
            return plugin(**entry.settings)
        except pydantic.ValidationError as error:
            raise UserError(self._sentence(error, at, plugin.setting_names())) from None
        except UserError as error:
            raise UserError(f"{self._where(at)}: {error}") from None
        except pydantic.errors.PydanticUserError as error:
            raise UserError(f"{self._where(at)}: '{entry.use}' cannot be set up: {error.message}") from None

    def _sentence(self, error: pydantic.ValidationError, at: Path, known: Iterable[str]) -> str:
        nested = {name: list(model.model_fields) for name, model in _NESTED.items()} if not at else {}
        where, sentence = first_error(error, known, nested)
        return f"{self._where((*at, *where))}: {sentence}"

    def _where(self, at: Path) -> str:
        field = ".".join(str(step) for step in at)
        for length in range(len(at), -1, -1):  # a missing field has the place of what should hold it
            if at[:length] in self._places:
                return f"{self._places[at[:length]]}: {field}" if field else self._places[at[:length]]
        return field or "spec"


def load_spec(
    source: str | FilePath | dict[str, Any],
    overrides: list[str] | tuple[str, ...] = (),
    plugin_files: list[FilePath] | tuple[FilePath, ...] = (),
) -> LoadedSpec:
    """Load a benchmark spec.

    Args:
        source: a YAML file, the name of a spec that ships with asdbench, or a mapping.
        overrides: ``"detectors.ae.epochs=5"``: values that replace those of the file, written as YAML.
        plugin_files: Python files with plugins, beside those that the spec names.

    Raises:
        UserError: anything in it is wrong; the message has file, line and field.
    """
    if isinstance(source, dict):
        data, folder = _copy(source), FilePath.cwd()
        places: Places = {(): "spec"}
        if "extends" in data:
            raise UserError("spec: extends: only a spec in a file can extend another")
    else:
        path = find_spec(str(source))
        data, places = _read_extended(path, ())
        folder = path.parent
    for override in overrides:
        _apply_override(data, places, override)
    return LoadedSpec(data, places, folder, list(plugin_files))


def build_named(
    registry: Registry[type[P]], name: str, entries: Mapping[str, PluginSpec], assignments: Iterable[str]
) -> P:
    """Make the plugin that a name on the command line stands for.

    Args:
        registry: plugins of its kind.
        name: of an entry of a benchmark, whose settings are taken, or of a plugin.
        entries: those of the benchmark; none without one.
        assignments: settings that replace those of the entry, as ``NAME=VALUE``.

    Raises:
        UserError: there is no such entry or plugin, or a setting is wrong.
    """
    if name in entries:
        return build_plugin(registry.get(entries[name].use), assignments, entries[name].settings)
    if name not in registry.names():
        known = [*entries, *registry.names()]
        raise UserError(f"there is no {registry.kind} named '{name}'{did_you_mean(name, known)}")
    return build_plugin(registry.get(name), assignments)


def find_spec(source: str) -> FilePath:
    """Return the file of a spec: a path, or the name of one that ships with asdbench."""
    path = FilePath(source)
    if os.path.exists(path) and not path.is_dir():
        return path
    shipped = shipped_specs()
    if source in shipped:
        return shipped[source]
    if path.suffix in (".yaml", ".yml") or "/" in source:
        raise UserError(f"{source}: no such file")
    raise UserError(f"there is no spec file and no built-in benchmark '{source}'{did_you_mean(source, shipped)}")


def shipped_specs() -> dict[str, FilePath]:
    """The specs that ship with asdbench, by name; those that only others extend begin with an underscore."""
    package = importlib.import_module("asdbench.benchmarks")
    paths = [path for folder in package.__path__ for path in sorted(FilePath(folder).glob("*.yaml"))]
    return {path.stem: path for path in paths if not path.stem.startswith("_")}


def _read_extended(path: FilePath, below: tuple[FilePath, ...]) -> tuple[dict[str, Any], Places]:
    if path.resolve() in below:
        raise UserError(f"{path}: extends itself through {' -> '.join(p.name for p in (*below, path))}")
    data, places = read_yaml(path)
    if "extends" not in data:
        _anchor_plugins(data, path)
        return data, places
    parent_name, place = data.pop("extends"), places[("extends",)]
    if not isinstance(parent_name, str):
        raise UserError(f"{place}: extends: expected the name of one spec, found {shown(parent_name)}")
    beside, shipped = path.parent / parent_name, shipped_specs()
    if not os.path.isfile(beside) and parent_name not in shipped:
        raise UserError(
            f"{place}: extends: there is no file {beside} and no built-in benchmark '{parent_name}'"
            f"{did_you_mean(parent_name, shipped)}"
        )
    parent_path = beside if os.path.isfile(beside) else shipped[parent_name]
    parent, parent_places = _read_extended(parent_path, (*below, path.resolve()))
    _anchor_plugins(data, path)
    return _merge(parent, data, parent_places, places, ())


def _anchor_plugins(data: dict[str, Any], path: FilePath) -> None:
    """Plugin files are named relative to the spec that names them, not to one that extends it."""
    if isinstance(data.get("plugins"), list):
        data["plugins"] = [str(path.parent.resolve() / p) if isinstance(p, str) else p for p in data["plugins"]]


def _merge(
    base: dict[str, Any], over: dict[str, Any], base_places: Places, over_places: Places, at: Path
) -> tuple[dict[str, Any], Places]:
    """Lay one spec over another: mappings are merged key by key, null removes a key, all else is replaced.

    An entry with another ``use`` is a different plugin: it replaces the whole entry.
    """
    merged, places = dict(base), dict(base_places)
    places.update({path: place for path, place in over_places.items() if path == at})
    for key, value in over.items():
        where = (*at, key)
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        if both and merged[key].get("use", value.get("use")) == value.get("use", merged[key].get("use")):
            merged[key], places = _merge(merged[key], value, places, over_places, where)
            continue
        places = {path: place for path, place in places.items() if path[: len(where)] != where}
        if value is None and key in merged and at:
            del merged[key]
            continue
        merged[key] = value
        places.update({path: place for path, place in over_places.items() if path[: len(where)] == where})
    return merged, places


def _apply_override(data: dict[str, Any], places: Places, override: str) -> None:
    field, value = parse_assignment(override)
    at = tuple(field.split("."))
    if at[0] == "extends":
        raise UserError(f"--set {override}: extends belongs into a file")
    place = f"--set {override}"
    target = data
    for length, step in enumerate(at[:-1], 1):
        if step not in target:
            places[at[:length]] = place
        below = target.setdefault(step, {})
        if not isinstance(below, dict):
            raise UserError(f"{place}: '{step}' is not a mapping, it has no fields to set")
        target = below
    if at[-1] == "use" and target.get("use", value) != value:
        target.clear()  # another plugin has other settings
    if value is None and len(at) > 1:
        target.pop(at[-1], None)
        return
    target[at[-1]] = value
    for path in [path for path in places if path[: len(at)] == at]:
        del places[path]
    places[at] = place


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
