"""The modules that belong to a plugin because it imports them, read off its source."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from asdbench.imported import imported_files
from asdbench.plugins import Detector, source_id

FILES = {
    "__init__.py": "",
    "plugins/__init__.py": "",
    "plugins/mine.py": (
        "import json\n"
        "from asdbench import Detector\n"
        "class Mine(Detector):\n"
        "    'One line.'\n"
        "    def score(self, clips):\n"
        "        from ..common.frames import cut\n"
        "        return cut(clips)\n"
    ),
    "common/__init__.py": "",
    "common/frames.py": "import {package}.common.scale\nfrom . import windows\ncut = windows.cut\n",
    "common/scale.py": "factor = 1\n",
    "common/windows.py": "from .frames import cut  # imports in a circle end\n",
    "common/unused.py": "from missing import nothing\n",
}


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """A package of plugins, in a module of its own name each time; returns its folder and name."""
    package = f"acme_{tmp_path.name.replace('-', '_')}"
    for name, text in FILES.items():
        path = tmp_path / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{package}", package))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / package, package
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_imports_are_followed_within_the_collection_and_nothing_is_imported(collection):
    folder, package = collection
    importlib.import_module(f"{package}.plugins.mine")
    found = imported_files(f"{package}.plugins.mine", [folder / "plugins" / "mine.py"])
    names = [path.relative_to(folder).as_posix() for path in found]
    assert names == ["common/__init__.py", "common/frames.py", "common/scale.py", "common/windows.py"]
    assert f"{package}.common" not in sys.modules


@pytest.mark.parametrize(
    ("changed", "counts"),
    [("common/scale.py", True), ("common/windows.py", True), ("plugins/mine.py", True), ("common/unused.py", False)],
)
def test_the_source_of_a_plugin_changes_with_what_it_imports(collection, changed, counts):
    folder, package = collection
    ids = []
    for text in ("", "\nmore = 2\n"):
        with (folder / changed).open("a") as file:
            file.write(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        ids.append(source_id(importlib.import_module(f"{package}.plugins.mine").Mine))
    assert (ids[0] != ids[1]) is counts


def test_a_built_in_detector_includes_the_shared_modules_but_not_the_framework():
    from asdbench.detectors.dcase_ae import DcaseAutoencoder

    folder = Path(sys.modules[DcaseAutoencoder.__module__].__file__).parent
    names = {
        path.relative_to(folder.parent).as_posix()
        for path in imported_files(DcaseAutoencoder.__module__, sorted(folder.glob("*.py")))
    }
    assert {"shared/detector.py", "shared/frames.py", "shared/networks.py", "shared/training.py"} <= names
    assert all(name.startswith("shared/") for name in names)


def test_a_module_of_no_package_has_no_collection(tmp_path):
    path = tmp_path / "alone.py"
    path.write_text("import json")
    assert imported_files("alone", [path]) == []
    assert source_id(type("Typed", (Detector,), {"__doc__": "One line.", "__module__": "nowhere"}))


def test_heavy_libraries_are_not_imported_to_read_a_source():
    code = (
        "import sys\nfrom asdbench.plugins import detectors, source_id\n"
        "[source_id(detectors.get(name)) for name in detectors.names()]\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules), set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
