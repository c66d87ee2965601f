"""Captions as the U-Net sees them: the states of a text encoder's tokens, and the embedding that stands for no caption.

The paper conditions on 768-dimensional embeddings of Flan-T5 (section III-B-1), which is the width of the encoder of
flan-t5-base. All token states go to the cross-attention, with a mask; a mean over tokens is an option.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, MT5EncoderModel, T5EncoderModel, UMT5EncoderModel

from asdbench import UserError
from asdbench.pretrained.hub import load_pretrained

Pooling = Literal["none", "mean"]

_ENCODERS = {"t5": T5EncoderModel, "mt5": MT5EncoderModel, "umt5": UMT5EncoderModel}
"""Encoder-decoder models whose encoder can be loaded alone."""
_VOLATILE = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache")
"""Entries of a configuration that change when a model is saved and loaded."""


@dataclass
class Embeddings:
    """Token states of a batch of captions.

    Attributes:
        states: float32, shape (B, L, D); what stands under a False of the mask is meaningless.
        mask: bool, shape (B, L); True = keep. Each row keeps one token at least.
    """

    states: torch.Tensor
    mask: torch.Tensor

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Embeddings:
        """Move both to a device; states in ``dtype`` where one is given."""
        return Embeddings(self.states.to(device=device, dtype=dtype), self.mask.to(device))


class TextEncoder:
    """A transformers encoder with its tokenizer.

    Attributes:
        model: gives ``last_hidden_state`` for ``input_ids`` and ``attention_mask``.
        tokenizer: the model's.
        dim: width D of the states.
        max_tokens: longest caption, end tokens included; a longer one is an error and not cut.
        pooling: "none" for all token states, "mean" for their mean as a single token.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int = 64, pooling: Pooling = "none") -> None:
        longest = getattr(model.config, "max_position_embeddings", None)
        if isinstance(longest, int) and max_tokens > min(longest, tokenizer.model_max_length):
            raise UserError(
                f"text_length: the text encoder takes {min(longest, tokenizer.model_max_length)} tokens at most, "
                f"{max_tokens} were asked for"
            )
        if getattr(model, "pooler", None) is not None:
            # The layer behind the token states that some BERT-like models have. It is not used, and random where the
            # checkpoint lacks it: it would give each loaded copy another identity.
            model.pooler = None
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.pooling = pooling
        self.dim = int(model.config.hidden_size)
        self._cache: dict[str, torch.Tensor] = {}

    @classmethod
    def load(
        cls,
        name: str = "google/flan-t5-base",
        max_tokens: int = 64,
        pooling: Pooling = "none",
        device: str | torch.device = "cpu",
    ) -> TextEncoder:
        """Load an encoder by hub id or from a folder; of T5 and its like only the encoder is loaded.

        Raises:
            UserError: it cannot be loaded, is no text encoder, or takes fewer than ``max_tokens``.
        """
        model = load_pretrained(_Encoder, name, setting="text_encoder", optional=("pooler.",))
        tokenizer = load_pretrained(AutoTokenizer, name, setting="text_encoder")
        if model.config.is_encoder_decoder and not isinstance(model, tuple(_ENCODERS.values())):
            model = model.get_encoder()
        encoder = cls(model.float().to(device).eval(), tokenizer, max_tokens, pooling)
        try:
            encoder.null()
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            kind = model.config.model_type
            raise UserError(
                f"text_encoder: '{name}' (model type '{kind}') gives no token states for a text, expected an encoder of"
                " texts such as google/flan-t5-base"
            ) from error
        return encoder

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    @property
    def identity(self) -> str:
        """Hash of configuration, weights, tokenizer, ``max_tokens`` and ``pooling``."""
        digest = hashlib.blake2b(self._without_weights(), digest_size=16)
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def architecture(self) -> str:
        """Hash of all that `identity` is of, but for the weights."""
        return hashlib.blake2b(self._without_weights(), digest_size=16).hexdigest()

    def _without_weights(self) -> bytes:
        config = {key: value for key, value in self.model.config.to_dict().items() if key not in _VOLATILE}
        what = [config, _tokenizer_text(self.tokenizer), self.max_tokens, self.pooling]
        return json.dumps(what, sort_keys=True, default=str).encode()

    def require_short(self, captions: Iterable[str]) -> None:
        """Refuse captions that `encode` would refuse.

        Raises:
            UserError: a caption is empty or longer than ``max_tokens``.
        """
        for caption in sorted(set(captions)):
            self._tokens(caption)

    def encode(self, captions: Sequence[str]) -> Embeddings:
        """Encode captions with the weights as they are; states of a caption are computed once and kept.

        Each new caption goes through the model by itself, so its states are the same to the last bit whatever stands
        beside it: a training that is resumed meets its captions in other company.

        Args:
            captions: B of them; each is padded to the longest of the batch.

        Returns:
            States on the device of the model, without gradients.

        Raises:
            UserError: a caption is empty or longer than ``max_tokens``.
        """
        tokens = {caption: self._tokens(caption) for caption in captions}
        for caption, row in tokens.items():
            if caption not in self._cache:
                self._cache[caption] = self._frozen(row).cpu()
        return _pad([self._cache[caption].to(self.device) for caption in captions])

    def encode_training(self, captions: Sequence[str]) -> Embeddings:
        """Encode captions with gradients, for training the encoder along with the U-Net (equation 3 of the paper).

        Nothing is kept, and what `encode` kept is dropped, since the weights are about to change. Dropout acts where
        the model is in training mode.

        Raises:
            UserError: as `encode`.
        """
        self.clear_cache()
        states, mask = self._states([self._tokens(caption) for caption in captions])
        return self._pooled(states, mask)

    def null(self) -> torch.Tensor:
        """Encode the empty text: the embedding that stands for "no caption", in training and in sampling alike.

        Returns:
            States of its own tokens, shape (L0, D): one end token of T5, two of BERT; one with pooling.

        Raises:
            UserError: the tokenizer gives an empty text no token at all.
        """
        tokens = list(self.tokenizer("")["input_ids"])
        if not tokens:
            raise UserError("text_encoder: its tokenizer gives an empty text no token, expected an end token as of T5")
        return self._frozen(tokens)

    def clear_cache(self) -> None:
        """Forget the states of all captions; needed when the weights were changed from outside."""
        self._cache.clear()

    def _tokens(self, caption: str) -> list[int]:
        if not caption.strip():
            raise UserError("empty caption: expected a text that describes the sound")
        tokens = list(self.tokenizer(caption, verbose=False)["input_ids"])
        if len(tokens) > self.max_tokens:
            raise UserError(
                f"the caption '{caption[:60]}{'…' if len(caption) > 60 else ''}' has {len(tokens)} tokens, but "
                f"text_length is {self.max_tokens}; shorten it or raise text_length"
            )
        return tokens

    def _frozen(self, tokens: Sequence[int]) -> torch.Tensor:
        """States of one row of tokens, shape (L, D), computed without dropout and gradients."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                return self._pooled(*self._states([tokens])).states[0]
        finally:
            self.model.train(was_training)

    def _states(self, tokens: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the model on rows of token ids, padded here so that the tokenizer's own settings do not matter."""
        mask = torch.zeros(len(tokens), max(map(len, tokens)), dtype=torch.bool)
        ids = torch.full(mask.shape, self.tokenizer.pad_token_id or 0, dtype=torch.long)
        for index, row in enumerate(tokens):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = True
        ids, mask = ids.to(self.device), mask.to(self.device)
        output = self.model(input_ids=ids, attention_mask=mask.long())
        return output.last_hidden_state.float(), mask

    def _pooled(self, states: torch.Tensor, mask: torch.Tensor) -> Embeddings:
        if self.pooling == "none":
            return Embeddings(states, mask)
        kept = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True)
        return Embeddings(mean, torch.ones_like(mask[:, :1]))


