"""Fixtures: small data sets in DCASE layout, specs on them, the command line, made-up score tables, small models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
import yaml

# Before torch or numpy start their threads: two on a busy machine are slower than one.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Where the tests are started in the background Ctrl-C is ignored, and processes that they start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from asdbench import audio  # noqa: E402
from asdbench.seeding import derive_rng  # noqa: E402

# No time limit on an example (machines are shared), and the same examples everywhere.
hypothesis.settings.register_profile("asdbench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("asdbench")

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings beside the project, where there are any."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real recordings at {SHARED_DATA}")
    return SHARED_DATA


def _write_machine(
    root: Path,
    machine: str,
    train: int = 8,
    normal: int = 6,
    anomaly: int = 6,
    domains: tuple[str, ...] = ("source", "target"),
    seconds: float = 0.5,
) -> None:
    for split, condition, count in (
        ("train", "normal", train),
        ("test", "normal", normal),
        ("test", "anomaly", anomaly),
    ):
        folder = root / machine / split
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            domain = domains[index % len(domains)]
            rng = derive_rng("clip", machine, split, condition, index)
            time = np.arange(int(seconds * 16000)) / 16000
            wave = 0.05 * rng.standard_normal(len(time)) + 0.1 * np.sin(2 * np.pi * 200 * time)
            if condition == "anomaly":
                wave += 0.03 * np.sin(2 * np.pi * 3000 * time)
            name = f"section_00_{domain}_{split}_{condition}_{index:04d}_vel_{index % 3}.wav"
            audio.write(folder / name, wave, 16000)


@pytest.fixture(scope="session")
def write_machine() -> Callable[..., None]:
    """Write short clips of a machine under a root, in DCASE layout."""
    return _write_machine


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Two machines, 20 short clips each."""
    root = tmp_path / "data"
    for machine in ("fan", "pump"):
        _write_machine(root, machine)
    return root


@pytest.fixture
def spec_data(data_root: Path) -> dict[str, Any]:
    """A small spec on `data_root`: two machines, one detector, two generators, one seed."""
    return {
        "name": "small",
        "dataset": {"use": "dcase", "root": str(data_root)},
        "seeds": [0],
        "detectors": {"knn": {"use": "logmel_knn"}},
        "generators": {"effects": {"use": "effects"}, "real_holdout": {"use": "real_holdout"}},
        "statistics": {"resamples": 200},
    }


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a spec, given as a mapping or as text, to a file."""

    def write(data: Any, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
        return path

    return write


@pytest.fixture
def asdbench_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, in `tmp_path`."""

    def command(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "asdbench.cli", *map(str, words)]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600, **options)

    return command


