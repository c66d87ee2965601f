"""Base classes of plugins, and the registry that finds them by name.

A plugin is a class whose annotated attributes are its settings. It comes in by an entry point of an installed package
(groups ``asdbench.datasets``, ``asdbench.detectors``, ``asdbench.generators``, ``asdbench.embeddings``,
``asdbench.metrics``, ``asdbench.parts``), by a Python file named in a spec, or by a decorator in a notebook. asdbench
itself knows no plugin by name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args

import pydantic

from asdbench.audio import Channel, Waveform
from asdbench.errors import UserError, did_you_mean
from asdbench.imported import imported_files
from asdbench.seeding import derive_rng

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from asdbench.clips import ClipSet
    from asdbench.fingerprinting import Fingerprints

T = TypeVar("T")

_FILE_MODULE = "asdbench_plugin_"
_LATE = "late"
"""Mark of the settings that do not change what is learnt; says what they act in."""
_REST = "rest"
"""Mark of the setting that takes what is given beside the declared settings."""
_RESERVED: frozenset[str] = frozenset()
_file_digests: dict[str, bytes] = {}
"""Hash of the content of each plugin file, by the module it became."""
_loaded_together: set[tuple[str, str]] = set()
"""Kind and name of what the plugin files of one spec registered."""


def setting(
    default: Any = ...,
    *,
    scoring: bool = False,
    sampling: bool = False,
    running: bool = False,
    rest: bool = False,
    description: str = "",
    **limits: Any,
) -> Any:
    """Describe one setting of a plugin.

    For example ``k: int = setting(5, ge=1, description="number of neighbours")``.

    Args:
        default: its default; without one the setting must be given.
        scoring: for detectors: the setting changes scoring only, so runs that differ in it share one fit.
        sampling: for generators that learn: the setting changes sampling only, so runs that differ in it share one
            training.
        running: the setting changes how learning is carried out (where, how often it is looked at), not what is learnt.
        rest: the setting, a dict, also takes all settings that are given and not declared, by their names. The plugin
            itself refuses those that it does not know, by a UserError from ``__post_init__``.
        description: one line for `asdbench list NAME`.
        **limits: further arguments of `pydantic.Field`: ge, gt, le, lt, min_length, pattern, default_factory, and alias
            where the attribute cannot have the name of the setting (``score_by: str = setting(alias="score")``).
    """
    extra: dict[str, pydantic.JsonValue] | None = None
    if scoring or sampling or running:
        extra = {_LATE: "scoring" if scoring else "sampling" if sampling else "running"}
    if rest:
        extra = {**(extra or {}), _REST: True}
    if "default_factory" in limits:
        return pydantic.Field(description=description, json_schema_extra=extra, **limits)
    return pydantic.Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass_transform(kw_only_default=True, field_specifiers=(setting,))
class Plugin:
    """What all plugins share: validated settings, a version and a seed.

    Attributes:
        version: to be raised when the same settings give other results than before; stored work is then made anew.
        seed: seed of this instance, set by the framework before any method is called.
    """

    version: ClassVar[str] = "1"
    name: ClassVar[str] = ""
    __pydantic_fields__: ClassVar[dict[str, pydantic.fields.FieldInfo]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # An annotation that ends in an underscore and has no default is the type of what `fit` learns, not a setting.
        annotations = inspect.get_annotations(cls)
        settings = {n: kind for n, kind in annotations.items() if not n.endswith("_") or n in vars(cls)}
        if settings != annotations:
            cls.__annotations__ = settings
        for name in settings:
            if name in _RESERVED and "ClassVar" not in str(annotations[name]):
                raise UserError(
                    f"{cls.__name__}: '{name}' cannot be the name of a setting, plugins have it already; "
                    f"call the attribute otherwise and give `setting(…, alias='{name}')`"
                )
        config = pydantic.ConfigDict(extra="forbid", validate_default=True, arbitrary_types_allowed=True)
        pydantic.dataclasses.dataclass(cls, config=config, kw_only=True, eq=False)
        if cls.rest_name():
            _gather_rest(cls)

    def __post_init__(self) -> None:
        self.seed = 0

    def rng(self, *name: Any) -> np.random.Generator:
        """A fresh random generator that depends on this instance's seed and on ``name`` only."""
        return derive_rng(self.seed, *name)

    @classmethod
    def summary(cls) -> str:
        """First line of the docstring, for listings."""
        return _first_line(inspect.getdoc(cls))

    @classmethod
    def setting_names(cls, *, late: bool | None = None) -> list[str]:
        """Names of the settings; with ``late`` those that (False) change what is learnt or (True) do not."""
        fields = cls.__pydantic_fields__.items()
        return [info.alias or name for name, info in fields if late is None or bool(acts_in(info)) is late]

    @classmethod
    def rest_name(cls) -> str:
        """Name of the setting that takes the settings that are not declared; "" where there is none."""
        fields = cls.__pydantic_fields__.items()
        marked = [
            info.alias or name
            for name, info in fields
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(_REST)
        ]
        return marked[0] if marked else ""

    @classmethod
    def is_number(cls, name: str) -> bool:
        """Whether a setting is a number; pydantic would take yes and no for 1 and 0."""
        kinds = [info.annotation for field, info in cls.__pydantic_fields__.items() if (info.alias or field) == name]
        return bool(kinds) and bool({kinds[0], *get_args(kinds[0])} & {int, float}) and bool not in get_args(kinds[0])

    def settings(self, *, late: bool | None = None) -> dict[str, Any]:
        """The settings as JSON values, defaults included; ``late`` as in `setting_names`."""
        wanted = self.setting_names(late=late)
        fields = {info.alias or name: name for name, info in self.__pydantic_fields__.items()}
        values = {name: _plain(getattr(self, fields[name])) for name in wanted}
        return pydantic.TypeAdapter(dict[str, Any]).dump_python(values, mode="json")  # type: ignore[no-any-return]

    def inputs(self) -> dict[str, str]:
        """What results depend on beside settings and clips, such as the files of a model: what it is, and a hash.

        Work is made anew when a hash changes. Where a setting is itself a plugin, such as an embedding, that is its
        source and its own inputs.

        Raises:
            UserError: a file that a setting names is missing or cannot be used.
        """
        return {
            f"{name}.{what}": identity
            for name, part in self.nested().items()
            for what, identity in {"source": source_id(type(part)), "version": part.version, **part.inputs()}.items()
        }

    def nested(self) -> dict[str, Plugin]:
        """The settings that are themselves plugins, by the names of their attributes."""
        values = {name: getattr(self, name) for name in self.__pydantic_fields__}
        return {name: value for name, value in values.items() if isinstance(value, Plugin)}