def with_null(embeddings: Embeddings, null: torch.Tensor, drop: torch.Tensor) -> Embeddings:
    """Put the null embedding and its mask in place of some captions, as classifier-free guidance asks for.

    The embedding has to be replaced. A mask without a True does not hide a caption: it lowers the attention to each
    token by the same amount, which the softmax takes out again.

    Args:
        embeddings: of B captions.
        null: `TextEncoder.null`, shape (L0, D).
        drop: bool, shape (B,); True for the captions to be replaced.

    Returns:
        Embeddings of length max(L, L0) where any row is replaced, else the same.
    """
    drop = drop.to(embeddings.mask.device)
    if not bool(drop.any()):
        return embeddings
    length = max(embeddings.states.shape[1], len(null))
    none = _pad([null.to(embeddings.states)], length)
    more = length - embeddings.states.shape[1]
    states = torch.nn.functional.pad(embeddings.states, (0, 0, 0, more))
    mask = torch.nn.functional.pad(embeddings.mask, (0, more))
    return Embeddings(
        torch.where(drop[:, None, None], none.states, states), torch.where(drop[:, None], none.mask, mask)
    )


def _pad(rows: Sequence[torch.Tensor], length: int | None = None) -> Embeddings:
    """Join rows of states, each (L, D), padded with zeros to the longest or to ``length``."""
    length = max(len(row) for row in rows) if length is None else length
    states = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, length - len(row))) for row in rows])
    counts = torch.tensor([len(row) for row in rows], device=states.device)
    return Embeddings(states, torch.arange(length, device=states.device)[None] < counts[:, None])


def _tokenizer_text(tokenizer: Any) -> str:
    """What a tokenizer does, as text; not how it last padded or cut, which it remembers."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, tokenizer.get_vocab()], sort_keys=True)
    state = json.loads(backend.to_str())
    return json.dumps({key: value for key, value in state.items() if key not in ("padding", "truncation")})


class _Encoder:
    """Picks the class by the configuration, as transformers' auto classes do."""

    @classmethod
    def from_pretrained(cls, source: str, **kwargs: Any) -> Any:
        config = AutoConfig.from_pretrained(
            source, local_files_only=kwargs.get("local_files_only", False), trust_remote_code=False
        )
        kind: Any = _ENCODERS.get(config.model_type, AutoModel)
        return kind.from_pretrained(source, **kwargs)
