"""What detectors of stacked frames share: scaling, seeding, divergences, and words for clips that are too short."""

from __future__ import annotations

import numpy as np
import pydantic
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as oracle

import asdbench
from asdbench import audio
from asdbench.clips import ClipSet
from asdbench.detectors.shared.frames import Frames
from asdbench.detectors.shared.gaussian import Gaussian, kl_divergence
from asdbench.detectors.shared.networks import BandScale, from_arrays, seeded, to_arrays
from asdbench.detectors.shared.training import Trainer, Training
from asdbench.plugins import detectors
from asdbench.testing import example_clips

FRAME_DETECTORS = ["dagmm", "dcase_ae", "hcvae", "idnn", "np_feature"]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_scaled_bands_have_mean_0_and_variance_1_and_come_back():
    mel = random(500, 3) * torch.tensor([1.0, 5.0, 20.0]) - torch.tensor([80.0, 40.0, 0.0])
    scale = BandScale(3)
    scale.learn(mel)
    vectors = Frames(mel, [500], 4).windows()
    unit = scale(vectors)
    assert torch.allclose(unit[:, :3], ((mel - mel.mean(0)) / mel.std(0, correction=0))[:-3], atol=1e-4)
    assert torch.allclose(scale.inverse(unit), vectors, atol=1e-4)


def test_bands_that_do_not_vary_are_only_centred():
    mel = torch.full((50, 2), -156.5356)
    scale = BandScale(2)
    scale.learn(mel)
    assert scale.scale.tolist() == [1.0, 1.0]
    assert scale(mel).abs().max() < 1e-3


def test_the_divergence_equals_that_of_torch():
    first = Gaussian(random(5, 3), random(5, 3, seed=1))
    second = Gaussian(random(5, 3, seed=2), random(5, 3, seed=3))
    normal = [Normal(g.mean, torch.exp(g.log_variance / 2)) for g in (first, second)]
    assert torch.allclose(kl_divergence(first, second), oracle(*normal).sum(1), rtol=1e-5)
    standard = Normal(torch.zeros(5, 3), torch.ones(5, 3))
    assert torch.allclose(kl_divergence(first), oracle(normal[0], standard).sum(1), rtol=1e-5)


def test_samples_have_the_mean_and_variance_of_their_distribution():
    gaussian = Gaussian(torch.full((20000, 1), 3.0), torch.full((20000, 1), np.log(4.0)))
    with seeded(0):
        sample = gaussian.sample()
    assert sample.mean().item() == pytest.approx(3, abs=0.05)
    assert sample.std().item() == pytest.approx(2, abs=0.05)


def test_seeding_leaves_the_global_stream_alone():
    state = torch.random.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_weights_come_back_from_arrays():
    first, second = BandScale(2), BandScale(2)
    first.learn(random(10, 2))
    from_arrays(second, to_arrays(first))
    assert torch.equal(first.mean, second.mean)


def test_an_epoch_sees_every_vector_that_is_not_held_out_once_in_another_order():
    frames = Frames(torch.arange(100.0)[:, None], [60, 40], 3)
    network = torch.nn.Linear(3, 1)
    trainer = Trainer(network, frames, Training(2, 16, 1e-3, 0.25, 0), torch.device("cpu"))
    seen: list[int] = []

    def loss(vectors, rows):
        assert torch.equal(vectors[:, 0], rows.float())  # the vector that begins at frame r is row r
        seen.extend(rows.tolist())
        return network(vectors).square().mean()

    trainer.epoch(loss)
    first = list(seen)
    seen.clear()
    trainer.epoch(loss)
    assert sorted(first) == sorted(seen) == sorted(trainer.rows.tolist())
    assert first != seen
    within = {*range(58), *range(60, 98)}  # no vector lies across two clips
    assert set(trainer.rows.tolist()) | set(trainer.held_out.tolist()) == within
    assert len(trainer.held_out) == 24


def test_randomness_within_an_epoch_depends_on_seed_and_epoch():
    def draws(seed):
        network = torch.nn.Linear(2, 1)
        trainer = Trainer(
            network, Frames(torch.zeros(9, 1), [9], 2), Training(2, 8, 1e-3, 0, seed), torch.device("cpu")
        )
        found = []

        def loss(vectors, rows):
            found.append(torch.rand(()).item())
            return network(vectors).sum()

        trainer.epoch(loss)
        trainer.epoch(loss)
        return found

    assert draws(0) == draws(0)
    assert len(set(draws(0)) | set(draws(1))) == 4


@pytest.mark.parametrize("name", FRAME_DETECTORS)
def test_clips_shorter_than_a_vector_are_named(name, tmp_path):
    detector = detectors.get(name)(epochs=1, hop_length=8000, n_fft=16384)
    with pytest.raises(
        asdbench.UserError,
        match=rf"section_00_.*wav: the clip has \d+ frames of 8000 samples, {name} needs at least \d+",
    ):
        detector.fit(example_clips(tmp_path, 2, 0))


@pytest.mark.parametrize("name", FRAME_DETECTORS)
def test_digital_silence_is_learnt_and_scored(name, tmp_path):
    sound, silence = example_clips(tmp_path, 4, 0), example_clips(tmp_path / "silent", 4, 0)
    for index in range(4):
        audio.write(silence.file(index), np.zeros(16000), 16000)
    silence = ClipSet(silence.frame)
    for train_on in (sound, silence):
        detector = detectors.get(name)(epochs=3, batch_size=32)
        detector.fit(train_on)
        for clips in (sound, silence):
            assert np.isfinite(detector.score(clips)).all()


@pytest.mark.parametrize("name", ["idnn", "dagmm", "hcvae", "np_feature"])
@pytest.mark.parametrize("hidden", [[-3], [0], [8, 0]])
def test_layers_have_units(name, hidden):
    with pytest.raises(pydantic.ValidationError, match="hidden"):
        detectors.get(name)(hidden=hidden)


def test_latent_vectors_have_dimensions():
    with pytest.raises(pydantic.ValidationError, match="latent"):
        detectors.get("hcvae")(latent=[0, 2])


def test_a_single_vector_is_too_little_to_learn_from():
    frames = Frames(random(7, 4).float(), [7], 5)
    training = Training(epochs=1, batch_size=2, learning_rate=1e-3, validation=0.7, seed=0)
    with pytest.raises(asdbench.UserError, match="3 vectors of the training clips leave 1 to learn from"):
        Trainer(torch.nn.Linear(20, 1), frames, training, torch.device("cpu"))
