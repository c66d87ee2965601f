"""What is installed: one package, with everything in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the tree, so that nothing is written into it."""
    import shutil

    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("asdbench", "generators", "detectors", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_a_wheel_holds_one_package_and_all_of_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"asdbench"}
    for folder, inside in (("asdbench", ""), ("generators", "generators/"), ("detectors", "detectors/")):
        for path in (ROOT / folder).rglob("*.py"):
            assert f"asdbench/{inside}{path.relative_to(ROOT / folder).as_posix()}" in names
    for generator in ("mimii_gen", "texture"):
        for path in (ROOT / "generators" / generator / "weights").rglob("*.*"):
            assert f"asdbench/generators/{path.relative_to(ROOT / 'generators').as_posix()}" in names
    for path in (ROOT / "benchmarks").glob("*.yaml"):
        assert f"asdbench/benchmarks/{path.name}" in names
    assert {"asdbench/py.typed", "asdbench/downloads/catalogue.yaml"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_is_small_and_the_built_in_model_a_part_of_it(wheel):
    files = zipfile.ZipFile(wheel).infolist()
    weights = [file for file in files if "/weights/" in file.filename]
    assert sum(file.compress_size for file in weights) < 29e6
    assert wheel.stat().st_size < 30e6


def test_the_installed_package_finds_its_plugins_and_specs_from_anywhere(wheel, tmp_path):
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import asdbench, sys; assert asdbench.__file__.startswith(sys.argv.pop())\n"
        "from asdbench.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", "mimii_gen", str(installed)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "valid: 5 machines" in done.stdout
    load_all = (
        "from asdbench import plugins\n"
        "for registry in (plugins.datasets, plugins.detectors, plugins.generators, plugins.metrics):\n"
        "    for name in registry.names():\n"
        "        assert asdbench.__file__.startswith(sys.argv[1]) and registry.get(name)\n"
    )
    code = f"import asdbench, sys\n{load_all}"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", code, str(installed)], cwd=tmp_path, env=environment, check=True)


def test_nothing_is_installed_at_the_top_level_but_asdbench(tmp_path):
    code = "import importlib.util as u; assert u.find_spec('generators') is None and u.find_spec('detectors') is None"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)


def test_every_requirement_has_a_lower_bound_and_a_tested_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    requirements = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in requirements:
        found = re.match(r"([A-Za-z0-9_.-]+)>=([\d.]+)", requirement)
        assert found, f"{requirement}: expected a lower bound"
        assert "==" not in requirement
        assert f"\n{found[1].lower().replace('_', '-')}==" in constraints, requirement
