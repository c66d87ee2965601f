"""Settings of plugins, the registry, and the three ways in."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import numpy as np
import pydantic
import pytest

from asdbench import AnyEmbedding, clip_vectors
from asdbench.errors import UserError
from asdbench.plugins import Detector, Registry, datasets, detectors, generators, load_files, setting, source_id
from asdbench.settings_text import build_plugin
from asdbench.spec import load_spec
from asdbench.testing import example_clips


class Example(Detector):
    """One line.

    More lines.
    """

    k: int = setting(3, ge=1, description="how many")
    score_by: Literal["a", "b"] = setting("a", alias="score", scoring=True)

    def fit(self, clips):
        self.mean_ = 1


def test_settings_are_validated_and_listed():
    assert Example(k=2).settings() == {"k": 2, "score": "a"}
    assert Example(score="b").settings(late=True) == {"score": "b"}
    assert Example().settings(late=False) == {"k": 3}
    assert Example.summary() == "One line."
    for wrong in ({"k": 0}, {"k": "many"}, {"score": "c"}, {"other": 1}):
        with pytest.raises(pydantic.ValidationError):
            Example(**wrong)


class Open(Detector):
    """Takes settings that it does not declare."""

    k: int = setting(3)
    others: dict[str, int] = setting(default_factory=dict, rest=True)


def test_settings_that_are_not_declared_go_into_the_one_that_takes_them():
    given = Open(k=2, b=1, a=4)
    assert given.settings() == {"k": 2, "others": {"b": 1, "a": 4}}
    assert Open(**given.settings()).settings() == given.settings()
    assert Open(others={"b": 1}, a=4).settings() == given.settings() | {"k": 3}
    assert Open().settings() == {"k": 3, "others": {}}
    assert (Open.rest_name(), Example.rest_name()) == ("others", "")
    assert build_plugin(Open, ["a=4"]).others == {"a": 4}
    for wrong in ({"a": "many"}, {"others": 3, "a": 4}):
        with pytest.raises(pydantic.ValidationError):
            Open(**wrong)


class Hearing(Detector):
    """Has a setting that is a plugin."""

    embedding: AnyEmbedding = setting("logmel_stats")


def test_a_setting_can_be_an_embedding():
    default, named = Hearing(), Hearing(embedding={"use": "logmel_stats", "bands": 32})
    assert (default.embedding.bands, named.embedding.bands) == (64, 32)
    assert named.settings() == {"embedding": {"use": "logmel_stats", "bands": 32, "window_seconds": 1.0}}
    assert Hearing(**named.settings()).settings() == named.settings()
    assert Hearing(embedding=named.embedding).settings() == named.settings()
    assert default.inputs() == {
        "embedding.source": source_id(type(default.embedding)),
        "embedding.version": default.embedding.version,
    }


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("logmel_stat", "did you mean 'logmel_stats'"),
        ({"use": "logmel_stats", "band": 3}, "no setting 'band'; did you mean 'bands'"),
        ({"use": "logmel_stats", "bands": 3}, "bands: found 3, expected greater than or equal to 8"),
        ({"bands": 3}, r"expected the name of an embedding or a mapping such as \{use: NAME\}"),
        (3, "expected the name of an embedding"),
    ],
)
def test_an_embedding_that_cannot_be_is_said_in_a_sentence(entry, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        Hearing(embedding=entry)
    spec = {"name": "x", "dataset": {"use": "simulated"}, "detectors": {"d": {"use": "hearing", "embedding": entry}}}
    detectors.add("hearing", Hearing)
    with pytest.raises(UserError, match=f"detectors.d.embedding: .*{words}"):
        load_spec(spec)


def test_clip_vectors_are_means_in_the_order_of_the_clips(tmp_path):
    clips = example_clips(tmp_path, 5, 0)
    embedding = Hearing(embedding={"use": "logmel_stats", "window_seconds": 0.2}).embedding
    found = clip_vectors(clips.without_labels(), embedding)
    assert np.array_equal(found, [embedding.embed(wave).mean(axis=0) for wave in clips.waveforms()])
    with pytest.raises(UserError, match="no clips to embed"):
        clip_vectors(clips.select([]), embedding)


def test_state_is_what_ends_in_an_underscore():
    example = Example()
    assert example.get_state() == {}
    example.fit(None)
    assert example.get_state() == {"mean_": 1}
    other = Example()
    other.set_state({"mean_": 2})
    assert other.mean_ == 2


def test_random_streams_depend_on_seed_and_name():
    first, second = Example(), Example()
    assert first.rng("a").random() == second.rng("a").random()
    second.seed = 1
    assert first.rng("a").random() != second.rng("a").random()
    assert first.rng("a").random() != first.rng("b").random()


def test_built_in_plugins_are_found_by_entry_point():
    assert {"dcase_ae", "logmel_knn"} <= set(detectors.names())
    assert detectors.get("logmel_knn").__module__ == "asdbench.detectors.logmel_knn"
    assert detectors.is_portable("logmel_knn")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="no detector named 'logmel_kn'; did you mean 'logmel_knn'"):
        detectors.get("logmel_kn")


def test_a_name_is_taken_once():
    registry = Registry("detector")
    registry.add("mine", Example)
    registry.add("mine", Example)  # a notebook cell that is run again
    with pytest.raises(UserError, match="'mine' exists already"):
        registry.add("mine", Detector)
    with pytest.raises(UserError, match="'dcase_ae' exists already"):
        registry.add("dcase_ae", Example)
    assert not registry.is_portable("mine")


def test_the_source_of_a_plugin_is_its_file_or_its_own_package():
    registries = (detectors, generators, datasets)
    kinds = [
        registry.get(entry) for registry in registries for entry in registry.names() if registry.is_portable(entry)
    ]
    assert len({source_id(kind) for kind in kinds}) >= len(kinds) - 1  # the two hold-outs share a file


PLUGIN = '''
from asdbench import Detector, detector

@detector("from_file")
class FromFile(Detector):
    """From a file."""
'''


def test_a_plugin_file_registers_what_it_decorates(tmp_path):
    path = tmp_path / "from_file.py"
    path.write_text(PLUGIN)
    load_files([path])
    load_files([path])
    assert detectors.get("from_file").summary() == "From a file."
    assert detectors.is_portable("from_file")
    before = source_id(detectors.get("from_file"))
    path.write_text(PLUGIN.replace("From a file.", "Changed."))
    assert load_files([path]) == [("detector", "from_file")]
    assert detectors.get("from_file").summary() == "Changed."
    assert source_id(detectors.get("from_file")) != before


def test_two_files_cannot_register_one_name(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PLUGIN.replace("from_file", "twice"))
    with pytest.raises(UserError, match=r"two.py: a detector named 'twice' exists already"):
        load_files([tmp_path / "one.py", tmp_path / "two.py"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        (
            "from asdbench import detector\n@detector('wrong')\nclass Wrong: pass",
            "expected a subclass of asdbench.Detector",
        ),
        ("from asdbench import Detector, detector\n@detector('dcase_ae')\nclass X(Detector): pass", "exists already"),
    ],
)
def test_a_plugin_file_that_cannot_be_imported_is_named(tmp_path, text, words):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_files([path])
    assert words in str(error.value)


def test_a_missing_plugin_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"plugin file .*none.py does not exist"):
        load_files([tmp_path / "none.py"])


def test_the_framework_imports_no_plugin_and_plugins_only_public_names():
    code = (
        "import sys, pkgutil, importlib, asdbench\n"
        "for m in pkgutil.walk_packages(asdbench.__path__, 'asdbench.'):\n"
        "    if not m.name.startswith(('asdbench.generators', 'asdbench.detectors', 'asdbench.pretrained.')):\n"
        "        importlib.import_module(m.name)\n"
        "bad = [m for m in sys.modules if m.startswith(('asdbench.generators.', 'asdbench.detectors.'))]\n"
        "assert not bad, bad\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("registry", [detectors, generators], ids=["detectors", "generators"])
def test_built_in_plugins_use_only_public_names(registry):
    import ast
    from pathlib import Path

    import asdbench

    folder = Path(__file__).parents[1] / f"{registry.kind}s"
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("asdbench"):
                if (node.module or "").startswith("asdbench.pretrained."):
                    continue  # public as a whole
                assert node.module == "asdbench", f"{path}: imports from {node.module}"
                assert {alias.name for alias in node.names} <= set(asdbench.__all__), path


def test_annotations_of_what_is_learnt_are_no_settings():
    class Annotated(Detector):
        """One line."""

        mean_: float
        rate: float = setting(1.0)

    assert Annotated.setting_names() == ["rate"]


@pytest.mark.parametrize("name", ["seed", "name", "settings", "fit", "version"])
def test_names_that_plugins_have_already_are_refused(name):
    with pytest.raises(UserError, match=f"'{name}' cannot be the name of a setting"):
        type("Wrong", (Detector,), {"__annotations__": {name: int}, "__doc__": "One line."})


def test_a_setting_that_ends_in_an_underscore_is_no_state():
    class Lambda(Detector):
        """One line."""

        lambda_: float = setting(1.0, alias="lambda", scoring=True)

    detector = Lambda(**{"lambda": 2.0})
    assert detector.get_state() == {}
    assert detector.settings() == {"lambda": 2.0}


def test_sets_are_stored_in_order():
    class WithSet(Detector):
        """One line."""

        words: set[str] = setting({"b", "a", "c"})

    assert WithSet().settings() == {"words": ["a", "b", "c"]}


def test_the_source_of_a_plugin_includes_that_of_its_bases(tmp_path):
    base, child = tmp_path / "base_plugin_module.py", tmp_path / "child.py"
    child.write_text(
        "from base_plugin_module import Base\nfrom asdbench import detector\n"
        "@detector('child')\nclass Child(Base):\n    'One line.'\n"
    )
    ids = set()
    for text in ("x = 1", "x = 234"):
        base.write_text(f"from asdbench import Detector\n{text}\nclass Base(Detector):\n    'One line.'\n")
        sys.modules.pop("base_plugin_module", None)
        load_files([child])
        ids.add(source_id(detectors.get("child")))
    assert len(ids) == 2
