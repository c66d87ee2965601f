"""The table of audio quality: what does not change it, what is in it, and a cache by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asdbench import ClipSet, Embedding, UserError, setting
from asdbench.metrics.audio.embedding import embed_clips, model_of
from asdbench.metrics.audio.frechet import frechet_distance
from asdbench.metrics.audio.quality import POOLED, Options, quality

QUICK = Options(resamples=20, splits=4)


class Toy(Embedding):
    """Level and correlation over a millisecond of quarters of a clip, and logits from them."""

    has_logits = True
    factor: float = setting(1.0)
    device: str = setting("auto")

    @property
    def sample_rate(self) -> int:
        return 16000

    @property
    def dim(self) -> int:
        return 2

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        quarters = np.array_split(waveform, 4)
        return self.factor * np.array(
            [[10 * part.std(), np.mean(part[16:] * part[:-16]) / part.var()] for part in quarters]
        )

    def logits(self, waveform: np.ndarray) -> np.ndarray:
        return self.embed(waveform) @ np.array([[1.0, -2.0, 3.0], [4.0, 0.0, -1.0]])


Make = Callable[..., ClipSet]


@pytest.fixture
def make(tmp_path: Path, write_clip: Callable[..., Path]) -> Make:
    def clips(
        side: str, machines: tuple[str, ...] = ("fan", "valve"), count: int = 10, tone: float = 300.0, **kwargs: Any
    ) -> ClipSet:
        rows = []
        for machine in machines:
            for index in range(count):
                name = f"{side}/{machine}/{index:02d}.wav"
                path = write_clip(tmp_path / name, side, machine, index, tone=tone)
                labels = {"clip_id": name, "path": str(path), "machine": machine, "section": "00", "domain": "source"}
                rows.append(labels | {"split": "test", "condition": "anomaly", "attributes": {"v": str(index % 2)}})
        return ClipSet.from_files(rows, **kwargs)

    return clips


def test_order_of_files_changes_nothing(make: Make) -> None:
    real, made = make("real"), make("made", tone=400)
    rng = np.random.default_rng(0)
    table = quality(real, made, embedding=Toy(), options=QUICK)
    again = quality(real.select(rng.permutation(20)), made.select(rng.permutation(20)), embedding=Toy(), options=QUICK)
    pd.testing.assert_frame_equal(table, again, check_exact=True)


def test_rows_are_per_machine_and_pooled(make: Make) -> None:
    real, made = make("real"), make("made", count=12, tone=500)
    table = quality(real, made, embedding=Toy(), options=QUICK)
    assert list(table["machine"].unique()) == ["fan", "valve", POOLED]
    for machine in table["machine"].unique():
        rows = table[table["machine"] == machine].set_index("metric")
        assert list(rows.index) == ["fad", "fad_infinity", "kad", "kid", "kl", "is"]
        times = 2 if machine == POOLED else 1
        assert set(rows["n_real"]) == {10 * times} and set(rows["n_generated"]) == {12 * times}
        assert set(rows["vectors_generated"]) == {48 * times} and set(rows["dim"]) == {2}
        inside = rows.loc[["fad", "kad", "kid", "kl", "is"]]
        assert (inside["low"] <= inside["value"]).all() and (inside["value"] <= inside["high"]).all()
        assert (rows.loc[["fad", "kad"], "value"] > rows.loc[["fad", "kad"], "floor_high"]).all()  # another tone
        assert (inside["floor"] <= inside["floor_high"]).all()
        assert rows.loc["fad", "floor_n"] == 5 * times
    fan = [embed_clips(part.where(machine="fan"), Toy()).stacked for part in (real, made)]
    value = table[(table["machine"] == "fan") & (table["metric"] == "fad")]["value"].item()
    assert value == frechet_distance(*fan)


def test_real_clips_against_themselves_are_at_zero_and_it_is_said(make: Make) -> None:
    real = make("real", machines=("fan",))
    rows = quality(real, real, embedding=Toy(), options=QUICK).set_index("metric")
    assert rows.loc["fad", "value"] == 0.0
    assert "10 clips are in both sets" in rows.loc["fad", "remark"]
    assert list(rows["machine"].unique()) == [POOLED]


def test_generated_clips_of_the_real_kind_are_near_the_floor(make: Make) -> None:
    real, made = make("real", ("fan",), 24), make("made", ("fan",), 12)
    rows = quality(real, made, embedding=Toy(), options=Options(resamples=60, splits=20)).set_index("metric")
    for metric in ("fad", "kad", "kl"):
        assert rows.loc[metric, "value_at_floor_n"] < 2 * rows.loc[metric, "floor_high"]
    assert rows.loc["kad", "low"] < 0 < rows.loc["kad", "high"]
    assert rows.loc["fad", "floor_n"] == 12


def test_few_clips_are_remarked_upon(make: Make) -> None:
    table = quality(make("real", ("fan",), 3), make("made", ("fan",), 3), options=QUICK)
    rows = table.set_index("metric")
    assert "3 vectors in 128 dimensions" in rows.loc["fad", "remark"] and "biased upwards" in rows.loc["fad", "remark"]
    assert "too few real clips for a floor" in rows.loc["fad", "remark"]
    assert np.isnan(rows.loc["fad_infinity", "value"]) and "at least 10" in rows.loc["fad_infinity", "remark"]
    assert np.isfinite(rows.loc["kad", "value"])


def test_an_extrapolation_from_too_few_vectors_is_remarked_upon(make: Make) -> None:
    rows = quality(make("real", ("fan",)), make("made", ("fan",)), options=QUICK).set_index("metric")
    assert "3 vectors in 128 dimensions: the line is bent" in rows.loc["fad_infinity", "remark"]


def test_a_machine_of_one_side_is_named(make: Make) -> None:
    table = quality(make("real", ("fan", "pump")), make("made", ("fan", "valve")), embedding=Toy(), options=QUICK)
    assert list(table["machine"].unique()) == ["fan", POOLED]
    remarks = table[table["machine"] == POOLED]["remark"]
    assert remarks.str.contains("only one of the sets has pump, valve").all()


def test_captions_pair_clips_and_are_scored_with_clap(make: Make, tiny_clap: Path) -> None:
    from asdbench.metrics.audio.embeddings.clap import Clap

    real, made = make("real", count=4), make("made", count=4)
    words = {"fan": "a fan sounds normal", "valve": "a valve sounds broken"}
    captions = {row.clip_id: words[row.machine] for part in (real, made) for row in part.frame.itertuples()}
    clap = Clap(model=str(tiny_clap), device="cpu")
    table = quality(real, made, embedding=Toy(), captions=captions, clap=clap, options=QUICK)
    rows = table[table["machine"] == POOLED].set_index("metric")
    scores = {
        name: rows.loc[f"clap_{name}"]
        for name in ("real", "generated", "difference", "real_shuffled", "generated_shuffled")
    }
    vectors = embed_clips(made, clap)
    texts = clap.embed_captions([captions[name] for name in vectors.clip_ids])
    own = [float(part.mean(axis=0) @ text) for part, text in zip(vectors.vectors, texts, strict=True)]
    assert scores["generated"]["value"] == pytest.approx(np.mean(own), rel=1e-5)  # float32, another batch
    assert scores["difference"]["value"] == pytest.approx(scores["generated"]["value"] - scores["real"]["value"])
    assert scores["difference"]["low"] <= scores["difference"]["value"] <= scores["difference"]["high"]
    other = [words["valve" if captions[name] == words["fan"] else "fan"] for name in vectors.clip_ids]
    swapped = [
        float(part.mean(axis=0) @ text) for part, text in zip(vectors.vectors, clap.embed_captions(other), strict=True)
    ]
    assert scores["generated_shuffled"]["value"] == pytest.approx(np.mean(swapped), rel=1e-5)
    fan = table[table["machine"] == "fan"].set_index("metric")
    assert "all captions are the same" in fan.loc["clap_real_shuffled", "remark"]
    del captions[made.frame["clip_id"][0]]
    with pytest.raises(UserError, match=r"1 have none, such as made/fan/00\.wav"):
        quality(real, made, embedding=Toy(), captions=captions, clap=clap, options=QUICK)


def test_bad_sets_are_refused_in_a_sentence(make: Make) -> None:
    real, made = make("real", ("fan",), 3), make("made", ("fan",), 3)
    with pytest.raises(UserError, match="two generated clips, found one clip"):
        quality(real, made.select([0]), embedding=Toy())
    with pytest.raises(UserError, match="two real clips, found no clip"):
        quality(real.select([]), made, embedding=Toy())
    with pytest.raises(UserError, match="16000 Hz and the generated ones at 8000 Hz"):
        quality(real, ClipSet(made.frame, 8000), embedding=Toy())
    ids = [*real.frame["clip_id"], *made.frame["clip_id"]]
    with pytest.raises(UserError, match="does not read captions"):
        quality(real, made, embedding=Toy(), captions=dict.fromkeys(ids, "x"), clap="logmel_stats", options=QUICK)


def test_vectors_that_are_not_finite_name_the_clip(make: Make) -> None:
    with pytest.raises(UserError, match=r"made/fan/0\d\.wav: the embedding .* not finite"):
        embed_clips(make("made", ("fan",), 3), Toy(factor=float("nan")))


def test_the_cache_goes_by_content_and_by_model(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, cache, calls = make("real", ("fan",), 3), tmp_path / "cache", []
    original = Toy.embed
    monkeypatch.setattr(Toy, "embed", lambda self, wave: calls.append(1) or original(self, wave))
    first = embed_clips(clips, Toy(), cache=cache)
    done = len(calls)
    again = embed_clips(clips.select([2, 0, 1]), Toy(device="cpu"), cache=cache)
    assert len(calls) == done  # the same clips, whatever their order and wherever they are computed
    assert all(np.array_equal(a, b) for a, b in zip(first.vectors, again.vectors, strict=True))
    assert np.array_equal(first.logits, again.logits)
    embed_clips(clips, Toy(factor=2.0), cache=cache)
    assert len(calls) == 2 * done and model_of(Toy(factor=2.0)) != model_of(Toy())
    embed_clips(ClipSet(clips.frame, 8000), Toy(), cache=cache)
    assert len(calls) == 3 * done
    broken = next(cache.iterdir())
    broken.write_bytes(broken.read_bytes()[:20])
    embed_clips(clips, Toy(), cache=cache)
    embed_clips(clips, Toy(factor=2.0), cache=cache)
    embed_clips(ClipSet(clips.frame, 8000), Toy(), cache=cache)
    assert len(calls) == 3 * done + done // 3