def acts_in(info: pydantic.fields.FieldInfo) -> str:
    """What a setting acts in where it does not change what is learnt: "scoring", "sampling", "running", or ""."""
    extra = info.json_schema_extra
    return str(extra.get(_LATE, "")) if isinstance(extra, dict) else ""


class Dataset(Plugin):
    """Yields the clips of machines.

    Attributes:
        makes_audio: True when `clips` writes audio itself (simulators, downloads) and its result depends on nothing but
            settings, seed and machine; False when it lists files that lie on disk.
        sample_rate: rate in Hz at which detectors and generators read the clips.
        channel: which channel of multichannel files they read.
    """

    makes_audio: ClassVar[bool] = False

    sample_rate: int = setting(
        16000, ge=1000, le=768000, description="rate in Hz at which clips are read (resampled if needed)"
    )
    channel: Channel = setting(0, description="channel to read: an index from 0, or 'mean'")

    def fetch(self, machines: Sequence[str] | None) -> None:
        """Bring recordings that are not on the disk, for datasets that can; called before a run looks for machines.

        Args:
            machines: the machine types that the run needs; None for all that there are.

        Raises:
            UserError: they cannot be had, or nobody could be asked whether to.
        """

    def machines(self) -> list[str]:
        """Names of the machine types, sorted."""
        raise NotImplementedError

    def clips(self, machine: str, folder: Path) -> pd.DataFrame:
        """List the clips of one machine type, train and test.

        Args:
            machine: one of `machines`.
            folder: an empty folder for audio that the dataset makes itself; others leave it alone.

        Returns:
            One row a clip with the columns `asdbench.clips.LABELS`, in a stable order. A column "group" may say which
            clips must not be divided between training, test and generators, such as the cuts of a recording. A
            "path" may name a part of a file (see `asdbench.segments`).
        """
        raise NotImplementedError

    def divide(self, machine: str, clips: pd.DataFrame) -> Sequence[str]:
        """Assign clips to training and test once their audio is known; by default as `clips` said.

        Args:
            machine: one of `machines`.
            clips: what `clips` listed, without what cannot be used; copies of the same audio are in one group.

        Returns:
            "train" or "test" for each row.

        Raises:
            NotApplicableError: no normal clip is there; the other machines are used.
        """
        return list(clips["split"])

    def skips_bad_clips(self) -> bool:
        """Whether recordings that cannot be used are left out; by default they are refused."""
        return False


