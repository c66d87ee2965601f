"""Small models in the formats of the hub's: an EnCodec and a T5 with its tokenizer, both made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = [
    "a recording of a normal fan, valve, bearing, gearbox or slider of model X in operation at voltage 6",
    "the anomalous sound of a machine with a fault: unbalance, clogging, severe, slight, moderate, wear",
]


def _wake(decoder: Any, latents: Any) -> None:
    """Scale random convolutions to outputs of deviation 1 (0.1 at the end): else latents die out on their way."""
    from transformers.models.encodec.modeling_encodec import EncodecConv1d, EncodecConvTranspose1d

    layers = [layer for layer in decoder.modules() if isinstance(layer, EncodecConv1d | EncodecConvTranspose1d)]
    for layer in layers:
        outputs: list[Any] = []
        handle = layer.register_forward_hook(lambda _, __, output, outputs=outputs: outputs.append(output))
        decoder(latents)
        handle.remove()
        layer.conv.parametrizations.weight.original0 *= (0.1 if layer is layers[-1] else 1.0) / outputs[0].std()
        layer.conv.bias.zero_()


@pytest.fixture(scope="session")
def tiny_codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small EncodecModel at 16 kHz, 50 frames a second; at 9.6 kbps 32 codebooks of 64 vectors of 128 values."""
    import torch
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16000,
        target_bandwidths=[2.4, 9.6],
        num_filters=4,
        upsampling_ratios=[8, 5, 4, 2],
        codebook_size=64,
        hidden_size=128,
        num_lstm_layers=1,
    )
    model = EncodecModel(config).eval()
    with torch.no_grad():
        for index, layer in enumerate(model.quantizer.layers):  # a new EncodecModel has codebooks of zeros
            layer.codebook.embed.normal_(0.0, 0.1 * 0.8**index)
        codes = model.encode(0.1 * torch.randn(1, 1, 16000), bandwidth=9.6).audio_codes[0]
        _wake(model.decoder, model.quantizer.decode(codes.transpose(0, 1)))
    folder = tmp_path_factory.mktemp("codec")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small T5, encoder and decoder, 32-dimensional, with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder = tmp_path_factory.mktemp("t5")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer.get_vocab()),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )
    T5ForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder
