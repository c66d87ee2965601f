from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from asdbench import UserError
from asdbench.generators.mimii_gen.training import state as module
from asdbench.generators.mimii_gen.training.denoiser import tensors_of
from asdbench.generators.mimii_gen.training.state import (
    load_module,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)

IDENTITY: dict[str, dict[str, Any]] = {
    "settings": {"learning_rate": 1e-4, "snr_gamma": None, "seed": 0},
    "with": {"examples": "abc", "codec": "def", "shape": (1, 2)},
}


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def steps(module: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        optimizer.zero_grad()
        inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
        module(inputs).square().mean().backward()
        optimizer.step()


def save(parent: Path, step: int, identity: dict[str, dict[str, Any]] = IDENTITY, **record: Any) -> Path:
    groups = {"model": {"weight": torch.full((3,), float(step))}, "ema": {"weight": torch.arange(500.0)}}
    return save_checkpoint(parent, step, groups, identity, record)


def ignore(line: str) -> None:
    pass


def test_weights_and_adamw_go_on_bit_by_bit_from_the_files(tmp_path: Path) -> None:
    straight, first, second = network(0), network(0), network(1)
    names = list(tensors_of(first))
    adamw: Callable[[nn.Module], torch.optim.Optimizer] = lambda module: torch.optim.AdamW(  # noqa: E731
        module.parameters(), lr=0.1
    )
    one, two, three = adamw(straight), adamw(first), adamw(second)
    steps(straight, one, range(6))
    steps(first, two, range(3))
    groups = {"model": tensors_of(first), "optimizer": optimizer_tensors(two, names)}
    folder = save_checkpoint(tmp_path, 3, groups, IDENTITY, {})
    assert set(load_file(folder / "optimizer.safetensors")) == {
        f"{name}.{key}" for name in names for key in ("exp_avg", "exp_avg_sq", "step")
    }
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, ignore)
    assert checkpoint is not None and checkpoint.step == 3
    load_module(second, checkpoint.tensors("model"))
    load_optimizer(three, names, checkpoint.tensors("optimizer"))
    steps(second, three, range(3, 6))
    for name, tensor in tensors_of(straight).items():
        assert torch.equal(tensor, tensors_of(second)[name])
    for name, tensor in optimizer_tensors(one, names).items():
        assert torch.equal(tensor, optimizer_tensors(three, names)[name])


def test_only_safetensors_and_json_are_written_and_the_record_is_exact(tmp_path: Path) -> None:
    folder = save(tmp_path, 7, losses=0.1 + 0.2, history=[{"loss": 1 / 3, "validation_loss": None}])
    assert folder == tmp_path / "step-00000007"
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "ema.safetensors", "state.json"}
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, ignore)
    assert checkpoint is not None
    assert checkpoint.record == {"losses": 0.1 + 0.2, "history": [{"loss": 1 / 3, "validation_loss": None}]}


def test_weights_that_a_module_uses_twice_are_saved_once(tmp_path: Path) -> None:
    module = nn.ModuleDict({"shared": nn.Embedding(4, 3), "embed": nn.Embedding(4, 3), "norm": nn.BatchNorm1d(3)})
    module["embed"].weight = module["shared"].weight
    tensors = tensors_of(module)
    assert sorted(name for name in tensors if "norm" not in name) == ["shared.weight"]
    assert "norm.running_mean" in tensors
    folder = save_checkpoint(tmp_path, 1, {"model": tensors}, IDENTITY, {})
    saved = load_file(folder / "model.safetensors")
    with torch.no_grad():
        module["shared"].weight.zero_()
    load_module(module, saved)
    assert torch.equal(module["embed"].weight, saved["shared.weight"]) and saved["shared.weight"].any()


def test_tensors_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="not those of this network"):
        load_module(nn.Linear(3, 4), tensors_of(nn.Linear(4, 4)))
    with pytest.raises(ValueError, match="not those of this network"):
        load_module(nn.Linear(3, 4), {"weight": torch.zeros(4, 3)})


def test_two_checkpoints_are_kept_and_leftovers_of_killed_trainings_removed(tmp_path: Path) -> None:
    (tmp_path / ".writing-0123").mkdir()
    (tmp_path / ".writing-0123" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("not ours")
    for step in (1, 2, 10, 9):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "step-00000009", "step-00000010"]
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, ignore)
    assert checkpoint is not None and checkpoint.step == 10 and checkpoint.tensors("model")["weight"][0] == 10


def truncate(folder: Path) -> None:
    path = folder / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    path = folder / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))


def drop(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_state(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text()[:-20])


def empty_state(folder: Path) -> None:
    (folder / "state.json").write_text("[]")


def other_step(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 5}))


@pytest.mark.parametrize("damage", [truncate, flip, drop, cut_state, empty_state, other_step])
def test_a_damaged_checkpoint_is_passed_over_aloud_and_replaced_later(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    damage(newest)
    lines: list[str] = []
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, lines.append)
    assert checkpoint is not None and checkpoint.step == 1
    assert len(lines) == 1 and str(newest) in lines[0] and "damaged" in lines[0]
    save(tmp_path, 2)
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, lines.append)
    assert checkpoint is not None and checkpoint.step == 2 and len(lines) == 1


def test_nothing_but_damage_is_an_error_and_nothing_at_all_is_a_new_training(tmp_path: Path) -> None:
    parent = tmp_path / "checkpoints"
    assert newest_checkpoint(parent, IDENTITY, ignore) is None
    truncate(save(parent, 1))
    with pytest.raises(UserError, match=r"no checkpoint of .* can be read \(.*ema\.safetensors.*\); choose another"):
        newest_checkpoint(parent, IDENTITY, ignore)


def test_other_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    save(tmp_path / "checkpoints", 1)
    other = IDENTITY | {"settings": IDENTITY["settings"] | {"learning_rate": 2e-4, "snr_gamma": 5.0}}
    with pytest.raises(UserError, match=r"settings: learning_rate 0\.0001, now 0\.0002; snr_gamma none, now 5; choose"):
        newest_checkpoint(tmp_path / "checkpoints", other, ignore)
    other = IDENTITY | {"with": IDENTITY["with"] | {"examples": "xyz"}}
    with pytest.raises(UserError, match="was begun with other examples; choose another folder or delete it"):
        newest_checkpoint(tmp_path / "checkpoints", other, ignore)


def test_a_record_that_is_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path, 1, loss=float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system_and_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def fail(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(OSError, match="No space left") as raised:
        save(tmp_path, 2)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    checkpoint = newest_checkpoint(tmp_path, IDENTITY, ignore)
    assert checkpoint is not None and checkpoint.step == 1
