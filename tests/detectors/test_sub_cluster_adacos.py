"""Sub-cluster AdaCos against numpy, scikit-learn and hand-worked cases, and its contract."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_distances

import asdbench
from asdbench import audio
from asdbench.clips import LABELS, ClipSet
from asdbench.detectors.sub_cluster_adacos import SubClusterAdaCosDetector
from asdbench.detectors.sub_cluster_adacos.changes import CHANGES, Changes
from asdbench.detectors.sub_cluster_adacos.features import FLOOR, Grid, extract
from asdbench.detectors.sub_cluster_adacos.labels import label_classes
from asdbench.detectors.sub_cluster_adacos.loss import SubClusterAdaCos
from asdbench.detectors.sub_cluster_adacos.network import build_network
from asdbench.detectors.sub_cluster_adacos.scoring import distances, references
from asdbench.detectors.sub_cluster_adacos.training import Mixing, Training, embed, train
from asdbench.features import LogmelSettings, mel_filters
from asdbench.testing import check_detector, example_clips

SMALL = {"epochs": 2, "width": 4, "models": 1}
CPU = torch.device("cpu")


@pytest.mark.parametrize("classes", ["labels", "changes", "both"])
def test_contract(classes):
    check_detector(SubClusterAdaCosDetector, classes=classes, **SMALL | {"models": 2 if classes == "both" else 1})


# The loss


def numpy_loss(embeddings, labels, centres, clusters, scale):
    """The next scale and the loss, clip by clip and centre by centre, in double precision."""
    classes = labels.shape[1]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    total, angles = 0.0, []
    for clip, shares in zip(unit, labels, strict=True):
        angle = 0.0
        for c in range(classes):
            cosines = [float(clip @ centres[c * clusters + j]) for j in range(clusters)]
            total += (1 - shares[c]) * sum(math.exp(scale * cosine) for cosine in cosines)
            angle += shares[c] * math.acos(max(cosines))
        angles.append(angle)
    scale = math.log(total / len(unit)) / math.cos(min(math.pi / 4, np.median(angles)))
    loss = 0.0
    for clip, shares in zip(unit, labels, strict=True):
        powers = np.exp(scale * (centres @ clip))
        for c in range(classes):
            loss -= shares[c] * math.log(powers[c * clusters : (c + 1) * clusters].sum() / powers.sum())
    return scale, loss / len(unit)


@pytest.mark.parametrize("mixed", [False, True])
def test_loss_and_scale_equal_those_of_numpy_over_three_steps(mixed):
    rng = np.random.default_rng(0)
    loss = SubClusterAdaCos(5, 3, 8, torch.Generator().manual_seed(1))
    centres = loss.centres.numpy().astype(np.float64)
    scale = math.sqrt(2) * math.log(5 * 3 - 1)
    assert loss.scale == pytest.approx(scale)
    for size in (6, 7, 4):
        # Near their centres, so that the median angle lies below 45 degrees in some steps.
        classes = rng.integers(5, size=size)
        embeddings = 4 * (centres[3 * classes] + 0.15 * rng.standard_normal((size, 8)))
        labels = np.eye(5)[classes]
        if mixed:
            shares = rng.random((size, 1))
            labels = shares * labels + (1 - shares) * labels[::-1]
        found = loss(torch.tensor(embeddings, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32))
        scale, expected = numpy_loss(embeddings, labels, centres, 3, scale)
        assert loss.scale == pytest.approx(scale, rel=1e-5)
        assert found.item() == pytest.approx(expected, rel=1e-4)


def test_with_one_cluster_it_is_adacos():
    """Dynamic scale and probability of Zhang et al., for embeddings at known angles to axes that are the centres."""
    loss = SubClusterAdaCos(3, 1, 3, torch.Generator().manual_seed(0))
    loss.centres = torch.eye(3)
    assert loss.scale == pytest.approx(math.sqrt(2) * math.log(2))
    first, second = math.radians(20), math.radians(60)
    embeddings = torch.tensor([[math.cos(first), math.sin(first), 0], [0, math.cos(second), math.sin(second)]])
    s = loss.scale
    b = (math.exp(s * math.sin(first)) + 1 + 1 + math.exp(s * math.sin(second))) / 2
    theta = (first + second) / 2  # median of two
    found = loss(5 * embeddings, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    s = math.log(b) / math.cos(theta)
    assert loss.scale == pytest.approx(s, rel=1e-6)
    p = [
        math.exp(s * math.cos(angle)) / (math.exp(s * math.cos(angle)) + math.exp(s * math.sin(angle)) + 1)
        for angle in (first, second)
    ]
    assert found.item() == pytest.approx(-(math.log(p[0]) + math.log(p[1])) / 2, rel=1e-6)


def test_the_angle_of_the_scale_is_at_most_45_degrees():
    loss = SubClusterAdaCos(2, 2, 4, torch.Generator().manual_seed(0))
    cosines = torch.full((3, 4), -1.0)
    scale = loss.scale
    expected = (math.log(2) - scale) / math.cos(math.pi / 4)
    assert loss.next_scale(cosines, torch.tensor([[1.0, 0.0]] * 3)) == pytest.approx(expected, rel=1e-6)


def test_centres_are_unit_vectors_drawn_from_the_generator_and_not_trained():
    first, again, other = (SubClusterAdaCos(4, 2, 16, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.centres, other.centres)
    assert torch.allclose(first.centres.norm(dim=1), torch.ones(8))
    assert not list(first.parameters())


# Training


def test_mixup_mixes_inputs_and_labels_by_the_same_shares():
    mixing = Mixing(torch.tensor([1.0, 0.25, 0.5]), torch.tensor([1, 2, 0]))
    labels = mixing.mix(torch.eye(3))
    assert torch.equal(labels, torch.tensor([[1.0, 0, 0], [0, 0.25, 0.75], [0.5, 0, 0.5]]))
    inputs = torch.arange(12.0).reshape(3, 2, 2)
    expected = torch.stack([inputs[0], 0.25 * inputs[1] + 0.75 * inputs[2], 0.5 * inputs[2] + 0.5 * inputs[0]])
    assert torch.equal(mixing.mix(inputs), expected)


def test_a_share_of_the_clips_is_mixed_uniformly():
    mixing = Mixing.draw(20000, 0.3, np.random.default_rng(0), CPU)
    shares = mixing.shares.numpy()
    mixed = shares[shares < 1]
    assert len(mixed) / 20000 == pytest.approx(0.3, abs=0.02)
    assert mixed.mean() == pytest.approx(0.5, abs=0.02) and mixed.std() == pytest.approx(12**-0.5, abs=0.02)
    assert sorted(mixing.partners.tolist()) == list(range(20000))
    assert (Mixing.draw(100, 0.0, np.random.default_rng(0), CPU).shares == 1).all()


def test_classes_are_all_labels_of_a_clip_together():
    found = label_classes(
        ["00", "00", "00", "01", "00"],
        ["source", "source", "target", "source", "source"],
        [{"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"a": "1", "b": "3"}],
    )
    assert found[0] == found[1]
    assert sorted(found) == [0, 0, 1, 2, 3]


def random_inputs(clips=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clips, 20, 32, generator=generator).half(), torch.randn(clips, 2000, generator=generator).half()


def trained(seed, classes, training):
    network = build_network(4, 2000, False, seed)
    change = Changes(np.geomspace(0.01, 0.9, 32), (np.arange(2000) + 0.5) / 2000, CPU)
    history = train(network, random_inputs(), classes, training, change, np.random.default_rng(seed), CPU)
    return network, history


def test_a_seed_gives_the_same_weights_and_leaves_the_global_stream_alone():
    state = torch.random.get_rng_state()
    training = Training(epochs=2, batch_size=8, learning_rate=1e-3, clusters=2, mixup=0.5, label_weight=0.5)
    first, again, other = (trained(seed, np.arange(24) % 3, training)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["spectrum.dense.0.weight"], other["spectrum.dense.0.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_tells_classes_apart():
    spectrograms, spectra = random_inputs(32)
    classes = np.arange(32) % 2
    spectra[classes == 1, 500:1000] += 1
    network = build_network(4, 2000, False, 0)
    training = Training(epochs=15, batch_size=8, learning_rate=1e-3, clusters=2, mixup=0.0, label_weight=0.5)
    history = train(network, (spectrograms, spectra), classes, training, None, np.random.default_rng(0), CPU)
    assert history[-1] < 0.7 * history[0]
    embeddings = embed(network, spectrograms, spectra, CPU)
    near = cosine_distances(embeddings)
    same = classes[:, None] == classes[None]
    assert near[same & ~np.eye(32, dtype=bool)].mean() < 0.5 * near[~same].mean()


def test_no_layer_has_a_bias_or_an_affine_map():
    names = {name.rsplit(".", 1)[1] for name, _ in build_network(4, 2000, False, 0).named_parameters()}
    assert names == {"weight"}
    norms = [module for module in build_network(4, 2000, False, 0).modules() if hasattr(module, "running_mean")]
    assert norms and not any(norm.affine for norm in norms)


def test_the_temporal_mean_can_be_taken_out():
    spectrograms, spectra = random_inputs(4)
    louder = spectrograms + torch.randn(32, generator=torch.Generator().manual_seed(1)).half()
    for subtract_mean in (True, False):
        network = build_network(4, 2000, subtract_mean, 0)
        before, after = embed(network, spectrograms, spectra, CPU), embed(network, louder, spectra, CPU)
        assert np.allclose(before, after, atol=1e-2) is subtract_mean


# Changes


def test_changes_are_what_they_say():
    spectrograms, spectra = (part.float() for part in random_inputs(len(CHANGES)))
    bands = np.geomspace(0.01, 0.9, 32)
    bins = (np.arange(2000) + 0.5) / 2000
    changed = Changes(bands, bins, CPU)(spectrograms, spectra, torch.arange(len(CHANGES)))

    def in_band(change, frequencies):
        return np.exp(-0.5 * (np.log2(frequencies / change.centre) / change.octaves) ** 2) if change.centre else 1.0

    for index, change in enumerate(CHANGES):
        warped = np.array([np.interp(change.warp * bands, bands, row) for row in spectrograms[index].numpy()])
        mean, band = warped.mean(axis=0), in_band(change, bands)
        expected = mean + change.gain * band + (warped - mean) * (1 + change.swing * band)
        assert np.allclose(changed[0][index], expected, atol=1e-3)
        expected = np.interp(change.warp * bins, bins, spectra[index]) + change.gain * in_band(change, bins)
        assert np.allclose(changed[1][index], expected, atol=1e-3)
    assert torch.equal(changed[0][0], spectrograms[0]) and torch.equal(changed[1][0], spectra[0])


# Inputs


def grid(num_samples=16000):
    return Grid(num_samples, LogmelSettings(), frames=4, bins=2000)


def test_the_spectrum_is_that_of_the_clip():
    wave = np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    spectrum = extract(wave, grid(48000))[1]
    magnitudes = np.abs(np.fft.rfft(wave.astype(np.float64)))[1:] / np.sqrt(48000)
    assert np.allclose(spectrum, np.log(magnitudes.reshape(2000, 12).mean(axis=1) + FLOOR), atol=4e-3)


def test_the_spectrogram_is_the_mean_magnitude_of_mel_bands():
    wave = 0.1 * np.random.default_rng(0).standard_normal(15 * 512).astype(np.float32)  # 16 frames
    spectrogram = extract(wave, grid(len(wave)))[0]
    padded = np.pad(wave.astype(np.float64), 512)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = np.stack([padded[start : start + 1024] * window for start in range(0, len(wave) + 1, 512)])
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / np.sum(window**2)
    mel = np.sqrt(power @ mel_filters(LogmelSettings()).T * 16000 / 1024)
    assert mel.mean() == pytest.approx(0.1, rel=0.1)  # the RMS of the noise
    coarse = np.log(mel.reshape(4, 4, 128).mean(axis=1) + FLOOR)
    assert spectrogram.shape == (4, 128)
    assert np.allclose(spectrogram, coarse, atol=4e-3)


def test_frequencies_are_those_of_the_bands():
    edges = librosa.mel_frequencies(130, fmin=0, fmax=8000) / 8000
    assert np.allclose(grid().band_frequencies(), edges[1:-1], atol=0.5 * 15.625 / 8000)
    assert np.allclose(grid().bin_frequencies()[[0, 1, -1]], [0.5 / 2000, 1.5 / 2000, 1999.5 / 2000])


def test_short_clips_are_repeated_and_long_ones_cut_off():
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    for other in (np.tile(wave, 3), np.concatenate([wave, np.zeros(5000, np.float32)])):
        for before, after in zip(extract(wave, grid()), extract(other, grid()), strict=True):
            assert np.array_equal(before, after)
    for before, after in zip(extract(np.tile(wave, 2), grid(32000)), extract(wave, grid(32000)), strict=True):
        assert np.array_equal(before, after)


def test_digital_silence_has_finite_inputs():
    spectrogram, spectrum = extract(np.zeros(16000, np.float32), grid())
    for part in (spectrogram, spectrum):
        assert np.allclose(part, np.log(FLOOR), atol=4e-3)


# The score


def test_references_are_scikit_learns_clusters_of_a_large_domain_and_the_clips_of_a_small_one():
    rng = np.random.default_rng(0)
    embeddings, domains = rng.standard_normal((50, 6)), np.array(["source"] * 45 + ["target"] * 5)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    centres = KMeans(8, n_init=4, random_state=3).fit(unit[:45]).cluster_centers_
    found = references(embeddings, domains, 8, 3)
    expected = np.concatenate([centres / np.linalg.norm(centres, axis=1, keepdims=True), unit[45:]])
    assert np.allclose(found, expected)
    tests = rng.standard_normal((20, 6))
    assert np.allclose(
        distances(tests, found), cosine_distances(tests, np.concatenate([centres, unit[45:]])).min(axis=1)
    )


def test_a_training_clip_is_not_its_own_reference():
    directions = np.eye(3)
    assert distances(np.array([[2.0, 0, 0], [1.0, 1.0, 0]]), directions) == pytest.approx([1.0, 1 - 0.5**0.5])
    assert distances(np.array([[2.0, 0, 0]]), directions[:1]) == pytest.approx([0.0])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    detector = SubClusterAdaCosDetector(classes="changes", epochs=2, width=4, batch_size=4, clusters=4, models=2)
    detector.seed = 3
    train_clips = example_clips(folder, 20, 0)
    detector.fit(train_clips)
    return detector, train_clips, example_clips(folder, 6, 4, "test")


def test_the_score_is_the_mean_over_models_of_the_smallest_cosine_distance(fitted):
    detector, train_clips, clips = fitted
    longest = int(train_clips.frame["num_samples"].max())
    inputs = [extract(clips.waveform(index), grid(longest)) for index in range(len(clips))]
    spectrograms, spectra = (torch.from_numpy(np.stack(part)) for part in zip(*inputs, strict=True))
    expected = []
    for weights, directions in zip(detector.weights_, detector.references_, strict=True):
        network = build_network(4, 2000, False, 0)
        network.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
        expected.append(cosine_distances(embed(network, spectrograms, spectra, CPU), directions).min(axis=1))
        assert directions.shape == (8, 256)  # 4 clusters of each domain
    assert np.allclose(detector.score(clips), np.mean(expected, axis=0), atol=1e-5)


# What may come


def written(folder, waves, sample_rate=16000, attributes=None):
    rows = []
    for index, wave in enumerate(waves):
        path = folder / f"{index}.wav"
        audio.write(path, wave, sample_rate)
        values = (attributes or {}).get(index, {})
        labels = (path.name, str(path), "m", "00", "none", "train", "normal", values)
        rows.append(dict(zip(LABELS, labels, strict=True)))
    return ClipSet.from_files(rows, sample_rate)


def test_a_band_that_is_too_loud_scores_higher(tmp_path):
    rng = np.random.default_rng(0)
    filters = [butter(2, 300, fs=16000, output="sos"), butter(2, [1500, 3000], "bandpass", fs=16000, output="sos")]
    machine, rattle = (sosfilt(sos, rng.standard_normal((40, 16000))) for sos in filters)
    waves = 0.2 * machine + 0.01 * rng.standard_normal((40, 16000))
    waves[30:] += 0.03 * rattle[30:]
    clips = written(tmp_path, waves)
    detector = SubClusterAdaCosDetector(epochs=20, width=8, models=1, batch_size=8)
    detector.fit(clips.select(range(20)))
    assert roc_auc_score([0] * 10 + [1] * 10, detector.score(clips.select(range(20, 40)))) > 0.95


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_other_sample_rates(tmp_path, sample_rate):
    clips = example_clips(tmp_path, 6, 0, sample_rate=sample_rate)
    detector = SubClusterAdaCosDetector(**SMALL)
    detector.fit(clips)
    assert np.isfinite(detector.score(example_clips(tmp_path, 2, 2, "test", sample_rate=sample_rate))).all()


def test_very_short_and_long_clips_have_scores(tmp_path):
    rng = np.random.default_rng(0)
    clips = written(tmp_path, [0.1 * rng.standard_normal(length) for length in (8000, 9000, 8000, 12000, 3300, 100000)])
    detector = SubClusterAdaCosDetector(**SMALL)
    detector.fit(clips.select([0, 1, 2, 3]))
    assert detector.num_samples_ == 12000
    assert np.isfinite(detector.score(clips)).all()


def test_digital_silence_has_scores_and_can_be_learnt(tmp_path, monkeypatch):
    clips = written(tmp_path, [0.1 * np.random.default_rng(0).standard_normal(8000)] * 3)
    sound = clips.waveform(0)
    for silent in ([2], [1, 2], [0, 1, 2]):  # asdbench refuses such files, so the silence is put in behind it
        monkeypatch.setattr(ClipSet, "waveform", lambda _, index, silent=silent: sound * (index not in silent))
        detector = SubClusterAdaCosDetector(**SMALL)
        detector.fit(clips)
        assert np.isfinite(detector.score(clips)).all()


def test_one_clip_cannot_be_learnt_from(tmp_path):
    clips = written(tmp_path, [np.random.default_rng(0).standard_normal(8000) * 0.1])
    with pytest.raises(asdbench.UserError, match="two clips at least, got 1"):
        SubClusterAdaCosDetector(**SMALL).fit(clips)


def test_labels_alone_need_two_classes(tmp_path):
    rng = np.random.default_rng(0)
    clips = written(tmp_path, [rng.standard_normal(8000) * 0.1 for _ in range(3)])
    with pytest.raises(asdbench.UserError, match="all 3 training clips have the same section, domain and attributes"):
        SubClusterAdaCosDetector(classes="labels", **SMALL).fit(clips)


def test_without_labels_both_is_changes(tmp_path):
    rng = np.random.default_rng(0)
    clips = written(tmp_path, [rng.standard_normal(8000) * 0.1 for _ in range(4)])
    scores = []
    for classes in ("both", "changes"):
        detector = SubClusterAdaCosDetector(classes=classes, **SMALL)
        detector.fit(clips)
        scores.append(detector.score(clips))
    assert np.array_equal(*scores)


def test_no_setting_is_a_matter_of_scoring():
    assert SubClusterAdaCosDetector.setting_names(late=True) == []


def test_clips_nearer_to_a_reference_score_lower():
    angles = np.array([1e-4, 1e-3, 1e-2, 1e-1])
    near = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert np.allclose(distances(near, np.eye(2)), 1 - np.cos(angles), atol=1e-12)


def test_two_labels_need_two_sub_clusters(tmp_path):
    clips = example_clips(tmp_path, 6, 0)
    clips.frame["section"] = ["00", "01"] * 3
    clips.frame["attributes"] = [{}] * 6
    clips.frame["domain"] = "source"
    with pytest.raises(asdbench.UserError, match="sub_clusters is 1, expected 2 at least"):
        SubClusterAdaCosDetector(classes="labels", sub_clusters=1).fit(clips)
