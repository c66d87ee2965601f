"""Benchmark of the MIMII-Gen generator: latents, samplers, batches, a GPU, peak memory.

Not part of the test run. Models have their full sizes (EnCodec at 24 kHz, the encoder of flan-t5-base) and random
weights, clips are noise: neither changes times or memory. On a CPU everything is computed in one thread and timed in
seconds of the processor, which on an idle machine are those of the clock. Ratios are measured side by side, in turns,
and hold on busy machines where single times do not:

    python tests/perf/bench_mimii_gen.py                      # all of it, five minutes of an idle core
    python tests/perf/bench_mimii_gen.py samplers --rounds 5  # one part; --quick for a first look
    python tests/perf/bench_mimii_gen.py gpu --device cpu --preset smoke --quick  # the GPU's part, tried on a CPU
"""
# ruff: noqa: E402

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy and torch start their threads

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import EncodecConfig, EncodecModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from asdbench import ClipSet, Training
from asdbench.generators.mimii_gen.conditioning.text import TextEncoder
from asdbench.generators.mimii_gen.diffusion.backbone import PRESETS, build_backbone
from asdbench.generators.mimii_gen.diffusion.sampling import sampler_error
from asdbench.generators.mimii_gen.diffusion.schedule import NoiseSchedule, sampler
from asdbench.generators.mimii_gen.generator import MimiiGen
from asdbench.generators.mimii_gen.latents.cache import Codes, LatentCache
from asdbench.generators.mimii_gen.latents.codec import Codec
from asdbench.generators.mimii_gen.latents.space import LatentSpace
from asdbench.generators.mimii_gen.pipeline import MimiiGenPipeline
from asdbench.generators.mimii_gen.training.batches import Batches, caption_states
from asdbench.generators.mimii_gen.training.denoiser import Denoiser, Objective, average, ema_decay_at
from asdbench.generators.mimii_gen.training.examples import Draws, Example
from asdbench.generators.mimii_gen.training.loop import Parts, TrainingSettings, train
from asdbench.pretrained.hub import quiet

RATE, CODEC_RATE, SECONDS = 16000, 24000, 10
PARTS = ("latents", "samplers", "batches", "gpu", "memory")

# Quiet, middling and loud dimensions, each with means of 0 to 2, as in the tests of the samplers.
STD = torch.tensor([0.08, 0.4, 1.0]).repeat_interleave(4)
MEAN = torch.tensor([0.0, 0.5, -1.0, 2.0]).repeat(3)
QUIET, MIDDLE, LOUD = slice(0, 4), slice(4, 8), slice(8, 12)

MEMORY_LIMIT = 2e9
WITHIN_LIMIT = (16, 4)
"""Batch size and accumulation that keep a training of the preset tiny within the limit."""


# -- what is measured with


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def line(label: str, *values: str) -> None:
    print(f"  {label:<76}" + "".join(f"{value:<10}" for value in values).rstrip(), flush=True)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    work()
    return clock() - start


