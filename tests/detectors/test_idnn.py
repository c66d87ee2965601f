"""The interpolation DNN against a plain loop over hand-cut frames, and its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import asdbench
from asdbench.detectors.idnn import InterpolationDnn
from asdbench.detectors.idnn.network import Interpolator, loss_of
from asdbench.detectors.shared.frames import Frames
from asdbench.detectors.shared.training import Training, train
from asdbench.features import LogmelSettings, logmel
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "n_mels": 32}


@pytest.mark.parametrize("settings", [{}, {"variational": True}, {"stacked": 3, "hidden": [16], "bottleneck": 4}])
def test_contract(settings):
    check_detector(InterpolationDnn, **SMALL, **settings)


def test_the_network_is_that_of_the_paper():
    linear = [layer for layer in Interpolator(64, 5, (64, 32), 16, False).modules() if isinstance(layer, nn.Linear)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    assert widths == [4 * 64, 64, 32, 16, 32, 64, 64]


def test_the_middle_frame_is_taken_out():
    network = Interpolator(2, 5, (4,), 2, False)
    around, middle = network.split(torch.arange(10.0)[None])
    assert around.tolist() == [[0, 1, 2, 3, 6, 7, 8, 9]]
    assert middle.tolist() == [[4, 5]]


def test_the_prediction_does_not_see_the_frame_that_it_predicts():
    network = Interpolator(3, 5, (8,), 4, False).eval()
    vectors = torch.randn(4, 15, generator=torch.Generator().manual_seed(0))
    changed = vectors.clone()
    changed[:, 6:9] = 100
    predictions = [network(network.split(v)[0])[0] for v in (vectors, changed)]
    assert torch.equal(*predictions)
    assert (network.errors(changed) > network.errors(vectors)).all()


def test_scores_are_mean_squared_errors_of_middle_frames_cut_by_hand(tmp_path):
    train_clips, clips = example_clips(tmp_path, 8, 0), example_clips(tmp_path, 3, 2, "test")
    detector = InterpolationDnn(**SMALL)
    detector.fit(train_clips)
    weights = {name: array.astype(np.float64) for name, array in detector.weights_.items()}
    found = detector.score(clips)
    for index in range(len(clips)):
        mel = logmel(clips.waveform(index), LogmelSettings(n_mels=32)).astype(np.float64)
        errors = []
        for middle in range(2, len(mel) - 2):
            others = [mel[middle + step] for step in (-2, -1, 1, 2)]
            unit = np.concatenate([(frame - weights["scale.mean"]) / weights["scale.scale"] for frame in others])
            for name in ("encoder.0", "encoder.2", "encoder.4", "decoder.0", "decoder.2", "decoder.4"):
                unit = weights[f"{name}.weight"] @ unit + weights[f"{name}.bias"]
                unit = unit if name == "decoder.4" else np.maximum(unit, 0)
            errors.append(np.mean((unit * weights["scale.scale"] + weights["scale.mean"] - mel[middle]) ** 2))
        assert found[index] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_loss_of_vidnn_is_minus_the_evidence_bound_up_to_a_factor():
    network = Interpolator(4, 3, (8,), 2, True)
    vectors = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    found = loss_of(network)(vectors, torch.arange(6))
    torch.manual_seed(1)
    around, middle = network.split(vectors)
    mean, log_variance = network.encoder(around).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    likelihood = torch.distributions.Normal(network.decoder(posterior.rsample()), 1.0)
    prior = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    bound = likelihood.log_prob(middle).sum(1) - torch.distributions.kl_divergence(posterior, prior).sum(1)
    constant = 4 / 2 * np.log(2 * np.pi)
    assert found.item() == pytest.approx(2 / 4 * (-bound.mean().item() - constant), rel=1e-5)


def test_a_frame_that_follows_from_its_neighbours_is_learnt():
    time = torch.arange(3000, dtype=torch.float32)
    mel = torch.stack([10 * torch.sin(time / 7) - 40, 5 * torch.cos(time / 7) - 80], dim=1)
    frames = Frames(mel, [3000], 5)
    network = Interpolator(2, 5, (32, 16), 8, False)
    network.scale.learn(mel)
    train(network, frames, Training(15, 128, 3e-3, 0.0, 0), torch.device("cpu"), loss_of(network))
    assert network.eval().errors(frames.windows()).mean() < 0.02 * mel.var(dim=0).mean()


def test_a_loud_whistle_scores_higher(tmp_path):
    detector = InterpolationDnn(epochs=60, n_mels=32, batch_size=64)
    detector.fit(example_clips(tmp_path, anomaly=0))
    clips = example_clips(tmp_path, 6, 4, "test")
    scores, anomalous = detector.score(clips), (clips.frame["condition"] == "anomaly").to_numpy()
    assert scores[anomalous].mean() > scores[~anomalous].mean()


def test_an_even_number_of_frames_has_no_middle():
    with pytest.raises(asdbench.UserError, match="stacked is 4, expected an odd number"):
        InterpolationDnn(stacked=4)
