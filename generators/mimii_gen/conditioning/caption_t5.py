"""Captions written by a T5 model from metadata, as in the paper (section IV-B-1), which feeds them to T5-large.

The paper gives no prompt. T5 was trained on tasks that a prefix names (C. Raffel et al., "Exploring the limits of
transfer learning with a unified text-to-text transformer", JMLR 21, 2020, appendix D). Of those "summarize: " is the
only one that asks for free text about a text in the same language, so it is the default here. A model that follows
instructions, such as Flan-T5, can be given another.

A language model may leave things out; `captions.omitted` lists what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from asdbench import UserError
from asdbench.pretrained.hub import load_pretrained

from ...shared.captions import Description

PROMPT = "summarize: {metadata}"
"""``{metadata}`` stands for `Description.metadata_text`."""


class CaptionWriter:
    """Metadata to captions by deterministic beam search.

    Attributes:
        model: a sequence-to-sequence model with a tokenizer.
        prompt: the text the model gets, with ``{metadata}`` in it.
        batch_size: descriptions at a time; of no influence on the captions.
    """

    def __init__(
        self, name: str = "t5-large", device: str | torch.device = "cpu", prompt: str = PROMPT, batch_size: int = 16
    ) -> None:
        """Load the model by hub id or from a folder.

        Raises:
            UserError: it cannot be loaded, or the prompt has no place for the metadata.
        """
        if "{metadata}" not in prompt:
            raise UserError(f"caption_prompt: '{prompt}' has no '{{metadata}}', expected that where the metadata go")
        self.name = name
        self.prompt = prompt
        self.batch_size = batch_size
        self.model: Any = load_pretrained(AutoModelForSeq2SeqLM, name, setting="caption_model").to(device).eval()
        self.tokenizer: Any = load_pretrained(AutoTokenizer, name, setting="caption_model")
        config = self.model.config
        # Spelled out: a checkpoint's own generation settings may ask for sampling or for another length.
        settings: Any = GenerationConfig  # transformers has no types for it
        self._generation = settings(
            num_beams=4,
            do_sample=False,
            max_new_tokens=64,
            min_new_tokens=0,
            no_repeat_ngram_size=3,
            length_penalty=1.0,
            repetition_penalty=1.0,
            early_stopping=False,
            decoder_start_token_id=config.decoder_start_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )
        self.model.generation_config = self._generation

    def write(self, descriptions: Sequence[Description]) -> list[str]:
        """Write a caption for each description; equal metadata are written once and get equal captions.

        Raises:
            UserError: the model writes nothing for a description.
        """
        texts = [description.metadata_text() for description in descriptions]
        wanted = sorted(set(texts))
        captions: dict[str, str] = {}
        for start in range(0, len(wanted), self.batch_size):
            part = wanted[start : start + self.batch_size]
            captions.update(zip(part, self._write(part), strict=True))
        return [captions[text] for text in texts]

    def _write(self, texts: Sequence[str]) -> list[str]:
        prompts = [self.prompt.replace("{metadata}", text) for text in texts]
        inputs = self.tokenizer(prompts, padding=True, truncation=False, return_tensors="pt").to(self.model.device)
        with torch.no_grad():
            tokens = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                generation_config=self._generation,
            )
        captions = [" ".join(text.split()) for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]
        for text, caption in zip(texts, captions, strict=True):
            if not caption:
                raise UserError(
                    f"caption_model: '{self.name}' writes an empty caption for '{text}'; take another model or set "
                    "'captions: template'"
                )
        return captions
