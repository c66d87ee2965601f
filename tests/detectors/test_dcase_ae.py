"""The DCASE autoencoder against closed forms, a hand-made copy of its recipe, and its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from torch import nn

import asdbench
from asdbench.detectors.dcase_ae import DcaseAutoencoder
from asdbench.detectors.dcase_ae.mahalanobis import Covariance, distance
from asdbench.detectors.dcase_ae.network import build_network, reconstruct, train
from asdbench.detectors.shared.frames import Frames
from asdbench.detectors.shared.training import Training
from asdbench.features import logmel
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "width": 16}


@pytest.mark.parametrize("score", ["mse", "mahalanobis", "mahalanobis_frame"])
def test_contract(score):
    check_detector(DcaseAutoencoder, score=score, **SMALL)


def test_the_network_is_that_of_the_recipe():
    network = build_network(640, 128, 8, seed=0)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm1d)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    assert widths == [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert len(norms) == 9
    assert all(norm.eps == 1e-3 and norm.momentum == 0.01 for norm in norms)
    assert isinstance(network[-1], nn.Linear)
    # The published summary of the baseline counts 269,992 parameters, 2,064 of them running statistics.
    assert sum(p.numel() for p in network.parameters()) == 269992 - 2064


def test_weights_depend_on_the_seed_and_leave_the_global_stream_alone():
    state = torch.random.get_rng_state()
    first, again, other = (build_network(10, 4, 2, seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_vectors_are_stacked_frames_of_one_clip():
    mels = [np.arange(start, start + frames * 3).reshape(frames, 3) for start, frames in ((0, 7), (100, 5), (200, 9))]
    frames = Frames(torch.tensor(np.concatenate(mels), dtype=torch.float32), [7, 5, 9], stacked=5)
    found = frames.windows()[torch.from_numpy(np.concatenate(frames.starts()))].numpy()
    expected = [mel[i : i + 5].ravel() for mel in mels for i in range(len(mel) - 4)]
    assert np.array_equal(found, np.array(expected))
    assert len(found) == 3 + 1 + 5


def test_ten_seconds_give_309_vectors():
    frames = Frames(torch.from_numpy(logmel(np.zeros(160000, dtype=np.float32))), [313], 5)
    assert len(frames.starts()[0]) == 309


def test_training_equals_a_plain_loop_over_the_same_batches():
    rng = np.random.default_rng(0)
    frames = Frames(torch.tensor(rng.standard_normal((400, 4)), dtype=torch.float32), [200, 200], 5)
    training = Training(epochs=3, batch_size=64, learning_rate=1e-3, validation=0.1, seed=5)
    network = build_network(20, 8, 2, seed=1)
    history = train(network, frames, training, torch.device("cpu"))

    plain = build_network(20, 8, 2, seed=1)
    generator = torch.Generator().manual_seed(5)
    vectors = frames.windows()[torch.from_numpy(np.concatenate(frames.starts()))].clone()
    vectors = vectors[torch.randperm(len(vectors), generator=generator)][int(0.1 * len(vectors)) :]
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        total = 0.0
        for batch in vectors[torch.randperm(len(vectors), generator=generator)].split(64):
            loss = ((plain(batch) - batch) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(vectors))
    assert history["loss"] == pytest.approx(losses, rel=1e-5)
    assert len(history["held_out_loss"]) == 3
    # Biases before a normalisation have no effect and no gradient but rounding: compare what the networks compute.
    assert torch.allclose(network.eval()(vectors), plain.eval()(vectors), atol=1e-3)


def test_held_out_vectors_are_a_tenth_and_only_logged():
    mel = torch.randn(304, 4, generator=torch.Generator().manual_seed(0))
    weights = []
    for spoilt in (False, True):
        generator = torch.Generator().manual_seed(5)
        held_out = torch.randperm(300, generator=generator)[:30]
        windows = Frames(mel, [304], 5).windows().clone()
        if spoilt:
            windows[held_out] = 1e3
        frames = Frames(windows.reshape(-1, 4), [5] * 300, 5)  # the same vectors, each a clip of its own
        network = build_network(20, 8, 2, seed=1)
        history = train(network, frames, Training(1, 64, 1e-3, 0.1, seed=5), torch.device("cpu"))
        weights.append(network[0].weight.detach().clone())
    assert torch.equal(*weights)
    assert history["held_out_loss"][0] > 1e5


def test_loss_falls_on_data_that_can_be_learnt():
    time = torch.arange(2000, dtype=torch.float32)
    frames = Frames(torch.stack([torch.sin(time / 7), torch.cos(time / 7)], dim=1), [2000], 5)
    history = train(build_network(10, 32, 4, 0), frames, Training(30, 128, 1e-3, 0.1, 0), torch.device("cpu"))
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["held_out_loss"][-1] < 0.1 * history["loss"][0]


def test_covariance_and_distance_equal_numpys_and_scipys():
    rng = np.random.default_rng(0)
    residuals = (rng.standard_normal((300, 5 * 6)) + 0.5).astype(np.float32)
    covariance = Covariance(6)
    covariance.add(residuals[:100])
    covariance.add(residuals[100:])
    rows = residuals.reshape(-1, 6).astype(np.float64)
    # Divided by the number of vectors less one, not of rows: a constant factor of about 5.
    expected = np.cov(rows, rowvar=False) * (len(rows) - 1) / (300 - 1)
    inverse = covariance.inverse()
    assert np.allclose(np.linalg.inv(inverse), expected, rtol=1e-9)
    points = rng.standard_normal((4, 6))
    other = np.linalg.inv(np.diag(rng.uniform(1, 2, 6)))
    found = distance(points, [inverse, other])
    oracle = [min(mahalanobis(p, np.zeros(6), inverse), mahalanobis(p, np.zeros(6), other)) for p in points]
    assert np.allclose(found, oracle, rtol=1e-9)


def test_few_vectors_do_not_make_the_covariance_singular():
    covariance = Covariance(16)
    covariance.add(np.random.default_rng(0).standard_normal((1, 80)).astype(np.float32))
    inverse = covariance.inverse()
    assert np.isfinite(inverse).all()
    assert np.linalg.matrix_rank(inverse) == 4  # five rows, less their mean


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    detector = DcaseAutoencoder(epochs=150, width=64, batch_size=64)
    detector.seed = 3
    train_clips = example_clips(folder, anomaly=0)
    detector.fit(train_clips)
    return detector, train_clips, example_clips(folder, 6, 4, "test")


def residuals_of(detector, clips, index):
    from asdbench.detectors.shared.networks import from_arrays

    network = build_network(640, detector.width, detector.bottleneck, 0)
    from_arrays(network, detector.weights_)
    mel = logmel(clips.waveform(index))
    vectors = np.stack([mel[i : i + 5].ravel() for i in range(len(mel) - 4)])
    return reconstruct(network, torch.from_numpy(vectors), torch.device("cpu")).numpy()


def score_as(detector, kind, clips):
    other = DcaseAutoencoder(score=kind, **detector.settings(late=False))
    other.set_state(detector.get_state())
    return other.score(clips)


def test_the_three_scores_of_one_fit_equal_their_definitions(fitted):
    detector, train_clips, clips = fitted
    by_domain = {}
    for index, domain in enumerate(train_clips.frame["domain"]):
        by_domain.setdefault(domain, []).append(residuals_of(detector, train_clips, index))
    assert set(by_domain) == {"source", "target"}
    inverses = []
    for parts in by_domain.values():
        vectors = np.concatenate(parts).astype(np.float64)
        rows = vectors.reshape(-1, 128)
        products = (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0))
        inverses.append(np.linalg.pinv(products / (len(vectors) - 1), rcond=1e-10, hermitian=True))
    found = {kind: score_as(detector, kind, clips) for kind in ("mse", "mahalanobis", "mahalanobis_frame")}
    for index in range(len(clips)):
        residuals = residuals_of(detector, clips, index).astype(np.float64)
        rows = residuals.reshape(-1, 128)
        mean = rows.mean(axis=0)
        frames = np.min([np.sqrt(np.sum(rows @ inverse * rows, axis=1)) for inverse in inverses], axis=0)
        assert found["mse"][index] == pytest.approx((residuals**2).mean(), rel=1e-5)
        assert found["mahalanobis"][index] == pytest.approx(
            min(np.sqrt(mean @ inverse @ mean) for inverse in inverses), rel=1e-4
        )
        assert found["mahalanobis_frame"][index] == pytest.approx(frames.mean(), rel=1e-4)


def test_both_scores_of_a_fit_share_the_forward_pass_and_equal_those_computed_alone(fitted, monkeypatch):
    from collections import OrderedDict

    from asdbench.detectors.dcase_ae import residuals

    detector, train_clips, clips = fitted
    passes = []
    monkeypatch.setattr(residuals, "reconstruct", lambda *args: passes.append(1) or reconstruct(*args))

    def alone(kind, some, of=detector):
        monkeypatch.setattr(residuals, "_remembered", OrderedDict())
        return score_as(of, kind, some)

    expected = {kind: alone(kind, clips) for kind in ("mse", "mahalanobis")}
    assert len(passes) == 2 * len(clips)
    passes.clear()
    monkeypatch.setattr(residuals, "_remembered", OrderedDict())
    for kind in ("mse", "mahalanobis"):
        assert np.array_equal(score_as(detector, kind, clips), expected[kind])
    assert len(passes) == len(clips)
    # Other weights and other clips are not taken for these.
    other = DcaseAutoencoder(epochs=1, width=64, batch_size=64)
    other.fit(train_clips)
    remembered = {kind: score_as(other, kind, clips) for kind in ("mse", "mahalanobis")}
    more = score_as(detector, "mse", train_clips)
    assert all(np.array_equal(remembered[kind], alone(kind, clips, other)) for kind in remembered)
    assert np.array_equal(more, alone("mse", train_clips))


def test_a_loud_whistle_scores_higher(fitted):
    detector, _, clips = fitted
    anomalous = (clips.frame["condition"] == "anomaly").to_numpy()
    for kind in ("mse", "mahalanobis", "mahalanobis_frame"):
        scores = score_as(detector, kind, clips)
        assert scores[anomalous].min() > scores[~anomalous].max(), kind


def test_only_the_score_is_a_matter_of_scoring():
    assert DcaseAutoencoder.setting_names(late=True) == ["score"]
    assert "epochs" in DcaseAutoencoder.setting_names(late=False)


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(asdbench.UserError, match="device: 'cuda' was asked for, but this machine has 0 CUDA GPUs"):
        DcaseAutoencoder(device="cuda").score(None)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices_give_the_same_scores(device, tmp_path):
    available = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not available:
        pytest.skip(f"no {device} on this machine")
    clips = example_clips(tmp_path, 6, 2)
    scores = []
    for name in ("cpu", device):
        detector = DcaseAutoencoder(device=name, **SMALL)
        detector.fit(clips)
        scores.append(detector.score(clips))
    assert np.allclose(*scores, rtol=1e-2)


def test_clips_shorter_than_a_vector_are_named(tmp_path):
    clips = example_clips(tmp_path, 4, 0)
    with pytest.raises(asdbench.UserError, match=r"section_00_.*wav: the clip has \d+ frames"):
        DcaseAutoencoder(hop_length=8000, n_fft=16384, **SMALL).fit(clips)
