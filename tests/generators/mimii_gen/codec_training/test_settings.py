from __future__ import annotations

import math

import pytest

from asdbench import UserError
from asdbench.generators.mimii_gen.codec_training.part import CodecPart
from asdbench.generators.mimii_gen.codec_training.settings import PRESETS, CodecSettings


@pytest.mark.parametrize(("preset", "rate", "hop", "frames"), [("16k", 16000, 128, 125), ("24k", 24000, 320, 75)])
def test_presets_have_the_rates_of_the_two_codecs(preset, rate, hop, frames):
    settings = CodecPart(preset=preset).resolved()
    assert (settings.sample_rate, settings.hop_length) == (rate, hop)
    assert rate / hop == frames
    assert settings.segment_samples == rate // hop * hop
    assert settings.bandwidth == 128 * 6 * frames / 1000


def test_what_is_given_goes_before_the_preset():
    settings = CodecPart(preset="16k", filters=40, causal=True, start="random").resolved()
    assert (settings.filters, settings.causal, settings.start) == (40, True, "random")
    assert settings.ratios == PRESETS["16k"]["ratios"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codebook_size": 48}, "codebook_size is 48, expected a power of 2"),
        ({"ratios": ()}, "ratios is"),
        ({"ratios": (1, 128)}, "ratios is"),
        ({"ratios": (128, 128), "start": "random"}, "at most the sample rate, 16000"),
        ({"seconds": 0.05}, "seconds is 0.05, expected at least 0.064 s"),
        ({"causal": True}, "causal must be false"),
        ({"filters": 31}, "at least 32 filters"),
        ({"ratios": (8, 5, 4, 2)}, "ratios with a product of 128"),
        (dict.fromkeys(("waveform_weight", "mel_weight", "adversarial_weight", "feature_weight"), 0.0), "mel_weight"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, sentence):
    with pytest.raises(UserError, match=sentence.replace("(", r"\(")):
        CodecSettings(**change)


def test_the_learning_rate_rises_then_falls_to_nothing():
    settings = CodecSettings(steps=1000, warmup_steps=10)
    rates = [settings.learning_rate_at(step, 2.0) for step in range(1001)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(2.0, rel=1e-3)
    assert rates[500] == pytest.approx(1.0)
    assert rates[1000] == pytest.approx(0.0, abs=1e-12)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert math.isclose(rates[250], 1 + math.cos(math.pi / 4))


def test_only_how_often_is_looked_may_change_when_a_training_goes_on():
    fixed = CodecSettings().fixed()
    assert fixed == CodecSettings(save_every=7, log_every=3).fixed()
    assert fixed != CodecSettings(steps=7).fixed()
