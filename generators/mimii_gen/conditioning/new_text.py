"""A small text encoder of one's own: a T5 encoder without training, whose words are those of the captions.

It is trained with the U-Net (eq. 3 of the paper). With some thousand clips and ten wordings that is enough: the
captions have a few hundred different words.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from .text import Pooling, TextEncoder

NAME = "new"
"""The setting ``text_encoder`` for an encoder that is built from the captions."""
WIDTH = 128
"""Width of its token states."""
_WORD = r"\w+(?:[.+-]\w+)*|[^\w\s]"
_SPECIAL = ("<pad>", "</s>", "<unk>")


def new_text_encoder(captions: Iterable[str], max_tokens: int, pooling: Pooling, seed: int) -> TextEncoder:
    """Build an untrained text encoder.

    Args:
        captions: whose words it knows; others are all the same unknown word.
        max_tokens: longest caption in tokens.
        pooling: see `TextEncoder`.
        seed: the weights depend on it and on the number of words; torch's global random state is left as it was.
    """
    split = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    words = {word for caption in set(captions) for word, _ in split.pre_tokenize_str(caption.lower())}
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    config = T5Config(
        vocab_size=len(vocabulary), d_model=WIDTH, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5EncoderModel(config)
    return TextEncoder(model.float().eval(), wrapped, max_tokens, pooling)
