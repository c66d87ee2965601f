from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from asdbench import UserError
from asdbench.generators.mimii_gen.diffusion.sampling import (
    SamplerError,
    denoise,
    draw_noise,
    first_step,
    guide,
    sampler_error,
    set_steps,
)
from asdbench.generators.mimii_gen.diffusion.schedule import (
    SAMPLERS,
    NoiseSchedule,
    exact_prediction,
    loss_weights,
    sampler,
    target,
)

# Quiet, middling and loud dimensions, each with means of 0 to 2.
MEAN = torch.tensor([0.0, 0.5, -1.0, 2.0]).repeat(3)
STD = torch.tensor([0.08, 0.4, 1.0]).repeat_interleave(4)
QUIET, MIDDLE, LOUD = slice(0, 4), slice(4, 8), slice(8, 12)

EPSILON = NoiseSchedule()
V = NoiseSchedule(prediction_type="v_prediction")
V_ZERO = NoiseSchedule(prediction_type="v_prediction", zero_terminal_snr=True)
COSINE = NoiseSchedule(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")


def error(name: str, steps: int, schedule: NoiseSchedule = EPSILON) -> SamplerError:
    return sampler_error(sampler(name, schedule.scheduler()), steps, MEAN, STD)


@pytest.mark.parametrize("schedule", [EPSILON, V, V_ZERO, COSINE], ids=["epsilon", "v", "v_zero_snr", "cosine"])
@pytest.mark.parametrize("steps", [25, 50, 100])
def test_fast_sampler_keeps_mean_and_std_of_every_dimension(schedule: NoiseSchedule, steps: int) -> None:
    found = error("dpm++", steps, schedule)
    assert (found.std - 1).abs().max() < 0.03
    assert found.mean.abs().max() < 0.02


def test_zero_terminal_snr_removes_the_bias_of_the_mean() -> None:
    assert error("dpm++", 25, V).mean.abs().max() > 0.01
    assert error("dpm++", 25, V_ZERO).mean.abs().max() < 0.001


def test_ddpm_with_all_timesteps_is_right_within_its_own_error() -> None:
    found = error("ddpm", 1000)
    assert (found.std - 1)[QUIET].abs().max() < 0.08  # 0.92 at worst: posterior variance, discretised
    assert (found.std - 1)[MIDDLE].abs().max() < 0.05
    assert (found.std - 1)[LOUD].abs().max() < 0.05
    assert found.mean.abs().max() < 0.06  # of 4096 samples with a standard deviation of 1


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_ddpm_and_ddim_lose_quiet_detail_in_few_steps_and_less_in_many(name: str) -> None:
    few, many = error(name, 25).std, error(name, 100).std
    assert (few[QUIET] < 0.6).all()
    assert (many[QUIET] > few[QUIET] + 0.2).all()
    assert (many[LOUD] - 1).abs().max() < 0.08


def test_steps_even_in_time_fail_where_steps_even_in_log_snr_do_not() -> None:
    config = EPSILON.scheduler().config
    for spacing in ("linspace", "trailing", "leading"):
        found = sampler_error(DPMSolverMultistepScheduler.from_config(config, timestep_spacing=spacing), 25, MEAN, STD)
        assert (found.std[QUIET] < 0.6).all()
        assert (found.std[LOUD] - 1).abs().max() < 0.03


def test_clipping_fails_where_latents_are_not_bounded() -> None:
    clipping = DDPMScheduler.from_config(EPSILON.scheduler().config, clip_sample=True)
    found = sampler_error(clipping, 1000, MEAN, STD, 1024)
    assert (found.std[LOUD] < 0.8).all()
    assert (found.mean[QUIET].abs()[[3]] > 0.9).all()  # a mean of 2 is brought to 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_keep_the_schedule_and_never_clip(name: str) -> None:
    made = sampler(name, COSINE.scheduler())
    assert torch.equal(made.alphas_cumprod, COSINE.scheduler().alphas_cumprod)
    assert made.config.prediction_type == "v_prediction"
    assert made.config.timestep_spacing == "trailing"
    assert not made.config.thresholding
    assert not made.config.get("clip_sample", False)
    assert not COSINE.scheduler().config.clip_sample


def test_unknown_sampler_and_impossible_schedules_are_refused() -> None:
    with pytest.raises(UserError, match="no sampler 'dpm\\+'; did you mean 'dpm\\+\\+'"):
        sampler("dpm+", EPSILON.scheduler())
    with pytest.raises(UserError, match=r"zero_terminal_snr .* 'epsilon'"):
        NoiseSchedule(zero_terminal_snr=True)
    with pytest.raises(UserError, match=r"100 timesteps leaves 0\.60 of the signal .* raise timesteps or beta_end"):
        NoiseSchedule(steps=100)
    with pytest.raises(UserError, match=r"beta_start is 0\.5, expected at most beta_end, which is 0\.02"):
        NoiseSchedule(beta_start=0.5)
    NoiseSchedule(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


@pytest.mark.parametrize("schedule", [EPSILON, V, V_ZERO, COSINE], ids=["epsilon", "v", "v_zero_snr", "cosine"])
def test_a_schedule_comes_back_from_the_configuration_and_needs_all_of_it(schedule: NoiseSchedule) -> None:
    config = dict(schedule.scheduler().config)
    assert NoiseSchedule.from_config(config) == schedule
    assert NoiseSchedule.from_config(config | {"clip_sample": True, "variance_type": "learned"}) == schedule
    for field in (
        "num_train_timesteps",
        "beta_schedule",
        "beta_start",
        "beta_end",
        "prediction_type",
        "rescale_betas_zero_snr",
    ):
        with pytest.raises(UserError, match=f"there is no {field}"):
            NoiseSchedule.from_config({name: value for name, value in config.items() if name != field})
        for wrong in ("x", None, [1], -3, 10**400, float("nan")):
            with pytest.raises(UserError, match=f"^{field} is "):
                NoiseSchedule.from_config(config | {field: wrong})
    with pytest.raises(UserError, match="trained_betas is set"):
        NoiseSchedule.from_config(config | {"trained_betas": [0.1] * 1000})


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_take_the_schedule_and_nothing_else(name: str) -> None:
    odd = {"clip_sample": True, "thresholding": True, "use_karras_sigmas": True, "variance_type": "learned"}
    other = DDPMScheduler.from_config({**V.scheduler().config, **odd})
    assert dict(sampler(name, other).config) == dict(sampler(name, V.scheduler()).config)


def test_terminal_signal_of_the_default_schedule() -> None:
    assert float(EPSILON.scheduler().alphas_cumprod[-1]) ** 0.5 == pytest.approx(0.0064, abs=1e-4)
    assert float(V_ZERO.scheduler().alphas_cumprod[-1]) == 0.0


def test_targets_give_back_noise_and_clean_latents() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 2, 3, 5, generator=generator)
    timesteps = torch.tensor([0, 300, 700, 999])
    assert torch.equal(target(EPSILON.scheduler(), clean, noise, timesteps), noise)
    for schedule in (V, V_ZERO):
        scheduler = schedule.scheduler()
        noised = scheduler.add_noise(clean, noise, timesteps)
        velocity = target(scheduler, clean, noise, timesteps)
        alpha_bar = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        torch.testing.assert_close(a * noised - s * velocity, clean)
        torch.testing.assert_close(s * noised + a * velocity, noise)


def test_exact_prediction_is_the_best_linear_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = 1.5 + 0.7 * torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    for schedule in (EPSILON, V):
        scheduler = schedule.scheduler()
        timesteps = torch.full((len(clean),), 400)
        noised = scheduler.add_noise(clean, noise, timesteps)
        wanted = target(scheduler, clean, noise, timesteps)
        predicted = exact_prediction(scheduler, noised, 400, torch.tensor([1.5]), torch.tensor([0.7]))
        slope, offset = torch.linalg.lstsq(torch.cat([noised, torch.ones_like(noised)], 1), wanted).solution[:, 0]
        assert (slope * noised + offset - predicted).abs().max() < 0.02


def test_loss_weights_are_those_of_min_snr_and_finite_everywhere() -> None:
    timesteps = torch.arange(1000)
    for schedule, beyond in ((EPSILON, 0.0), (V, 1.0)):
        scheduler = schedule.scheduler()
        alpha_bar = scheduler.alphas_cumprod.double()
        snr = alpha_bar / (1 - alpha_bar)
        wanted = torch.minimum(snr, torch.tensor(5.0)) / (snr + beyond)
        torch.testing.assert_close(loss_weights(scheduler, timesteps, 5.0), wanted.float())
    weights = loss_weights(V_ZERO.scheduler(), timesteps, 5.0)
    assert weights.isfinite().all()
    assert weights[-1] == 0
    assert torch.equal(loss_weights(V.scheduler(), timesteps[:7], None), torch.ones(7))


def test_loss_weights_weigh_the_error_of_the_clean_latents_alike_for_both_targets() -> None:
    # An error e of x_0 is an error e / sqrt(1 / SNR) of the noise and e / sqrt(1 - alpha_bar) of v at the same x_t.
    timesteps = torch.tensor([10, 500, 900])
    alpha_bar = EPSILON.scheduler().alphas_cumprod[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    noise_error, velocity_error = snr, 1 / (1 - alpha_bar)
    torch.testing.assert_close(
        loss_weights(EPSILON.scheduler(), timesteps, 5.0) * noise_error,
        loss_weights(V.scheduler(), timesteps, 5.0) * velocity_error,
        rtol=1e-4,
        atol=0,
    )


def test_noise_of_a_clip_is_its_own() -> None:
    def noise(seeds: list[int]) -> torch.Tensor:
        return draw_noise([torch.Generator().manual_seed(seed) for seed in seeds], (16, 8, 25))

    together = noise([3, 1, 2])
    assert together.shape == (3, 16, 8, 25)
    assert torch.equal(together[1:2], noise([1]))
    assert not torch.equal(together[0], together[1])


def test_guidance() -> None:
    conditional, unconditional = torch.randn(2, 3, 4, 2, 50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guide(conditional, unconditional, 1.0, 0.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 0.0, 0.0), unconditional)
    guided = guide(conditional, unconditional, 3.0, 0.0)
    torch.testing.assert_close(guided, 3 * conditional - 2 * unconditional)
    rescaled = guide(conditional, unconditional, 3.0, 1.0)
    torch.testing.assert_close(rescaled.std(dim=(1, 2, 3)), conditional.std(dim=(1, 2, 3)))
    torch.testing.assert_close(guide(conditional, unconditional, 3.0, 0.7), 0.7 * rescaled + 0.3 * guided)


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_steps_that_do_not_divide_the_timesteps_are_refused_where_they_go_wrong(name: str) -> None:
    made = sampler(name, EPSILON.scheduler())
    for steps in (1, 40, 1000):
        set_steps(made, steps)
    for steps in (30, 600):
        with pytest.raises(UserError, match=rf"inference_steps is {steps}, expected a divisor of 1000 \(timesteps\)"):
            set_steps(made, steps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_number_of_steps_is_checked(name: str) -> None:
    for steps in (0, -1, 1001):
        with pytest.raises(UserError, match=rf"inference_steps is {steps}, expected 1 to 1000 \(timesteps\)"):
            set_steps(sampler(name, EPSILON.scheduler()), steps)


def test_any_number_of_steps_of_the_fast_sampler_runs_to_the_end() -> None:
    for schedule in (EPSILON, V_ZERO, COSINE):
        for steps in (1, 2, 3, 7, 30, 200, 1000):
            assert error("dpm++", steps, schedule).std.isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", [EPSILON, V_ZERO], ids=["epsilon", "v_zero_snr"])
def test_starting_from_latents(name: str, schedule: NoiseSchedule) -> None:
    made: Any = sampler(name, schedule.scheduler())
    clean = MEAN + STD * torch.randn(2000, len(MEAN), generator=torch.Generator().manual_seed(1))

    def run(strength: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        noise = torch.randn(clean.shape, generator=generator)
        return denoise(
            lambda latents, timestep: exact_prediction(made, latents, int(timestep), MEAN, STD),
            made,
            50,
            noise,
            generator,
            clean=clean,
            strength=strength,
        )

    assert torch.equal(run(1e-4), clean)
    distances = [float(((run(strength) - clean)[:, LOUD]).square().mean().sqrt()) for strength in (0.1, 0.3, 0.5, 1.0)]
    assert distances == sorted(distances)
    assert distances[0] < 0.4
    assert distances[-1] == pytest.approx(2**0.5, abs=0.1)  # nothing is left of the source: two independent draws
    # Data noised and denoised by a perfect network are data again.
    for strength in (0.2, 0.6, 1.0):
        found = run(strength)
        assert (found.mean(0) - MEAN).abs().max() < 0.1
        assert (found.std(0) / STD - 1)[LOUD].abs().max() < 0.1


def test_strength_is_a_share_of_the_timesteps_whatever_their_spacing() -> None:
    for name in SAMPLERS:
        made = sampler(name, EPSILON.scheduler())
        set_steps(made, 50)
        for strength in (0.05, 0.5, 0.9):
            index = first_step(made, strength)
            assert made.timesteps[index] < 1000 * strength <= made.timesteps[index - 1] + 1
        assert first_step(made, 1.0) == 0
        assert first_step(made, 1e-6) == 50
