"""The command line, as a user meets it: processes, exit codes, one sentence for each mistake."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from asdbench import audio


def test_run_prints_tables_and_a_folder_and_show_prints_them_again(spec_data, write_spec, asdbench_command, tmp_path):
    path = write_spec(spec_data)
    done = asdbench_command("run", path, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "fan" in done.stdout
    assert "effects" in done.stdout
    assert "units" in done.stderr
    folder = done.stdout.rpartition("Results: ")[2].strip()
    shown = asdbench_command("show", folder)
    assert shown.stdout == done.stdout
    assert asdbench_command("show").stdout == done.stdout
    provenance = asdbench_command("show", folder, "--generated").stdout
    assert "host_content_hash" in provenance
    again = asdbench_command("run", path, "--quiet")
    assert again.stdout == done.stdout
    assert again.stderr == ""


def test_plan_says_what_would_run_and_runs_nothing(spec_data, write_spec, asdbench_command):
    path = write_spec(spec_data)
    before = asdbench_command("plan", path).stdout
    assert "run     " in before
    assert "fit knn on fan, seed 0" in before
    assert asdbench_command("run", path, "--workers", 1).returncode == 0
    after = asdbench_command("plan", path).stdout
    assert "\nrun " not in f"\n{after}"
    assert ", 0 to run" in after


def test_validate(spec_data, write_spec, asdbench_command, refusal):
    done = asdbench_command("validate", write_spec(spec_data))
    assert done.returncode == 0
    assert "valid: 2 machines, 1 detector, 2 generators, 1 seed" in done.stdout
    assert "did you mean 'pump'" in refusal("validate", write_spec(spec_data | {"machines": ["pmp"]}))


def test_list_names_every_plugin_with_one_line(asdbench_command):
    done = asdbench_command("list")
    for name in (
        "simulated",
        "folder",
        "dcase",
        "dcase_ae",
        "logmel_knn",
        "effects",
        "real_holdout",
        "auc",
        "mimii_gen",
        "texture",
    ):
        line = next(line for line in done.stdout.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3, line
    one = asdbench_command("list", "dcase_ae").stdout
    assert "score (" in one
    assert "default 'mse'" in one
    assert "epochs (int, default 100)" in one


def test_help_and_list_import_nothing_heavy():
    for words in (["--help"], ["list"]):
        code = (
            f"import sys; sys.argv = ['asdbench', *{words}]\n"
            "import asdbench.cli\n"
            "try: asdbench.cli.main()\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'sklearn', 'pandas', 'scipy', 'soundfile'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_progress_shows_soon_and_plainly_where_there_is_no_terminal(spec_data, write_spec, asdbench_command):
    done = asdbench_command("run", write_spec(spec_data), "--workers", 1)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("asdbench: reading")
    assert "\r" not in done.stderr
    assert len(lines) < 20


def test_new_writes_a_plugin_that_keeps_its_contract(asdbench_command, tmp_path, refusal, spec_data, write_spec):
    for kind in ("detector", "generator"):
        name = f"my_{kind}"
        assert asdbench_command("new", kind, name).returncode == 0
        test = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{name}.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert test.returncode == 0, test.stdout
        checked = asdbench_command("check", f"{name}.py")
        assert checked.returncode == 0, checked.stdout
        assert "FAILED" not in checked.stdout
        assert "exists already" in refusal("new", kind, name)
    spec_data["detectors"]["mine"] = {"use": "my_detector"}
    spec_data["generators"] = {"mine": {"use": "my_generator", "snr_db": 5}}
    done = asdbench_command(
        *("run", write_spec(spec_data), "--workers", 1, "--plugin", "my_detector.py", "--plugin", "my_generator.py")
    )
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout


def test_check_says_what_is_broken(asdbench_command, tmp_path):
    (tmp_path / "batchy.py").write_text(
        "from asdbench import Detector, detector\n"
        "import numpy as np\n"
        "@detector('batchy')\n"
        "class Batchy(Detector):\n"
        "    '''Depends on what is scored together.'''\n"
        "    def fit(self, clips): self.n_ = 1\n"
        "    def score(self, clips):\n"
        "        levels = np.array([w.std() for w in clips.waveforms()])\n"
        "        return levels - levels.mean()\n"
    )
    done = asdbench_command("check", "batchy.py")
    assert done.returncode == 1
    assert "FAILED  scores do not depend on what is scored together" in done.stdout


def test_simulate_writes_a_dcase_tree(asdbench_command, tmp_path, refusal):
    small = ["--set", "train_source=2", "--set", "train_target=1", "--set", "test_normal=1", "--set", "test_anomaly=1"]
    done = asdbench_command("simulate", "sim", "--machines", "fan,valve", *small, "--set", "duration=1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "sim").glob("*/*/section_00_*.wav"))) == 14
    assert "an empty one" in refusal("simulate", "sim", "--machines", "fan", *small)
    assert "did you mean 'valve'" in refusal("simulate", "sim2", "--machines", "valv")
    assert "did you mean 'train_source'" in refusal("simulate", "sim2", "--set", "train_sourc=2")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rum", "x"], "there is no command 'rum'; did you mean 'run'?"),
        (["run", "mimi_gen"], "there is no spec file and no built-in benchmark 'mimi_gen'; did you mean 'mimii_gen'?"),
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["show", "nowhere"], "nowhere: no such folder, expected one that `asdbench run` wrote"),
        (["show", "."], ".: no run in it, expected a folder that `asdbench run` wrote"),
        (["list", "dcase_a"], "there is no plugin 'dcase_a'; did you mean 'dcase_ae'?"),
        (["check", "nowhere.py"], "does not exist"),
        (["new", "detector", "2fast"], "NAME: found '2fast', expected lower-case letters"),
        (["new", "detector", "dcase_ae"], "NAME: a detector named 'dcase_ae' exists already"),
        (["list", "--plugin", "nowhere.py"], "does not exist"),
    ],
)
def test_mistakes_get_one_sentence(refusal, words, sentence):
    assert sentence in refusal(*words)


def bad_file(path: Path, flaw: str) -> None:
    noise = np.random.default_rng(0).standard_normal(8000) * 0.1
    content = {
        "silent": np.zeros(8000),
        "NaN": np.where(np.arange(8000) == 5, np.nan, noise),
        "too short": noise[:100],
        "no samples": noise[:0],
    }
    if flaw in content:
        soundfile.write(path, content[flaw], 16000, subtype="FLOAT")
    elif flaw == "empty":
        path.write_bytes(b"")
    elif flaw == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif flaw == "cannot be read as audio":
        path.write_bytes(b"these are words, not sound" * 100)


@pytest.mark.parametrize(
    "flaw", ["silent", "NaN", "too short", "no samples", "empty", "truncated", "cannot be read as audio"]
)
def test_a_bad_recording_is_named_before_anything_runs(spec_data, data_root, write_spec, refusal, tmp_path, flaw):
    path = sorted((data_root / "pump" / "train").iterdir())[3]
    bad_file(path, flaw)
    sentence = refusal("run", write_spec(spec_data))
    assert str(path) in sentence
    assert flaw in sentence
    assert [path.name for path in (tmp_path / "runs" / "small").iterdir()] == ["bad_clips.csv"]
    assert not list((tmp_path / "runs" / ".store" / "artefacts").glob("*/*/scores.parquet"))


def test_the_same_audio_in_training_and_test_is_named(spec_data, data_root, write_spec, refusal):
    source = sorted((data_root / "fan" / "train").iterdir())[0]
    target = sorted((data_root / "fan" / "test").iterdir())[0]
    target.write_bytes(source.read_bytes())
    sentence = refusal("run", write_spec(spec_data))
    assert str(source) in sentence
    assert str(target) in sentence


def test_mixed_rates_lengths_and_channels_are_read_alike(spec_data, data_root, write_spec, asdbench_command):
    for index, path in enumerate(sorted((data_root / "fan").glob("*/*.wav"))):
        if index % 3:
            rate = (16000, 44100, 48000)[index % 3]
            wave = audio.resample(audio.read(path), 16000, rate)[: -100 * index]
            soundfile.write(path, np.stack([wave] * (1 + index % 2), axis=1), rate)
    assert asdbench_command("run", write_spec(spec_data), "--workers", 1).returncode == 0


def test_a_channel_that_a_file_lacks_is_named(spec_data, write_spec, refusal):
    spec_data["dataset"]["channel"] = 1
    assert "channel 1 was asked for, but the file has 1" in refusal("run", write_spec(spec_data))


def test_a_missing_and_an_empty_root(spec_data, write_spec, refusal, tmp_path):
    spec_data["dataset"]["root"] = str(tmp_path / "nowhere")
    assert "nowhere" in refusal("run", write_spec(spec_data))
    (tmp_path / "empty").mkdir()
    spec_data["dataset"]["root"] = str(tmp_path / "empty")
    assert "empty" in refusal("run", write_spec(spec_data))


def test_machines_that_lack_anomalies_are_told_and_the_rest_is_scored(
    spec_data, data_root, write_machine, write_spec, asdbench_command, tmp_path
):
    write_machine(data_root, "valve", anomaly=0)
    write_machine(data_root, "slider", anomaly=1)
    write_machine(data_root, "bearing", domains=("source",))
    del spec_data["generators"]["real_holdout"]
    done = asdbench_command("run", write_spec(spec_data), "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "no anomalous test clip" in done.stdout
    for machine in ("valve", "slider", "bearing", "fan", "pump"):
        assert machine in done.stdout
    gaps = pd.read_csv(tmp_path / done.stdout.rpartition("Results: ")[2].strip() / "gaps_long.csv").set_index("machine")
    assert gaps["auc_original"].notna().to_dict() == {
        "bearing": True,
        "fan": True,
        "pump": True,
        "slider": True,
        "valve": False,
    }
    assert gaps["auc_generated"].notna().all()


def test_a_path_that_leaves_the_data_root(write_spec, refusal, tmp_path, data_root):
    (data_root / "list.csv").write_text("path,condition\n../outside.wav,normal\n")
    spec = {
        "name": "escape",
        "dataset": {"use": "folder", "root": str(data_root), "manifest": "list.csv"},
        "detectors": {"knn": {"use": "logmel_knn"}},
    }
    sentence = refusal("run", write_spec(spec))
    assert "../outside.wav" in sentence
    assert "list.csv" in sentence


def test_a_plugin_that_raises_leaves_the_others_and_exits_with_2(spec_data, write_spec, asdbench_command, tmp_path):
    (tmp_path / "broken.py").write_text(
        "from asdbench import Detector, detector\n"
        "@detector('broken_here')\n"
        "class Broken(Detector):\n"
        "    '''Raises.'''\n"
        "    def fit(self, clips): raise RuntimeError('no luck')\n"
    )
    spec_data["plugins"] = ["broken.py"]
    spec_data["detectors"]["bad"] = {"use": "broken_here"}
    done = asdbench_command("run", write_spec(spec_data), "--workers", 2)
    assert done.returncode == 2
    assert "asdbench: error: could not fit bad on fan, seed 0: RuntimeError: no luck" in done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / done.stdout.rpartition("Results: ")[2].strip()
    assert "RuntimeError: no luck" in (folder / "tracebacks.txt").read_text()
    assert {problem["detector"] for problem in json.loads((folder / "problems.json").read_text())} == {"bad"}
    assert "knn" in done.stdout


def test_a_store_that_cannot_be_written(spec_data, write_spec, refusal, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write to" in refusal("run", write_spec(spec_data), "--store", tmp_path / "file" / "store")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() == 0:
        return  # to root nothing is forbidden; the file in the way above is
    assert "permission is denied" in refusal("run", write_spec(spec_data), "--store", locked / "store")


def test_a_full_disk(spec_data, write_spec, refusal, tmp_path):
    # One of the calls that write fails as it does on a full disk, in the middle of a unit.
    path = write_spec(spec_data)
    code = (
        "import errno, os, sys\n"
        "from pathlib import Path\n"
        "from asdbench import cli\n"
        "write = Path.write_bytes\n"
        "def full(path, data):\n"
        "    if path.suffix == '.wav': raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    return write(path, data)\n"
        "Path.write_bytes = full\n"
        f"sys.argv = ['asdbench', 'run', {str(path)!r}, '--workers', '0']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("small"))
    assert not list((tmp_path / "runs" / ".store" / "tmp").iterdir())


def test_the_stored_spec_runs_again_to_the_same_folder(spec_data, write_spec, asdbench_command, tmp_path):
    first = asdbench_command("run", write_spec(spec_data), "--workers", 1).stdout
    folder = tmp_path / first.rpartition("Results: ")[2].strip()
    assert yaml.safe_load((folder / "spec.yaml").read_text())["detectors"]["knn"] == {"use": "logmel_knn", "k": 1}
    assert asdbench_command("run", folder / "spec.yaml", "--workers", 1).stdout == first


def shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = line.replace("asdbench", f"{sys.executable} -m asdbench.cli")
    return subprocess.run(["bash", "-c", command], cwd=folder, env={**os.environ, **variables}, capture_output=True)


def test_tables_print_in_any_encoding_and_without_a_place_for_progress(spec_data, write_spec, tmp_path):
    write_spec(spec_data)
    expected = shell("asdbench run spec.yaml --workers 1 --quiet", tmp_path).stdout
    for encoding in ("latin-1", "ascii"):
        done = shell("asdbench show", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(expected.splitlines())
    for line in ("asdbench run spec.yaml 2>&-", "asdbench run spec.yaml --runs other --workers 1 2>&-"):
        done = shell(line, tmp_path)
        assert done.returncode == 0
        assert done.stdout.splitlines()[:-1] == expected.splitlines()[:-1]


def test_output_that_cannot_be_written(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this machine")
    done = shell("asdbench list > /dev/full", tmp_path)
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    done = shell("asdbench list | head -1", tmp_path)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.parametrize("line", ["run {0} --runs x", "validate {0}", "show {0}", "simulate {0}", "new detector {0}"])
def test_names_that_are_too_long(refusal, line):
    assert "\n" not in refusal(*line.format("a" * 400).split())


def test_a_file_name_that_is_no_unicode_is_named(spec_data, data_root, write_spec, refusal):
    path = sorted((data_root / "fan" / "train").iterdir())[0]
    path.rename(os.fsdecode(os.fsencode(path).replace(b"0000", b"\xff000")))
    sentence = refusal("run", write_spec(spec_data))
    assert "expected" in sentence
    assert "Error" not in sentence


def test_a_half_written_plugin_is_not_left_behind(asdbench_command, tmp_path):
    code = (
        "import errno, sys\n"
        "from pathlib import Path\n"
        "from asdbench import cli\n"
        "write = Path.write_text\n"
        "def full(path, text):\n"
        "    write(path, text[:5]); raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "Path.write_text = full\n"
        "sys.argv = ['asdbench', 'new', 'detector', 'half']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert asdbench_command("new", "detector", "half").returncode == 0


def test_a_terminal_gets_a_bar(spec_data, write_spec, tmp_path):
    pty = pytest.importorskip("pty")
    write_spec(spec_data)
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, "-m", "asdbench.cli", "run", "spec.yaml", "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait() == 0
    assert b"\r" in text
    assert b"100%" in text


def test_what_show_tells_of_a_generated_clip_is_what_made_it(spec_data, write_spec, asdbench_command, tmp_path):
    from asdbench.seeding import derive_seed

    spec_data["generators"] = {"effects": {"use": "effects", "effects": ["tones"], "severity": 0.25}}
    done = asdbench_command("run", write_spec(spec_data), "--workers", 1)
    shown = pd.read_csv(io.StringIO(asdbench_command("show", "--generated").stdout), dtype=str)
    for row in shown.itertuples():
        provenance = json.loads(row.provenance)
        assert provenance["effect"] == "tones"
        assert provenance["severity"] == 0.25
        assert provenance["seed"] == derive_seed(0, "generate", row.machine)
        assert (tmp_path / "runs" / ".store" / row.file).is_file()
    assert done.returncode == 0
