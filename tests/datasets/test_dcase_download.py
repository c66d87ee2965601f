"""What the dataset `dcase` says and does where recordings are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from asdbench import UserError
from asdbench.datasets.dcase import download
from asdbench.datasets.dcase.dataset import DcaseDataset


@pytest.mark.parametrize(
    ("root", "year", "words"),
    [
        ("data/dcase2023", 2023, "`asdbench data get dcase2023 --machines …`"),
        ("/mnt/x/dcase2023", 2023, "`asdbench data get dcase2023 --machines … --root /mnt/x`"),
        ("/mnt/x/sounds", 2023, "`asdbench data get dcase2023 --machines …` and set root to data/dcase2023"),
        ("data/mimii_dg", None, "`asdbench data get mimii_dg --machines …`"),
        ("data/dcase2021", None, "`asdbench data get dcase2021 --machines …`"),
        ("data/mine", None, ""),
        ("data/mimii", None, ""),  # the dataset `folder` reads it
    ],
)
def test_the_command_fits_the_root(root, year, words):
    assert download.advice(Path(root), year) == words


def test_a_root_that_there_is_not_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r"dcase2023 does not exist; .* `asdbench data get dcase2023 "):
        DcaseDataset(root=str(tmp_path / "dcase2023"), year=2023).machines()
    with pytest.raises(UserError, match=r"mine does not exist; expected a folder$"):
        DcaseDataset(root=str(tmp_path / "mine")).machines()


@pytest.fixture
def wanted(monkeypatch):
    """The archives that would be asked for, by name."""
    asked: list[str] = []
    monkeypatch.setattr(
        download.asking, "get", lambda collection, folder, archives, **_: asked.extend(a.file for a in archives)
    )
    return asked


@pytest.fixture
def root(tmp_path, wav):
    (tmp_path / "dcase2022/dev_data/raw/fan/train").mkdir(parents=True)
    (tmp_path / "dcase2022/dev_data/raw/fan/train/section_00_source_train_normal_0000_vel_1.wav").write_bytes(wav)
    return tmp_path / "dcase2022"


def test_machines_that_are_missing_are_fetched(root, wanted):
    DcaseDataset(root=str(root), year=2022, download=True).fetch(["fan", "valve", "bearing"])
    assert wanted == ["dev_bearing.zip", "dev_valve.zip"]


def test_what_is_there_suffices_where_no_machine_is_named(root, wanted):
    DcaseDataset(root=str(root), year=2022, download=True).fetch(None)
    DcaseDataset(root=str(root), year=2022, download=True).fetch(["fan"])
    assert wanted == []


def test_all_development_data_are_fetched_where_nothing_is_there_or_named(tmp_path, wanted):
    DcaseDataset(root=str(tmp_path / "mimii_dg"), download=True).fetch(None)
    assert wanted == ["bearing.zip", "fan.zip", "gearbox.zip", "slider.zip", "valve.zip"]


def test_nothing_is_fetched_without_the_setting(tmp_path, wanted):
    DcaseDataset(root=str(tmp_path / "dcase2022"), year=2022).fetch(["fan"])
    assert wanted == []


def test_a_root_that_belongs_to_no_known_collection(tmp_path, wanted):
    with pytest.raises(UserError, match=r"not clear which recordings belong to .*mine; give 'year'"):
        DcaseDataset(root=str(tmp_path / "mine"), download=True).fetch(None)


def test_a_machine_of_another_part_is_named_with_its_part(root):
    with pytest.raises(UserError, match="'Vacuum' is not in dev but in eval_train and eval_test"):
        DcaseDataset(root=str(root), year=2023, download=True).fetch(["Vacuum"])
