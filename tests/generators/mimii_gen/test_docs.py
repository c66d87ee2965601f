"""What README and docs say of MIMII-Gen is so: their spec, commands and Python work as they stand, on small models."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from asdbench import plugins
from asdbench.generators.shared.captions import TEMPLATES

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "mimii-gen.md").read_text()
DATA = (
    "dataset: {use: simulated, train_source: 10, train_target: 2, test_normal: 3, test_anomaly: 3, duration: 1}\n"
    "machines: [fan, valve]\nseeds: [0]\nstatistics: {resamples: 100}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_codec, tiny_t5):
    """The spec of the README, on short clips and with small models, and its three commands carried out."""
    path = tmp_path_factory.mktemp("readme")
    spec = re.search(r"<!-- file: my_mimii_gen.yaml -->\n```yaml\n(.*?)```", README, re.DOTALL)[1]
    spec = re.sub(r"dataset: .*", DATA, spec)
    small = f"codec: {tiny_codec}, bandwidth: 9.6, text_encoder: {tiny_t5}, text_length: 96, device: cpu, batch_size: 4"
    spec, changed = re.subn(
        r"preset: base, steps: 100000, mixed_precision: bf16", f"preset: smoke, steps: 4, {small}", spec
    )
    assert changed == 1
    (path / "my_mimii_gen.yaml").write_text(spec)
    return path


def run(folder, line):
    words = shlex.split(line, comments=True)
    assert words[0] == "asdbench"
    done = subprocess.run(
        [sys.executable, "-m", "asdbench", *words[1:]], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_readme_work_in_order(folder):
    block = re.search(r"```sh\n(asdbench train generator mimii_gen --spec .*?)```", README, re.DOTALL)[1]
    train, generate, compare = block.strip().splitlines()
    assert block.strip() in PAGE
    run(folder, train)
    assert (folder / "models" / "mimii_gen" / "README.md").is_file()
    assert list((folder / "models" / "mimii_gen" / "training" / "checkpoints").iterdir())
    run(folder, generate.replace("--count 50", "--count 2 --set inference_steps=2"))
    made = pd.read_csv(folder / "generated" / "generated_clips.csv")
    assert len(made) == 4
    assert made["caption"].str.contains("fan").all()
    out = run(folder, f"{compare} --set generators.mimii_gen.inference_steps=2 --set detectors.ae_mse.epochs=1")
    gaps = pd.read_csv(folder / out.rpartition("Results: ")[2].strip() / "gaps_long.csv")
    assert gaps["gap"].notna().all()
    assert set(gaps["generator"]) == {"mimii_gen", "real_holdout", "normal_holdout"}  # a bound that controls add


def test_the_python_of_the_page_works(folder):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1].replace("guidance_scale=2.0", "num_inference_steps=2")
    code += "\nassert rate == 16000 and clips[0].shape == (16000,)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_page_knows_settings_presets_and_numbers():
    generator = plugins.generators.get("mimii_gen")
    known = set(generator.setting_names())
    for name in (
        "captions",
        "caption_model",
        "sampler",
        "inference_steps",
        "guidance_scale",
        "strength",
        "clip_seconds",
    ):
        assert f"`{name}" in PAGE
        assert name in known
    words = {10: "ten"}
    assert f"one of {words[TEMPLATES]} wordings" in PAGE
    defaults = generator()
    assert f"`{defaults.sampler}`, {defaults.inference_steps}" in PAGE
    assert f"| {defaults.guidance_scale:g}, {defaults.guidance_rescale:g} |" in PAGE
