"""`asdbench metrics`, as a user meets it."""

from __future__ import annotations

from asdbench import audio


def test_two_folders_are_compared(data_root, asdbench_command):
    done = asdbench_command("metrics", data_root / "fan", data_root / "pump")
    assert done.returncode == 0, done.stderr
    assert "FAD" in done.stdout
    assert "logmel_stats" in done.stdout
    assert "40 of 40 clips" in done.stderr


def test_mistakes_are_told_in_one_sentence(data_root, refusal, tmp_path):
    fan = data_root / "fan"
    (tmp_path / "empty").mkdir()
    assert "holds no audio file" in refusal("metrics", fan, tmp_path / "empty")
    assert "there is no such folder" in refusal("metrics", fan, tmp_path / "none")
    assert "did you mean 'logmel_stats'" in refusal("metrics", fan, fan, "--embedding", "logmel_stat")
    for folder in ("mixed",):
        (tmp_path / folder).mkdir()
        for rate in (16000, 24000):
            audio.write(tmp_path / folder / f"{rate}.wav", [0.1, -0.1] * rate, rate)
    (tmp_path / "mixed" / "empty.wav").write_bytes(b"")
    assert "empty.wav: the file is empty" in refusal("metrics", fan, tmp_path / "mixed")


def test_all_bad_files_are_listed_in_a_file(data_root, refusal, tmp_path):
    bad = [path for name in ("fan", "pump") for path in sorted((data_root / name).rglob("*.wav"))][:22]
    for path in bad:
        path.write_bytes(b"")
    command = "metrics", data_root / "fan", data_root / "pump"
    message = refusal(*command)
    assert "22 recordings cannot be used" in message and str(bad[19]) in message and str(bad[20]) not in message
    assert "and 2 more; `--bad-clips FILE` lists all of them in a file" in message
    assert f"all are listed in {tmp_path / 'bad.csv'}" in refusal(*command, "--bad-clips", tmp_path / "bad.csv")
    listed = (tmp_path / "bad.csv").read_text().splitlines()
    assert listed == ["path,problem", *(f"{path},the file is empty (0 bytes)" for path in bad)]


def test_bad_files_are_left_out_when_asked(data_root, asdbench_command):
    bad = sorted((data_root / "fan").rglob("*.wav"))[0]
    bad.write_bytes(b"")
    done = asdbench_command("metrics", data_root / "fan", data_root / "pump", "--on-bad-clip", "skip")
    assert done.returncode == 0, done.stderr
    assert f"skipped, since 1 recording cannot be used: {bad}: the file is empty" in done.stdout