class Detector(Plugin):
    """Gives each clip an anomaly score; higher is more anomalous.

    What `fit` learns goes into attributes whose names end in an underscore (``self.mean_``): numpy arrays, numbers,
    strings, scikit-learn estimators, and lists or dicts of these. The framework saves and restores them.

    Attributes:
        looks_up: True for one that listens to nothing and looks scores up that were made elsewhere. It is told which
            clips it scores (see `asdbench.ClipSet.for_lookup`) and may return NaN for training clips; these have no
            score then, and where all have none there is no decision threshold.
    """

    looks_up: ClassVar[bool] = False

    def fit(self, clips: ClipSet) -> None:
        """Learn from the normal clips of one machine type."""
        raise NotImplementedError

    def score(self, clips: ClipSet) -> npt.NDArray[np.floating]:
        """Return one finite score a clip, shape (len(clips),).

        The clips come in batches and in an order by hash; labels are blanked, and names and files are those of copies
        that tell nothing (`asdbench.blind`). A score must depend on its clip and on what was learnt only.
        """
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What was learnt: the attributes that end in an underscore and are no settings."""
        settings = self.__pydantic_fields__
        return {
            name: value
            for name, value in vars(self).items()
            if name.endswith("_") and not name.endswith("__") and name not in settings
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        vars(self).update(state)


@dataclass
class GeneratedClip:
    """A clip that a generator made.

    Attributes:
        waveform: float audio, shape (num_samples,), full scale at 1.0.
        provenance: how it was made, as JSON values: source clip, parameters, seed.
        attributes: the attributes of the clip where they differ from what was asked for.
    """

    waveform: Waveform
    provenance: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, str] | None = None


@dataclass(frozen=True)
class Request:
    """What a generator is asked for.

    Attributes:
        rows: one row a clip to make: ``clip_id``, ``machine``, ``section``, ``domain``, ``condition``, ``attributes``,
            and for generators that read text a ``caption`` where the user wrote one.
        pool: real clips that the generator may use, normal and anomalous; disjoint from the detectors' training clips
            and from all test clips. Without anomalies where the benchmark's exposure says so.
        sample_rate: rate in Hz of the audio that is to be returned.
        model: folder of what `Generator.train` learnt, None where nothing was trained.
    """

    rows: pd.DataFrame
    pool: ClipSet
    sample_rate: int
    model: Path | None = None


@dataclass(frozen=True)
class Training:
    """What a generator learns from, and where it puts what it has learnt.

    Attributes:
        clips: real clips of one or more machines, normal and anomalous, in a fixed order.
        out: an empty folder for the model.
        work: a folder that outlives an interruption: what is found in it was left by the same training, which goes on.
        cache: a folder that all trainings of generators of this name share, for what is worth computing once a clip.
        exposure: whose anomalies are among the clips, see `asdbench.exposure`.
        progress: to be called now and then with the steps done, all steps, and a note such as the loss.
    """

    clips: ClipSet
    out: Path
    work: Path
    cache: Path
    exposure: str = "same-machine"
    progress: Callable[[int, int, str], None] = lambda done, total, note: None


class Generator(Plugin):
    """Makes clips.

    A generator that learns sets ``learns`` and has `train` and `learnt_from` beside `generate`.

    Attributes:
        independent_rows: True when a clip depends on its own row of the request only, whatever is asked for beside it.
        learns: True when the generator has to be trained, by `train` or before (a checkpoint).
        is_control: True when it gives out real clips as a bound for others; the exposure of a benchmark does not
            limit what it is given.
        controls: variants of the generator that a benchmark runs beside it, by name: the settings that they change.
            "codec" gives real clips as the generator's codec reproduces them.
    """

    independent_rows: ClassVar[bool] = True
    learns: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def needs_training(self) -> bool:
        """Whether `train` has to be called before `generate`; False where a setting names a finished model."""
        return self.learns

    def train(self, training: Training) -> None:
        """Learn from ``training.clips`` and write a model to ``training.out``.

        Raises:
            UserError: the clips cannot be learnt from; the message says what is missing.
        """
        raise NotImplementedError

    def learnt_from(self, model: Path | None) -> pd.DataFrame | None:
        """The real clips that a model has learnt from, so that a benchmark can refuse to test on them.

        Args:
            model: what `train` wrote; None where a setting names the model.

        Returns:
            One row a clip with ``clip_id``, ``machine``, ``condition`` and ``content_hash``, and with ``section``,
            ``domain`` and ``attributes`` where clips can be asked for by them; None where nothing is known.
        """
        return None

    def fingerprints(self, model: Path | None) -> Fingerprints | None:
        """Fingerprints of the real clips that a model has learnt from, by which copies of them are known.

        Args:
            model: as in `learnt_from`.

        Returns:
            What `asdbench.fingerprints` made of the clips; None where the model keeps none. The benchmark then takes
            those of the clips that the generator was given in this very run, if it was trained in it.
        """
        return None

    def parameters(self, model: Path | None) -> int | None:
        """Number of trained parameters that make a clip; None where there are none.

        Args:
            model: as in `learnt_from`.
        """
        return None

    def met_rows(self, request: Request) -> Sequence[int]:
        """Positions of the rows of a request that a benchmark is to ask for; by default all.

        A control that gives out each clip of the pool once has no more than there are.
        """
        return range(len(request.rows))

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        """Yield one clip for each row of ``request.rows``, in order.

        Randomness comes from ``self.rng(row.clip_id)``, so that a clip does not depend on what is made beside it. A
        request that cannot be met raises a UserError that says what is missing.
        """
        raise NotImplementedError


class Part(Plugin):
    """A part of a generator that is trained by itself, such as a codec, with `asdbench train NAME`.

    Attributes:
        usage: how its model is used, one sentence in which ``{out}`` stands for the folder.
    """

    usage: ClassVar[str] = ""

    def usage_with(self, out: Path) -> str:
        """How the model in ``out`` is used; override it where that depends on the settings."""
        return self.usage.format(out=out)

    def train(self, training: Training) -> None:
        """Learn from ``training.clips`` and write a model to ``training.out``.

        Raises:
            UserError: the part cannot be learnt from the clips; the message says what is missing.
        """
        raise NotImplementedError


class Embedding(Plugin):
    """Turns a clip into vectors, by which sets of clips are compared (FAD, KAD), and perhaps into logits (KL, IS).

    Models are loaded when they are first used. What a clip gives depends on that clip only.

    Attributes:
        has_logits: True for classifiers.
    """

    has_logits: ClassVar[bool] = False

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of the waveforms that `embed` takes."""
        raise NotImplementedError

    @property
    def dim(self) -> int:
        """Length of a vector."""
        raise NotImplementedError

    def embed(self, waveform: Waveform) -> npt.NDArray[np.floating]:
        """The vectors of one clip, shape (vectors, dim): one or more, finite.

        Args:
            waveform: float32, shape (num_samples,), at `sample_rate`.

        Raises:
            UserError: the clip cannot be embedded; the message says why, the framework says which clip.
        """
        raise NotImplementedError

    def logits(self, waveform: Waveform) -> npt.NDArray[np.floating]:
        """Class logits of one clip, shape (segments, classes); for classifiers only."""
        raise NotImplementedError

    def embed_with_logits(self, waveform: Waveform) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """Both at once; classifiers that compute them together override this."""
        return self.embed(waveform), self.logits(waveform)