def in_turns(works: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Times of each of the works, one for each round, in which they take turns."""
    return [list(times) for times in zip(*([timed(work) for work in works] for _ in range(rounds)), strict=True)]


def ratio(slow: list[float], fast: list[float]) -> str:
    """Median of the ratios within rounds, and their range."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):.2f}{spread}"


@dataclass
class Stopwatch:
    """Adds up the time that is spent in functions."""

    seconds: float = 0.0

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.process_time() - start

        return watched


def peak_bytes() -> float:
    """Most memory that this process has held.

    On Linux the figure of `resource` begins with the size of the process that started this one, hence /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * float(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- what is measured on


@dataclass
class Materials:
    """Pretrained parts and clips, made in a folder when they are first asked for."""

    folder: Path
    _clips: dict[int, ClipSet] = field(default_factory=dict)

    @property
    def codec(self) -> str:
        """An EnCodec of the size of facebook/encodec_24khz."""
        path = self.folder / "codec"
        if not path.exists():
            torch.manual_seed(0)
            model = EncodecModel(EncodecConfig())
            for index, layer in enumerate(model.quantizer.layers):  # a new EncodecModel has codebooks of zeros
                layer.codebook.embed.normal_(0.0, 0.1 * 0.9**index)
            with quiet():
                model.save_pretrained(path)
        return str(path)

    @property
    def text(self) -> str:
        """The encoder of google/flan-t5-base in size, with a tokenizer of its kind and vocabulary."""
        path = self.folder / "text"
        if not path.exists():
            torch.manual_seed(0)
            config = T5Config(
                vocab_size=32128,
                d_model=768,
                d_kv=64,
                d_ff=2048,
                num_layers=12,
                num_heads=12,
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
            )
            with quiet():
                T5EncoderModel(config).save_pretrained(path)
                tokenizer(32100).save_pretrained(path)
        return str(path)

    def clips(self, count: int) -> ClipSet:
        """Noise of 10 s, every other clip an anomaly."""
        if count not in self._clips:
            random = np.random.default_rng(0)
            rows: list[dict[str, Any]] = []
            for index in range(count):
                path = self.folder / f"{count}-{index}.wav"
                soundfile.write(path, 0.1 * random.standard_normal(SECONDS * RATE, dtype=np.float32), RATE)
                rows.append(
                    {"clip_id": path.name, "path": str(path), "machine": "fan", "section": "00", "domain": "source"}
                    | {"split": "train", "condition": ("normal", "anomaly")[index % 2], "attributes": {"vel": "6"}}
                )
            self._clips[count] = ClipSet.from_files(rows, RATE)
        return self._clips[count]

    def examples(self, clips: ClipSet) -> list[Example]:
        rows = clips.frame.to_dict("records")
        return [
            Example(row["content_hash"], row["clip_id"], row["machine"], row["condition"], CAPTIONS[row["condition"]])
            for row in rows
        ]

    def parts(self, preset: str, device: str = "cpu") -> Parts:
        codec = Codec.load(self.codec, 24.0, device)
        space = LatentSpace(codec.dim, 16, "none", (0.0,) * codec.dim, (1.0,) * codec.dim, codec.identity)
        text = TextEncoder.load(self.text, device=device)
        schedule = NoiseSchedule(prediction_type=PRESETS[preset].prediction_type)
        return Parts(build_backbone(preset, space.channels, text.dim), schedule, text, codec, space)

    def pipeline(self, preset: str, device: str = "cpu") -> MimiiGenPipeline:
        parts = self.parts(preset, device)
        pipeline = MimiiGenPipeline(
            unet=parts.unet.eval(),
            scheduler=parts.schedule.scheduler(),
            text_encoder=parts.text_encoder.model,
            tokenizer=parts.text_encoder.tokenizer,
            codec=parts.codec.model,
            latent_space=parts.space.to_dict(),
            null_embedding=parts.text_encoder.null().tolist(),
            bandwidth=parts.codec.bandwidth,
        )
        return pipeline.to(device)


CAPTIONS = {
    "normal": "A recording of a fan in normal operation at velocity 6.",
    "anomaly": "An anomalous sound of a fan at velocity 6.",
}


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A unigram tokenizer with made-up pieces, of a size such as T5's."""
    random = np.random.default_rng(0)
    pieces = dict.fromkeys(["▁", *map(chr, range(33, 127))], -10.0)
    while len(pieces) < vocabulary - 3:
        letters = "".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), size=random.integers(2, 9)))
        pieces.setdefault(str(random.choice(["", "▁"])) + letters, -12.0)
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    fast = Tokenizer(models.Unigram([*special, *pieces.items()], unk_id=2))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


# -- 1. codes from the cache against the codec in every step


class OnTheFly(LatentCache):
    """Encodes a clip every time its codes are asked for."""

    def of(self, clips: ClipSet) -> OnTheFly:
        self._rows = {content: row for row, content in enumerate(clips.frame["content_hash"])}
        self._clips = clips
        return self

    def codes(self, content_hash: str) -> Codes:
        waveform = self.codec.resample(self._clips.waveform(self._rows[content_hash]), RATE)
        return self.codec.encode(torch.from_numpy(waveform)[None])[0].numpy().astype(np.uint16)