@pytest.fixture
def refusal(asdbench_command: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one sentence, no traceback; return the sentence."""

    def refused(*words: object, **options: Any) -> str:
        done = asdbench_command(*words, **options)
        assert done.returncode == 2, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("asdbench: error: ")]
        assert len(errors) == 1, done.stderr
        return errors[0].removeprefix("asdbench: error: ")

    return refused


LEARNER = '''
import json
from pathlib import Path

import numpy as np
import pandas as pd

from asdbench import GeneratedClip, Generator, UserError, generator, setting


@generator("learner")
class Learner(Generator):
    """Noise at the level of the clips that it has learnt from."""

    learns = True
    controls = {"codec": {"loudness": 0.5}}

    checkpoint: str | None = setting(None, description="a model")
    steps: int = setting(3, description="steps of the training")
    loudness: float = setting(1.0, sampling=True, description="factor on the level")
    forgets: bool = setting(False, description="does not say what it has learnt from")

    def inputs(self):
        return {} if self.checkpoint is None else {"checkpoint": (Path(self.checkpoint) / "model.json").read_text()}

    def needs_training(self):
        return self.checkpoint is None

    def train(self, training):
        done = sorted(training.work.glob("step-*"))
        for step in range(len(done), self.steps):
            if (training.work.parent / "stop").exists() or Path("stop").exists():
                raise UserError(f"stopped at step {step}")
            (training.work / f"step-{step}").touch()
            training.progress(step + 1, self.steps, "loss 1.0")
        level = float(np.mean([np.std(wave) for wave in training.clips.waveforms()]))
        columns = ["clip_id", "machine", "section", "domain", "condition", "attributes", "content_hash"]
        clips = training.clips.frame[columns].to_dict("records")
        model = {"level": level, "clips": clips, "resumed_at": len(done), "seed": self.seed}
        (training.out / "model.json").write_text(json.dumps(model))

    def learnt_from(self, model):
        return None if self.forgets else pd.DataFrame(self._model(model)["clips"])

    def generate(self, request):
        level = self.loudness * self._model(request.model)["level"]
        for row in request.rows.itertuples():
            wave = level * self.rng(row.clip_id).standard_normal(8000)
            yield GeneratedClip(wave, {"level": level, "caption": row.caption if "caption" in request.rows else ""})

    def _model(self, folder):
        return json.loads((Path(folder or self.checkpoint) / "model.json").read_text())
'''


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    """Plugin file of a generator that learns, and stops where a file ``stop`` stands."""
    path = tmp_path / "learner.py"
    path.write_text(LEARNER)
    return path


TEST_SETS = {"original": {"normal": "real", "anomaly": "real"}, "generated": {"normal": "real", "anomaly": "generated"}}

MakeScores = Callable[..., pd.DataFrame]


def _make_scores(
    machines: Sequence[str] = ("fan", "slider", "valve"),
    detectors: Sequence[str] = ("ae", "knn"),
    generators: Sequence[str] = ("effects",),
    seeds: Sequence[int] = (0, 1, 2),
    sections: Sequence[str] = ("00",),
    clips: int = 20,
    training: int = 30,
    shift: float = 1.0,
) -> pd.DataFrame:
    """A clip's score is its own quality plus noise of detector and seed; each seed has its own generated clips."""
    rng = np.random.default_rng(0)
    quality: dict[str, float] = {}
    rows = []

    def add(machine: str, detector: str, seed: int, source: str, split: str, condition: str, number: int) -> None:
        generation_seed = -1 if source == "real" else seed
        for clip in range(number):
            clip_id = f"{machine}/{source}/{generation_seed}/{split}_{condition}_{clip:04d}.wav"
            own = quality.setdefault(clip_id, rng.normal() + shift * (condition == "anomaly"))
            rows.append(
                {
                    "seed": seed,
                    "generation_seed": generation_seed,
                    "machine": machine,
                    "section": sections[clip % len(sections)],
                    "domain": ("source", "target")[clip // len(sections) % 2],
                    "detector": detector,
                    "source": source,
                    "split": split,
                    "condition": condition,
                    "clip_id": clip_id,
                    "content_hash": f"hash of {clip_id}",
                    "score": own + 0.2 * rng.normal(),
                }
            )

    for machine in machines:
        for detector in detectors:
            for seed in seeds:
                add(machine, detector, seed, "real", "train", "normal", training)
                add(machine, detector, seed, "real", "test", "normal", clips)
                add(machine, detector, seed, "real", "test", "anomaly", clips)
                for generator in generators:
                    add(machine, detector, seed, generator, "test", "anomaly", clips)
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def make_scores() -> MakeScores:
    return _make_scores


@pytest.fixture(scope="session")
def test_sets() -> dict[str, dict[str, str]]:
    return TEST_SETS


CAPTION_WORDS = [
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
    tokenizer.train_from_iterator(CAPTION_WORDS, trainer)
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


@pytest.fixture(scope="session")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small wav2vec 2.0 encoder: 16 values for each 80 samples."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_stride=(10, 8),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    folder = tmp_path_factory.mktemp("wav2vec2")
    Wav2Vec2Model(config).eval().save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