_RESERVED = frozenset(
    name for kind in (Plugin, Dataset, Detector, Generator, Part) for name in vars(kind) if not name.startswith("_")
) - {"sample_rate", "channel"} | {"seed"}
"""Names that mean something else in a plugin than a setting."""

Metric = Callable[..., float]
"""``metric(is_anomaly, score, domain) -> float``: arrays of equal length; NaN where it is not defined."""


class Registry(Generic[T]):
    """Plugins of one kind by name: those of installed packages (imported when asked for) and those registered here."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._registered: dict[str, T] = {}

    def add(self, name: str, plugin: T) -> T:
        """Register a plugin under a name.

        Raises:
            UserError: another plugin has this name.
        """
        identity, known = _identity(plugin), self._registered.get(name)
        entry = self._entry_points().get(name)
        of_package = entry is not None and not _is_same(entry, identity)
        if of_package or (known is not None and _identity(known) != identity):
            raise UserError(f"a {self.kind} named '{name}' exists already; choose another name")
        self._registered[name] = plugin
        _loaded_together.add((self.kind, name))
        return plugin

    def names(self) -> list[str]:
        """All names, sorted; nothing is imported."""
        return sorted({*self._registered, *self._entry_points()})

    def get(self, name: str) -> T:
        """Return a plugin.

        Raises:
            UserError: the name is unknown (with the nearest known one), or the package that provides it fails to load.
        """
        if name in self._registered:
            return self._registered[name]
        entry = self._entry_points().get(name)
        if entry is None:
            raise UserError(f"there is no {self.kind} named '{name}'{did_you_mean(name, self.names())}")
        try:
            plugin: T = entry.load()
        except Exception as error:
            raise UserError(f"the {self.kind} '{name}' ({entry.value}) cannot be loaded: {error}") from error
        if isinstance(plugin, type) and issubclass(plugin, Plugin):
            plugin.name = name
        self._registered.setdefault(name, plugin)
        return self._registered[name]

    def summary(self, name: str) -> str:
        """First line of a plugin's docstring; read from its source where that is possible, to import nothing heavy."""
        entry = self._entry_points().get(name)
        if name not in self._registered and entry is not None:
            line = _first_line_in_source(entry)
            if line:
                return line
        return _first_line(inspect.getdoc(self.get(name)))

    def forget_files(self) -> None:
        """Drop the plugins of plugin files."""
        self._registered = {name: plugin for name, plugin in self._registered.items() if not _is_from_file(plugin)}

    def modules(self) -> list[str]:
        """The modules that define the plugins of installed packages."""
        return [entry.module for entry in self._entry_points().values()]

    def origin(self, name: str) -> str:
        """Where a plugin comes from: "package acme 1.0", "plugin file mine.py", or "a script or notebook"."""
        entry = self._entry_points().get(name)
        if entry is not None:
            return f"package {entry.dist.name} {entry.dist.version}" if entry.dist else f"module {entry.module}"
        plugin = self.get(name)
        file = getattr(sys.modules.get(getattr(plugin, "__module__", "")), "__file__", None)
        return f"plugin file {Path(file).name}" if _is_from_file(plugin) and file else "a script or notebook"

    def is_portable(self, name: str) -> bool:
        """Whether another process can load the plugin: from a package or a plugin file, not from a notebook."""
        return name in self._entry_points() or _is_from_file(self._registered.get(name))

    @functools.cache  # noqa: B019 - one registry a kind lives as long as the process
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=f"asdbench.{self.kind}s")}


