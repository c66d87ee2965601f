from __future__ import annotations

import math

import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from asdbench.generators.mimii_gen.codec_training import quantiser

SIZE, BOOKS, DIM = 16, 6, 8


@pytest.fixture
def rvq():
    frames = 50
    config = EncodecConfig(
        sampling_rate=16000,
        upsampling_ratios=[20, 16],
        num_filters=4,
        hidden_size=DIM,
        codebook_size=SIZE,
        num_lstm_layers=1,
        target_bandwidths=[BOOKS * math.log2(SIZE) * frames / 1000],
    )
    model = EncodecModel(config)
    assert len(model.quantizer.layers) == BOOKS
    return model.quantizer


def latents(batch=4, frames=100, seed=0):
    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def begun(rvq, data):
    quantiser.begin(rvq, data.transpose(1, 2).flatten(0, 1), torch.Generator().manual_seed(0))
    return rvq


def test_every_codebook_leaves_less_than_the_one_before(rvq):
    data = latents()
    begun(rvq, data)
    left = []
    for count in range(1, BOOKS + 1):
        codes = rvq.encode(data)[:count]
        left.append(float((data - rvq.decode(codes)).square().mean()))
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]


def test_k_means_finds_clusters_that_are_there(rvq):
    centres = 10 * torch.randn(SIZE, DIM, generator=torch.Generator().manual_seed(3))
    vectors = centres.repeat(40, 1) + 0.01 * torch.randn(40 * SIZE, DIM, generator=torch.Generator().manual_seed(4))
    quantiser.begin(rvq, vectors, torch.Generator().manual_seed(0))
    chosen = rvq.layers[0].encode(vectors.t()[None])[0]
    # A k-means may merge clusters, but every mean is where vectors are and most clusters are found.
    assert len(set(chosen.tolist())) >= SIZE // 2
    book = rvq.layers[0].codebook
    used = book.cluster_size > 0
    torch.testing.assert_close(book.embed[used], (book.embed_avg / book.cluster_size[:, None])[used])
    assert float(book.cluster_size.sum()) == len(vectors)


def test_fewer_vectors_than_codewords_give_codewords_that_differ(rvq):
    quantiser.begin(rvq, torch.randn(5, DIM, generator=torch.Generator().manual_seed(0)), torch.Generator())
    assert all(bool(torch.isfinite(layer.codebook.embed).all()) for layer in rvq.layers)
    assert len(torch.unique(rvq.layers[0].codebook.embed, dim=0)) > 5


def test_codes_and_sums_are_those_of_the_model_itself(rvq):
    data = latents()
    begun(rvq, data)
    quantised, codes, _ = quantiser.quantise(rvq, data)
    theirs = rvq.encode(data)  # (codebooks, batch, frames)
    assert torch.equal(codes.reshape(theirs.shape), theirs)
    torch.testing.assert_close(quantised, rvq.decode(theirs), rtol=0, atol=1e-5)


def test_the_gradient_passes_straight_through(rvq):
    data = latents().requires_grad_()
    begun(rvq, data.detach())
    weights = torch.randn(data.shape, generator=torch.Generator().manual_seed(9))
    quantised, _, _ = quantiser.quantise(rvq, data)
    (quantised * weights).sum().backward()
    torch.testing.assert_close(data.grad, weights)


def test_commitment_is_the_mean_of_squared_residuals_over_the_power(rvq):
    data = latents()
    begun(rvq, data)
    _, codes, commitment = quantiser.quantise(rvq, data)
    residual, expected = data.transpose(1, 2).reshape(-1, DIM), 0.0
    for layer, chosen in zip(rvq.layers, codes, strict=True):
        residual = residual - layer.codebook.embed[chosen]
        expected += float(residual.square().mean()) / BOOKS
    assert float(commitment) == pytest.approx(expected / float(data.square().mean()), rel=1e-5)
    louder = torch.tensor(7.0)
    for layer in rvq.layers:
        layer.codebook.embed.mul_(louder)
    assert float(quantiser.quantise(rvq, louder * data)[2]) == pytest.approx(float(commitment), rel=1e-4)


def test_commitment_pulls_latents_towards_their_codewords(rvq):
    data = latents()
    begun(rvq, data)
    free = data.clone().requires_grad_()
    quantised, _, commitment = quantiser.quantise(rvq, free)
    commitment.backward()
    away = (data - quantised.detach()).flatten()
    assert float((free.grad.flatten() * away).sum()) > 0  # downhill is towards the codewords


def test_codewords_move_as_averages_computed_by_hand(rvq):
    first, data = latents(seed=1), latents(seed=2)
    begun(rvq, first)
    before = [
        (layer.codebook.cluster_size.clone(), layer.codebook.embed_avg.clone(), layer.codebook.embed.clone())
        for layer in rvq.layers
    ]
    _, codes, _ = quantiser.quantise(rvq, data)
    replaced = quantiser.update(rvq, data, codes, 0.9, torch.Generator())
    assert replaced == 0
    residual = data.transpose(1, 2).reshape(-1, DIM)
    for layer, chosen, (counts, sums, words) in zip(rvq.layers, codes, before, strict=True):
        for word in range(SIZE):
            mine = residual[chosen == word]
            count = 0.9 * float(counts[word]) + 0.1 * len(mine)
            total = 0.9 * sums[word] + 0.1 * mine.sum(0)
            torch.testing.assert_close(layer.codebook.embed[word], total / count, rtol=1e-4, atol=1e-5)
            assert float(layer.codebook.cluster_size[word]) == pytest.approx(count, rel=1e-5)
        residual = residual - words[chosen]


def test_codewords_that_nobody_chooses_are_replaced_by_vectors_of_the_data(rvq):
    data = latents()
    begun(rvq, data)
    book = rvq.layers[0].codebook
    book.embed[3] = 1e3
    book.embed_avg[3], book.cluster_size[3] = 0.0, 0.0
    _, codes, _ = quantiser.quantise(rvq, data)
    assert not bool((codes[0] == 3).any())
    assert quantiser.update(rvq, data, codes, 0.99, torch.Generator().manual_seed(0)) == 1
    distances = (data.transpose(1, 2).reshape(-1, DIM) - book.embed[3]).abs().sum(1)
    assert float(distances.min()) < 1e-6
    _, codes, _ = quantiser.quantise(rvq, data)
    assert bool((codes[0] == 3).any())