class Steps:
    """Training steps one after the other, made of the parts of the training loop, without its thread for batches."""

    def __init__(self, parts: Parts, examples: list[Example], cache: LatentCache, batch_size: int) -> None:
        self.batch_size, self.step, self.watch = batch_size, 0, Stopwatch()
        cache.codes = self.watch(cache.codes)
        codec = Codec(parts.codec.model, parts.codec.bandwidth)
        codec.latents = self.watch(codec.latents)
        self.batches = Batches(
            examples,
            Draws(examples, "none", 0),
            cache,
            parts.space,
            num_frames=codec.num_frames(SECONDS * CODEC_RATE),
            num_timesteps=parts.schedule.steps,
            batch_size=batch_size,
            caption_dropout=0.1,
            captions=caption_states(parts.text_encoder, [example.caption for example in examples]),
            seed=0,
        )
        self.objective = Objective(codec, parts.space, parts.schedule.scheduler(), torch.device("cpu"))
        self.network = Denoiser(parts.unet.train(), None, parts.text_encoder.null(), learned=False)
        self.averaged = self.network.clone()
        self.weights = list(self.network.unet.parameters())
        self.adamw = torch.optim.AdamW(self.weights, lr=1e-4)

    def __call__(self) -> None:
        batch = self.batches.make(self.step, range(self.batch_size))
        self.objective.errors(self.network, batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.adamw.step()
        self.adamw.zero_grad()
        average(self.averaged, self.network, ema_decay_at(self.step, 0.9999))
        self.step += 1


def latents(materials: Materials, rounds: int, quick: bool) -> None:
    size = 2 if quick else 8
    title(f"Latents: a training step on {size} clips of {SECONDS} s, preset tiny, EnCodec at 24 kbps")
    clips = materials.clips(size)
    examples = materials.examples(clips)
    parts = materials.parts("tiny")
    cache = LatentCache(materials.folder / "codes", parts.codec)
    once = timed(lambda: cache.add(clips))
    line("encoding the clips into the cache, once, s a clip", f"{once / size:.2f}")
    encoding = Steps(
        materials.parts("tiny"), examples, OnTheFly(materials.folder / "codes", parts.codec).of(clips), size
    )
    cached = Steps(parts, examples, cache, size)
    for warm_up in (cached, encoding):
        warm_up()
        warm_up.watch.seconds = 0.0
    slow, fast = in_turns([encoding, cached], rounds)
    for name, steps, times in (("encoded in the step", encoding, slow), ("codes from the cache", cached, fast)):
        line(f"{name}: steps a second", f"{1 / statistics.median(times):.3f}")
        line(f"{name}: share of the step spent on latents, %", f"{100 * steps.watch.seconds / sum(times):.1f}")
    line("ratio of training throughput, cache to encoding", ratio(slow, fast))


# -- 2. few steps of DPM-Solver++ against all steps of DDPM


def samplers(materials: Materials, rounds: int, quick: bool) -> None:
    title("Samplers: errors with a perfect network on Gaussian data")
    schedule = NoiseSchedule(prediction_type=PRESETS["smoke"].prediction_type)

    def error(name: str, steps: int) -> Any:
        return sampler_error(sampler(name, schedule.scheduler()), steps, MEAN, STD, 4096 if quick else 16384)

    def levels(found: Any) -> list[float]:
        """Mean over the dimensions of a level, which differ in their means only."""
        return [float(found.std[level].mean()) for level in (QUIET, MIDDLE, LOUD)]

    def worst(found: Any) -> float:
        return max(abs(level - 1) for level in levels(found))

    reference = error("ddpm", 1000)
    fewest = next(steps for steps in range(2, 1000) if worst(error("dpm++", steps)) <= worst(reference))
    line("standard deviation over that of the data; largest error of a mean", "quiet", "middling", "loud", "mean")
    for name, steps in (("dpm++", 25), ("dpm++", fewest), ("ddpm", 1000), ("ddpm", 25)):
        found = reference if steps == 1000 else error(name, steps)
        line(f"{name}, {steps} steps", *(f"{level:.3f}" for level in levels(found)), f"{found.mean.abs().max():.3f}")
    all_steps, clip = (100, "0.5 s") if quick else (1000, "1 s")
    title(f"Samplers: time for a clip of {clip}, preset smoke, guidance, without decoding")
    pipeline = materials.pipeline("smoke")

    def sample(name: str, steps: int) -> object:
        return pipeline(
            [CAPTIONS["anomaly"]],
            seeds=[0],
            num_samples=CODEC_RATE // (2 if quick else 1),
            num_inference_steps=steps,
            sampler=name,
            batch_size=1,
            output_type="latent",
        )

    sample("dpm++", 25)
    few, fewer, many = in_turns(
        [partial(sample, "dpm++", 25), partial(sample, "dpm++", fewest), partial(sample, "ddpm", all_steps)],
        max(1, rounds - 1),
    )
    line("dpm++, 25 steps, s", f"{statistics.median(few):.2f}")
    line(f"dpm++, {fewest} steps, s", f"{statistics.median(fewer):.2f}")
    line(f"ddpm, {all_steps} steps, s", f"{statistics.median(many):.2f}")
    line(f"ratio of time, ddpm with {all_steps} steps to dpm++ with 25", ratio(many, few))
    line(f"ratio of time, ddpm with {all_steps} steps to dpm++ with {fewest}, as exact in std", ratio(many, fewer))


# -- 3. eight clips at once against one after the other


def batches(materials: Materials, rounds: int, quick: bool) -> None:
    title("Batches: 8 clips, 25 steps of dpm++, preset tiny, guidance, without decoding")
    pipeline = materials.pipeline("tiny")

    def sample(seconds: int, batch_size: int, steps: int = 25) -> object:
        return pipeline(
            [CAPTIONS["anomaly"]] * 8,
            seeds=range(8),
            num_samples=seconds * CODEC_RATE,
            num_inference_steps=steps,
            batch_size=batch_size,
            output_type="latent",
        )

    for seconds, times in ((1, rounds),) if quick else ((1, rounds), (SECONDS, max(1, rounds // 2))):
        sample(seconds, 8, steps=1)
        single, together = in_turns([partial(sample, seconds, 1), partial(sample, seconds, 8)], times)
        line(f"clips of {seconds} s, 8 x batch 1, s", f"{statistics.median(single):.2f}")
        line(f"clips of {seconds} s, batch 8, s", f"{statistics.median(together):.2f}")
        line(f"clips of {seconds} s, ratio of 8 x batch 1 to batch 8", ratio(single, together))


# -- 4. on a GPU


class EnoughError(Exception):
    """Ends a training before it writes its last checkpoint."""


@dataclass
class Clock:
    """The progress of a training: when which step was done. Ends the training at its last step.

    Attributes:
        now: tells the time.
        ends: False to let the training go on to its model.
        done: steps done and the time, in the order they were reported.
        peak: peak of the memory at the last step.
    """

    now: Callable[[], float] = time.process_time
    ends: bool = True
    done: list[tuple[int, float]] = field(default_factory=list)
    peak: float = 0.0

    def __call__(self, done: int, total: int, note: str) -> None:
        if not note.startswith("loss"):
            return
        self.done.append((done, self.now()))
        self.peak = peak_bytes()
        if done == total and self.ends:
            raise EnoughError

    def seconds_a_step(self, begin: int, end: int) -> float:
        """Between two steps, as far as they were reported."""
        inside = [(step, at) for step, at in self.done if begin <= step <= end]
        (first, start), (last, stop) = inside[0], inside[-1]
        return (stop - start) / (last - first)


def gpu(materials: Materials, rounds: int, quick: bool, device: str, preset: str) -> None:
    title(f"GPU: preset {preset}, clips of {SECONDS} s")
    kind = torch.device(device).type
    if kind == "cuda" and not torch.cuda.is_available():
        line("skipped", "there is no CUDA GPU here")
        return
    precision = "bf16" if kind == "cuda" else "float32"
    line(torch.cuda.get_device_name(device) if kind == "cuda" else device, precision)
    gpu_sampling(materials, rounds, quick, device, preset)
    torch._dynamo.reset()
    if kind == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    gpu_training(materials, quick, device, preset)
    if kind == "cuda":
        line("peak memory of the GPU in training, GB", f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f}")


def gpu_sampling(materials: Materials, rounds: int, quick: bool, device: str, preset: str) -> None:
    size, steps = (2, 2) if quick else (8, 25)
    pipeline = materials.pipeline(preset, device)
    if torch.device(device).type == "cuda":
        with quiet():
            pipeline.unet.to(torch.bfloat16)

    def sample() -> object:
        return pipeline(
            [CAPTIONS["anomaly"]] * size,
            seeds=range(size),
            num_samples=SECONDS * CODEC_RATE,
            num_inference_steps=steps,
            batch_size=size,
        )

    speeds = []
    for name in ("without torch.compile", "with torch.compile"):
        if name.startswith("with "):
            pipeline.compile_unet()
        first = timed(sample, time.perf_counter)  # warms up: kernels are chosen, or compiled
        speeds.append([timed(sample, time.perf_counter) / size for _ in range(rounds)])
        line(f"sampling, {steps} steps, batch {size}, decoded, {name}: first batch, s", f"{first:.1f}")
        line(
            f"sampling, {steps} steps, batch {size}, decoded, {name}: clips a second",
            f"{1 / statistics.median(speeds[-1]):.2f}",
        )
    line("ratio of clips a second, with torch.compile to without", ratio(*speeds))


def gpu_training(materials: Materials, quick: bool, device: str, preset: str) -> None:
    total = 4 if quick else 60
    settings = TrainingSettings(
        steps=total,
        batch_size=2 if quick else 16,
        mixed_precision="bf16" if torch.device(device).type == "cuda" else "no",
        validation_share=0.0,
        save_every=10**9,
    )
    clips = materials.clips(2 if quick else 8)
    parts = materials.parts(preset, device)
    cache = LatentCache(materials.folder / "codes-gpu", parts.codec)
    cache.add(clips)
    clock = Clock(time.perf_counter)
    with contextlib.suppress(EnoughError):
        train(
            parts,
            materials.examples(clips),
            cache,
            parts.codec.num_frames(SECONDS * CODEC_RATE),
            settings,
            materials.folder / "work-gpu",
            seed=0,
            device=device,
            progress=clock,
        )
    speed = 1 / clock.seconds_a_step(total // 4, total)
    line(f"training, batch {settings.batch_size}: steps a second", f"{speed:.2f}")


# -- 5. peak memory of a training


def memory(materials: Materials, quick: bool) -> None:
    title(
        f"Memory: peak of a training on the CPU from clips and pretrained parts on, preset tiny, clips of {SECONDS} s"
    )
    line(f"GB, {MEMORY_LIMIT / 1e9:.0f} at most; s a step", "GB", "", "s")
    folders = json.dumps([materials.codec, materials.text, str(materials.folder)])
    for size, accumulation in (WITHIN_LIMIT,) if quick else ((8, 1), (8, 2), (16, 1), WITHIN_LIMIT):
        whole = (size, accumulation) == WITHIN_LIMIT and not quick
        words = [folders, str(size), str(accumulation), str(int(whole))]
        done = subprocess.run([sys.executable, __file__, "--learn", *words], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        label = f"batch_size {size}, accumulation {accumulation}"
        line(label, *fits(found["steps"]), f"{found['seconds']:.1f}")
        if whole:
            line(f"{label}, to the end: the model sampled from and saved", *fits(found["end"]))


def fits(peak: float) -> tuple[str, str]:
    return f"{peak / 1e9:.2f}", "fits" if peak <= MEMORY_LIMIT else "too much"


def learn(folders: str, size: str, accumulation: str, whole: str) -> None:
    """In a process of its own: train as a user does and report the peak of the memory."""
    codec, text, folder = json.loads(folders)
    clips = Materials(Path(folder)).clips(4)
    generator = MimiiGen(
        codec=codec,
        text_encoder=text,
        preset="tiny",
        steps=3,
        batch_size=int(size),
        accumulation=int(accumulation),
        device="cpu",
    )
    clock = Clock(ends=whole == "0")
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / each for each in ("out", "work", "cache")]
        for place in places:
            place.mkdir()
        with contextlib.suppress(EnoughError):
            generator.train(Training(clips, *places, progress=clock))
    print(json.dumps({"steps": clock.peak, "end": peak_bytes(), "seconds": clock.seconds_a_step(1, 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all without a word")
    parser.add_argument("--quick", action="store_true", help="less of everything: do the parts run?")
    parser.add_argument("--rounds", type=int, help="how often two things are compared (3; with --quick 1)")
    parser.add_argument("--device", default="cuda", help="of the part gpu")
    parser.add_argument("--preset", default="base", choices=PRESETS, help="of the part gpu")
    parser.add_argument("--learn", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.learn:
        learn(*options.learn)
        return
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}, expected {', '.join(PARTS)}")
    quick, rounds = options.quick, options.rounds or (1 if options.quick else 3)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        materials = Materials(Path(name))
        works: dict[str, Callable[[], None]] = {
            "latents": lambda: latents(materials, rounds, quick),
            "samplers": lambda: samplers(materials, rounds, quick),
            "batches": lambda: batches(materials, rounds, quick),
            "gpu": lambda: gpu(materials, rounds, quick, options.device, options.preset),
            "memory": lambda: memory(materials, quick),
        }
        for part in options.parts or PARTS:
            works[part]()
    seconds = time.perf_counter() - start
    print(f"\n{seconds:.0f} s by the clock; ratios: median (lowest to highest) of up to {rounds} rounds")


if __name__ == "__main__":
    main()