datasets: Registry[type[Dataset]] = Registry("dataset")
detectors: Registry[type[Detector]] = Registry("detector")
generators: Registry[type[Generator]] = Registry("generator")
embeddings: Registry[type[Embedding]] = Registry("embedding")
metrics: Registry[Metric] = Registry("metric")
parts: Registry[type[Part]] = Registry("part")
_RESULTS: tuple[Registry[Any], ...] = (datasets, detectors, generators, embeddings, metrics)
"""What stored results depend on."""
_REGISTRIES: tuple[Registry[Any], ...] = (*_RESULTS, parts)


def _decorator(registry: Registry[Any], base: type | None) -> Callable[[str], Callable[[T], T]]:
    def named(name: str) -> Callable[[T], T]:
        def register(plugin: T) -> T:
            if base is not None:
                if not (isinstance(plugin, type) and issubclass(plugin, base)):
                    raise UserError(f"{registry.kind} '{name}': expected a subclass of asdbench.{base.__name__}")
                plugin.name = name  # type: ignore[attr-defined]
            return registry.add(name, plugin)  # type: ignore[no-any-return]

        return register

    return named


dataset = _decorator(datasets, Dataset)
detector = _decorator(detectors, Detector)
generator = _decorator(generators, Generator)
embedding = _decorator(embeddings, Embedding)
metric = _decorator(metrics, None)
part = _decorator(parts, Part)


