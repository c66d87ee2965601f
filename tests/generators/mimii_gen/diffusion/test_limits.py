from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.diffusion.backbone import PRESETS
from asdbench.generators.mimii_gen.diffusion.limits import check_inference_steps, terminal_alpha_bar
from asdbench.generators.mimii_gen.diffusion.sampling import sampler_error
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule, sampler
from asdbench.generators.mimii_gen.generator import MimiiGen

UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"beta_start": 0.5}, r"beta_start is 0\.5, expected at most beta_end, which is 0\.02"),
    ({"beta_end": 1e-5}, r"beta_start is 0\.0001, expected at most beta_end, which is 1e-05"),
    ({"timesteps": 100}, r"100 timesteps leaves 0\.60 of the signal .*: raise timesteps or beta_end"),
    ({"timesteps": 10000}, "10000 timesteps destroys the signal .*: lower timesteps or beta_end"),
    ({"beta_end": 0.2}, "1000 timesteps destroys the signal"),
    ({"beta_end": 0.2, "zero_terminal_snr": True}, "1000 timesteps destroys the signal"),
    ({"zero_terminal_snr": True, "prediction": "epsilon"}, "zero_terminal_snr .* 'epsilon', expected 'v_prediction'"),
    ({"zero_terminal_snr": True, "preset": "paper"}, "zero_terminal_snr .*auto is epsilon for preset paper"),
    ({"inference_steps": 1001}, r"inference_steps is 1001, expected 1 to 1000 \(timesteps\)"),
    ({"inference_steps": 30, "sampler": "ddpm"}, "inference_steps is 30, expected a divisor of 1000 .* sampler ddpm"),
    ({"inference_steps": 30, "sampler": "ddim"}, "inference_steps is 30, expected a divisor of 1000 .* sampler ddim"),
    ({"batch_size": 16, "accumulation": 3}, "batch_size is 16, expected a multiple of accumulation, 3"),
]


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("timesteps", [10, 100, 1000])
def test_terminal_alpha_bar_is_that_of_diffusers(beta_schedule: Any, timesteps: int) -> None:
    schedule = NoiseSchedule(timesteps, beta_schedule, 1e-3, min(0.99, 14 / timesteps))
    expected = float(schedule.scheduler().alphas_cumprod[-1])
    found = terminal_alpha_bar(timesteps, beta_schedule, 1e-3, schedule.beta_end)
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("settings", "message"), UNUSABLE)
def test_settings_that_cannot_work_are_refused_by_the_plugin_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        MimiiGen(**settings)
    assert "\n" not in str(raised.value)
    MimiiGen(checkpoint="somewhere", **settings)  # it has a schedule of its own, and is checked when it is loaded


@pytest.mark.parametrize("preset", PRESETS)
def test_auto_prediction_is_taken_as_the_preset_has_it(preset: Any) -> None:
    if PRESETS[preset].prediction_type == "epsilon":
        with pytest.raises(UserError, match="zero_terminal_snr"):
            MimiiGen(preset=preset, zero_terminal_snr=True)
    else:
        MimiiGen(preset=preset, zero_terminal_snr=True)


def test_the_weakest_signal_that_is_let_through_can_be_sampled() -> None:
    with pytest.raises(UserError, match="destroys the signal"):
        NoiseSchedule(beta_end=0.162)
    assert 1e-37 < terminal_alpha_bar(1000, "linear", 1e-4, 0.16) < 2e-37
    made = sampler("dpm++", NoiseSchedule(beta_end=0.16).scheduler())
    assert sampler_error(made, 25, torch.zeros(3), torch.ones(3), 64).std.isfinite().all()


def test_fewest_and_most_inference_steps() -> None:
    for name in ("dpm++", "ddpm", "ddim"):
        for steps in (1, 500, 1000):
            check_inference_steps(steps, 1000, name)
        for steps in (0, 1001):
            with pytest.raises(UserError, match=f"inference_steps is {steps}"):
                check_inference_steps(steps, 1000, name)
    check_inference_steps(30, 1000, "dpm++")


def test_the_plugin_checks_its_settings_without_torch() -> None:
    script = (
        "import sys\n"
        "from asdbench.generators.mimii_gen.generator import MimiiGen\n"
        "MimiiGen()\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