def load_files(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Import Python files so that the plugins they decorate are registered, in place of those of earlier loads.

    Returns:
        Kind and name of each plugin that they register, such as ("detector", "my_detector").

    Raises:
        UserError: a file is missing or raises while it is imported, or two of them register the same name.
    """
    _loaded_together.clear()
    for registry in _REGISTRIES:
        registry.forget_files()
    for path in paths:
        _load_file(path.resolve())
    return sorted(_loaded_together)


def _load_file(path: Path) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UserError(f"plugin file {path} {reason}") from None
    # The content is part of the name: a file that was changed is another module.
    digest = hashlib.blake2b(content, digest_size=8).digest()
    place = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    name = f"{_FILE_MODULE}{path.stem}_{place}_{digest.hex()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin file {path}: expected a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _file_digests[name] = digest
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for modules beside the file; last, so that it hides nothing
    try:
        exec(compile(content, path, "exec", dont_inherit=True), vars(module))  # what was hashed, not what is there now
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, UserError):
            raise UserError(f"plugin file {path}: {error}") from error
        raise UserError(f"plugin file {path} cannot be imported: {type(error).__name__}: {error}") from error


def source_id(plugin: type) -> str:
    """Hash of the source of a plugin, so that work is made anew when it changes.

    That is the file that defines the class (all files of its package where that holds no other plugin) and the modules
    of its collection that it imports (`asdbench.imported`), likewise of the plugin classes it inherits from, and the
    code of the class itself in a notebook. What it imports from elsewhere is outside: its ``version`` is for that.
    """
    if plugin not in _source_ids:
        digest = hashlib.blake2b(digest_size=8)
        for kind in plugin.__mro__:
            if issubclass(kind, Plugin) and kind.__module__ != __name__:
                digest.update(_source(kind) + b"\0")
        _source_ids[plugin] = digest.hexdigest()
    return _source_ids[plugin]


_source_ids: dict[type, str] = {}


def _source(kind: type) -> bytes:
    if kind.__module__ in _file_digests:  # as it was when it was loaded
        return _file_digests[kind.__module__]
    try:
        file = Path(inspect.getsourcefile(kind) or "")
    except (TypeError, OSError):
        return _code_of(kind)
    if not file.is_file():
        return _code_of(kind)
    own = [file]
    if file.name == "__init__.py" or _is_alone(kind.__module__.rpartition(".")[0]):
        own = sorted(file.parent.rglob("*.py"))
    return b"\0".join(path.read_bytes() for path in (*own, *imported_files(kind.__module__, own)))


def _code_of(kind: type) -> bytes:
    """What the methods of a class compute, for classes that were typed in: their bytecode, names and constants."""

    def parts(code: CodeType) -> list[Any]:
        constants = [parts(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
        return [code.co_code.hex(), code.co_names, code.co_varnames, constants]

    methods = {name: value for name, value in vars(kind).items() if hasattr(value, "__code__")}
    return repr({name: parts(method.__code__) for name, method in sorted(methods.items())}).encode()


def _is_alone(package: str) -> bool:
    """Whether exactly one installed plugin lives in a package; a generator's parts belong to it."""
    inside = [name for registry in _RESULTS for name in registry.modules() if f"{name}.".startswith(f"{package}.")]
    return bool(package) and len(inside) == 1


def _is_same(entry: EntryPoint, identity: str) -> bool:
    """Whether an entry point names a plugin, perhaps by a package that re-exports it."""
    module, _, name = identity.partition(":")
    return entry.attr == name and entry.module.partition(".")[0] == module.partition(".")[0]


def _gather_rest(cls: type[Plugin]) -> None:
    """Let the constructor of a plugin put the settings that are not declared into the one that takes them."""
    declared, rest = frozenset(cls.setting_names()), cls.rest_name()
    construct: Callable[..., None] = cls.__init__

    @functools.wraps(construct)
    def init(self: Plugin, **settings: Any) -> None:
        others = {name: value for name, value in settings.items() if name not in declared}
        given = settings.get(rest, {})
        settings = {name: value for name, value in settings.items() if name in declared}
        if others and isinstance(given, Mapping):  # else the constructor says what is wrong with it
            for name in given:
                if name in others:
                    raise UserError(f"'{name}' is given twice: by itself and in '{rest}'")
            settings[rest] = {**given, **others}
        construct(self, **settings)

    cls.__init__ = init  # type: ignore[assignment, method-assign]


def _plain(value: Any) -> Any:
    """The value with its sets in order and its plugins as a spec writes them, so that equal settings are equal text."""
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Plugin):
        return {"use": value.name, **value.settings()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _is_from_file(plugin: Any) -> bool:
    return str(getattr(plugin, "__module__", "")).startswith(_FILE_MODULE)


def _first_line_in_source(entry: EntryPoint) -> str:
    """First docstring line of the class or function of an entry point, "" where its module does not define it."""
    try:
        spec = importlib.util.find_spec(entry.module)  # imports the packages around the module, not the module
        source = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == entry.attr:
                return _first_line(ast.get_docstring(node))
    except (ImportError, OSError, SyntaxError, ValueError):
        pass  # `get` will say what is wrong with it
    return ""


def _first_line(docstring: str | None) -> str:
    return (docstring or "").partition("\n")[0]


def _identity(plugin: Any) -> str:
    return f"{getattr(plugin, '__module__', '')}:{getattr(plugin, '__qualname__', '')}"
