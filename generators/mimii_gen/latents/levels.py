"""The level apart from the shape: a linear model of how loud each band is, and latents from which that is taken out.

Levels are what detectors hear first, and what a short training of a U-Net gets wrong last. The level of a band of a
clip is the log of its RMS over the clip. A recording has one such vector, which depends on machine, operating condition
and fault and varies a little from recording to recording: nearly all of that is linear in the words of the caption,
with a remainder of few large directions, which is drawn like those of the training clips that share most words. So it
is fitted in closed form and drawn for each clip, and the U-Net makes only what is left, the *shape*: latents of unit
RMS in every band. Stationary noise is white there, and the network has nothing to add to the noise it starts from.
Anomalies are told by what they add to the power of normal clips with the same attributes (`added_power`), and the
regression explains what that leaves of their level; how much of it holds for other clips is measured in each band, so
that strong faults have the level they should, and weak ones do not drown in what was fitted to noise.
Bands that stand out from those around them may be tones, which are steady as noise is not; how far they are is
measured, and they are put into shapes that were made of noise (`tones`).

Where a sound comes and goes, as that of a valve, its dynamic range is compressed too: the log of the RMS of some 60
groups of bands (narrow below 1 kHz, wider above, as ears and log-mel detectors have them) is taken out frame by frame
and put beside the bands as rows of their own. For stationary sounds these rows would be nothing but noise to be made,
so there they are zero; which machines and conditions are stationary is measured. The step is exact: `LevelModel.join`
undoes `LevelModel.split`.

The remainder is factor analysis in its simplest form (principal directions and a variance of each band; M. E. Tipping
and C. M. Bishop, "Probabilistic principal component analysis", J. R. Stat. Soc. B 61, 1999), the regression is ridge
regression (A. E. Hoerl and R. W. Kennard, Technometrics 12, 1970). With hundreds of words and pairs the remainders of
the clips that were fitted to are too small; they are divided by the root of one minus their leverage, which makes
their variance about that of new clips (J. G. MacKinnon and H. White, J. Econometrics 29, 1985, estimator HC2).
The share of the second fit to anomalies that is kept is shrinkage by cross-validation (J. B. Copas, "Regression,
prediction and shrinkage", J. R. Stat. Soc. B 45, 1983), here by the closed form of leaving out one clip.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from asdbench import UserError

from ...shared.randomness import stream
from .added_power import LEAST_FREE, AddedPower, from_others
from .lapped_transform import LappedTransform
from .stored import Stored
from .tones import tonal_part, with_tones

__all__ = [
    "CONDITIONS",
    "FILE",
    "Group",
    "LevelModel",
    "group_edges",
    "motion_of",
    "unit_bands",
    "words_of",
]

Array = npt.NDArray[np.float64]

FILE = "levels.safetensors"
"""Name of the file beside a model."""
_MOVING = 0.05
"""Share of the time that a sound must be away from its mean level to have envelopes."""
_COARSE = 16
"""Groups of equal width in which that is measured."""
CONDITIONS = 32
"""Numbers that tell the U-Net the level that was drawn."""
_DEAD = 0.4
"""Nepers (3.5 dB) by which a sound must differ from its mean level to be away from it: two to three deviations of the
level of white noise over three frames of 32 bands."""
_WIDEST_MEL = 0.75
"""Width of a group in mel (Slaney's scale, 66.7 Hz each below 1 kHz); two bands at least. The highest band is taken to
end at 8 kHz."""
_DIRECTIONS = 32
"""Most principal directions of the remainder."""
_WORD_PENALTY, _PAIR_PENALTY, _PAIR_SUPPORT = 2.0, 4.0, 6
"""Of the ridge regression: penalties in clips, and the clips that a pair of words needs to be a feature."""
_ALIKE = 8
"""Clips at least whose remainders one is drawn like."""
_ENVELOPE_WEIGHT = 8.0
_DEEPEST, _HIGHEST = 9.0, 4.0
_QUIET = 1e-8
"""Least RMS: digital silence has a level too."""

_WORD = re.compile(r"\w+(?:[.+-]\w+)*")


def words_of(text: str) -> frozenset[str]:
    """Words of a text in lower case; numbers such as 0.05 and names such as m-n are one word."""
    return frozenset(word.lower() for word in _WORD.findall(text))


@dataclass(frozen=True)
class Group:
    """The level of the clips whose caption has certain words.

    Attributes:
        names: the words.
        words: words that are features.
        pairs: pairs of words that are features where both occur.
        centre: mean of the features, shape (features,).
        mean: mean level, shape (dim,).
        slopes: change of the level with each feature, shape (features, dim).
        told: which of the words the caption of each clip has, 0 or 1, shape (n, words).
        scores: of the remainder of each clip along the directions, shape (n, r).
        directions: principal directions of the remainder, scaled by their deviation, shape (r, dim).
        rest: deviation of each band beside, shape (dim,).
        spread: deviation of the clips' levels in each of `CONDITIONS` ranges, shape (CONDITIONS,).
        moving: 1 where the clips have envelopes, else 0, shape (1,).
        tonal: how far bands that stand out from those around are tones and not noise, see `tonal_part`, shape (1,).
        above: of anomalies, the group of the normal clips of the machine and what is added to their power, if these are
            known; slopes are of the level that this leaves.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    centre: Array
    mean: Array
    slopes: Array
    told: Array
    scores: Array
    directions: Array
    rest: Array
    spread: Array
    moving: Array
    tonal: Array
    _: KW_ONLY
    above: tuple[Group, AddedPower] | None = None

    def check(self, names: Sequence[str], dim: int) -> None:
        """Check arrays that were read.

        Args:
            names: of the arrays.
            dim: length of a level.

        Raises:
            ValueError: their shapes do not go together, or a number is not finite.
        """
        features, (clips, directions) = len(self.words) + len(self.pairs), self.scores.shape
        wanted = {
            "centre": (features,),
            "mean": (dim,),
            "slopes": (features, dim),
            "told": (clips, len(self.words)),
            "scores": (clips, directions),
            "directions": (directions, dim),
            "rest": (dim,),
            "spread": (CONDITIONS,),
            "moving": (1,),
            "tonal": (1,),
        }
        found = {name: getattr(self, name).shape for name in names}
        if not clips or any(shape != wanted[name] for name, shape in found.items()):
            raise ValueError(f"arrays of the shapes {found}")
        if not all(np.isfinite(getattr(self, name)).all() for name in names):
            raise ValueError("numbers that are not finite")
        if self.above is not None:
            self.above[1].check(features, dim)

    def features(self, words: frozenset[str]) -> Array:
        found = [word in words for word in self.words] + [a in words and b in words for a, b in self.pairs]
        return np.array(found, dtype=np.float64)

    @classmethod
    def fit(
        cls,
        names: tuple[str, ...],
        levels: Array,
        captions: Sequence[frozenset[str]],
        vocabulary: Iterable[str],
        moving: bool,
        shares: Sequence[Array],
        *,
        pair_support: int = _PAIR_SUPPORT,
        estimated: bool = False,
        base: Group | None = None,
        scaling: Sequence[tuple[str, ...]] = (),
    ) -> Group:
        """Fit in closed form.

        Args:
            names: words that the group's captions have in common.
            levels: of its clips, shape (n, dim).
            captions: words of each.
            vocabulary: words that may be features.
            moving: whether the clips have envelopes.
            shares: how steady what stands out in each clip is, see `tonal_shares`.
            pair_support: clips that a pair of words needs to be a feature.
            estimated: whether levels are estimates of what is made by noise, and not what was measured: then their
                errors make the remainder larger, about as much as the fit makes it smaller, and it is left as it is.
            base: normal clips of the same machine, whose power is added to.
            scaling: phrases, each as its words, one a caption at most, that say how much of it is added.
        """
        counts = {word: sum(word in caption for caption in captions) for word in sorted({*vocabulary})}
        words = tuple(word for word, count in counts.items() if 2 <= count < len(captions))
        has = np.array([[word in caption for word in words] for caption in captions], dtype=bool)
        pairs = tuple(
            (words[i], words[j])
            for i in range(len(words))
            for j in range(i + 1, len(words))
            if (has[:, i] & has[:, j]).sum() >= pair_support
        )
        empty = np.zeros(0)
        shapeless = cls(names, words, pairs, *[empty] * 10)
        features = np.array([shapeless.features(caption) for caption in captions])
        centre, mean = features.mean(axis=0), levels.mean(axis=0)
        centred = features - centre
        penalty = np.r_[np.full(len(words), _WORD_PENALTY), np.full(len(pairs), _PAIR_PENALTY)]
        solved = np.linalg.solve(centred.T @ centred + np.diag(penalty), centred.T)
        pull, kept = (centred * solved.T).sum(axis=1), np.ones(levels.shape[1])
        above, left, others, both = None, levels - mean, 1 / len(levels), 0.0
        if base is not None:
            normal = np.array([base.expected(caption) for caption in captions])
            # Power is scaled by severity, whose words are features of what is left only.
            told = {word for phrase in scaling for word in phrase}
            unscaled = np.array([told.isdisjoint(feature) for feature in [*zip(words), *pairs]], dtype=bool)
            added, left, fitting, fitted = AddedPower.fit(
                levels - normal, base.variance, centred * unscaled, penalty, captions, scaling
            )
            above, kept = (base, added), _kept(left, centred @ solved @ left, pull)
            # Of fits in turn, I - (I - K H)(I - P) has the diagonal of P + K (H - H P); P leaves a mean of 0.
            others = others + ((fitting - fitting.mean(axis=0)) * fitted.T).sum(axis=1, keepdims=True)
            both = ((centred @ (solved @ fitting)) * fitted.T).sum(axis=1)
        slopes = kept * (solved @ left)
        left = left - centred @ slopes
        leverage = others + kept * (pull - both)[:, None]
        remainder = left
        if not estimated:
            # A clip pulls the fit towards itself by its leverage, and what is left of it is too small by as much.
            remainder = left / np.sqrt(np.maximum(1 - leverage, LEAST_FREE))
        scores, sizes, axes = np.linalg.svd(remainder, full_matrices=False)
        count = min(_DIRECTIONS, max(0, len(levels) - 1))
        directions = sizes[:count, None] * axes[:count] / np.sqrt(len(levels))
        rest = np.sqrt(np.maximum(np.square(remainder).mean(axis=0) - np.square(directions).sum(axis=0), 1e-8))
        spread = np.maximum(_ranges(levels - mean).std(axis=0), 1e-3)
        scores = scores[:, :count] * np.sqrt(len(levels))
        motion = np.array([float(moving)])
        tonal = np.array([tonal_part(shares)])
        return cls(
            names,
            words,
            pairs,
            centre,
            mean,
            slopes,
            has.astype(np.float64),
            scores,
            directions,
            rest,
            spread,
            motion,
            tonal,
            above=above,
        )

    def expected(self, words: frozenset[str]) -> Array:
        """Expected level of clips whose caption has these words, shape (dim,)."""
        features = self.features(words) - self.centre
        change = features @ self.slopes
        if self.above is None:
            return np.asarray(self.mean + change)
        base, added = self.above
        return base.expected(words) + added.level(features, words) + change

    @property
    def variance(self) -> Array:
        """Variance of the level that is not told by words, shape (dim,).

        Of what lies along the directions it is that of a normal distribution with the same median absolute deviation
        (0.6745 deviations): one silent clip among hundreds is many nepers away, and would make up most of a mean
        square. Such a clip is a direction of its own, and no part of the rest.
        """
        drawn = self.scores @ self.directions
        deviation = np.median(np.abs(drawn - np.median(drawn, axis=0)), axis=0) / 0.6745
        return np.asarray(np.square(deviation) + np.square(self.rest))

    def draw(self, words: frozenset[str], random: np.random.Generator) -> Array:
        """Draw the level of a clip whose caption has these words, shape (dim,)."""
        level = self.expected(words) + self._remainder(words, random) @ self.directions
        return np.asarray(level + random.standard_normal(len(self.mean)) * self.rest)

    def _remainder(self, words: frozenset[str], random: np.random.Generator) -> Array:
        """Draw scores along the directions, shape (r,).

        They have mean and covariance of those of the clips that share most words with the caption; two of these are
        mixed, so that they are hardly ever a clip's own.
        """
        shared = self.told @ np.array([word in words for word in self.words], dtype=np.float64)
        alike = self.scores[shared >= np.sort(shared)[-min(_ALIKE, len(shared))]]
        mean, (one, other) = alike.mean(axis=0), random.integers(len(alike), size=2)
        angle = random.uniform(0, np.pi / 2)
        away = np.cos(angle) * (alike[one] - mean) + np.sin(angle) * (alike[other] - mean)
        return np.asarray(mean + away * np.sqrt(len(alike) / max(1, len(alike) - 1)))


def _kept(given: Array, fitted: Array, leverage: Array) -> Array:
    """Share of a fit that is kept in each band, shape (dim,): the one that is best for clips that were left out of it.

    See `from_others` for what is given.
    """
    predicted = from_others(given, fitted, leverage)
    along, size = (given * predicted).sum(axis=0), np.square(predicted).sum(axis=0)
    return np.clip(along / np.maximum(size, 1e-12), 0, 1)


def _ranges(levels: Array) -> Array:
    """Mean of levels, shape (n, dim), in `CONDITIONS` ranges of bands."""
    return np.stack([part.mean(axis=1) for part in np.array_split(levels, CONDITIONS, axis=1)], axis=1)


class LevelModel(Stored):
    """Level of each band by caption, and the step between latents and shapes.

    Attributes:
        dim: bands, the values of a latent frame.
        shape_dim: values of a frame of a shape: the bands and their envelopes.
        edges: where the groups of bands begin and end that have an envelope.
    """

    file = FILE

    def __init__(self, dim: int, groups: Sequence[Group]) -> None:
        if dim % _COARSE or dim < CONDITIONS:
            raise UserError(
                f"levels: a codec with {dim} values a frame, expected a multiple of {_COARSE}, at least {CONDITIONS}"
            )
        self.dim, self.edges = dim, group_edges(dim)
        self.shape_dim = dim + len(self.edges) - 1
        self._groups = list(groups)

    @classmethod
    def fit(
        cls,
        levels: Array,
        captions: Sequence[str],
        groups: Sequence[tuple[str, ...]],
        vocabulary: Iterable[str],
        motion: Array,
        shares: Sequence[Array],
        *,
        bases: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
        scaling: Iterable[str] = (),
    ) -> LevelModel:
        """Fit the model in closed form.

        Args:
            levels: of training clips, shape (n, dim), see `split`.
            captions: of each clip.
            groups: of each clip the words that its group has in common, such as ("fan", "normal").
            vocabulary: words that tell labels; others are no features.
            motion: of each clip, see `motion_of`, shape (n,).
            shares: of each clip, see `tonal_shares`.
            bases: of groups of anomalies that of the normal clips of the machine; those without clips do not count.
            scaling: phrases that say how severe an anomaly is, such as "barely audible", and nothing else.
        """
        told = [words_of(caption) for caption in captions]
        vocabulary = sorted({word for text in vocabulary for word in words_of(text)})
        phrases = sorted({tuple(sorted(words_of(text))) for text in scaling} - {()})
        base_of = {names: base for names, base in (bases or {}).items() if base in set(groups) and base != names}
        fitted: dict[tuple[str, ...], Group] = {}
        for names in sorted(set(groups), key=lambda names: (names in base_of, names)):
            rows = [row for row, group in enumerate(groups) if group == names]
            moving = float(np.mean(motion[rows])) > _MOVING
            fitted[names] = Group.fit(
                names,
                levels[rows],
                [told[row] for row in rows],
                vocabulary,
                moving,
                [shares[row] for row in rows],
                base=fitted[base_of[names]] if names in base_of else None,
                scaling=phrases,
            )
        return cls(levels.shape[1], [*fitted.values()])

    # -- between latents and shapes

    def split(self, latents: Tensor, captions: Sequence[str], keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take the level out of latents.

        Args:
            latents: shape (batch, dim, T).
            captions: of each clip.
            keep: False for frames that are padding, shape (batch, T).

        Returns:
            Shapes, float32 of shape (batch, shape_dim, T), and levels in nepers, shape (batch, dim).

        Raises:
            UserError: a caption belongs to no group of training clips.
        """
        unit, levels = unit_bands(latents, keep)
        envelopes = self._local(unit) * self._moving(captions).to(unit)
        return torch.cat([unit / torch.exp(self._spread(envelopes)), envelopes], dim=1), levels

    def join(self, shapes: Tensor, levels: Tensor, captions: Sequence[str]) -> Tensor:
        """Put a level into shapes: the inverse of `split`, latents of shape (batch, dim, T).

        The RMS of each band becomes that of the level exactly, and that of each group in each frame that of the
        envelope where there is one, whatever error the sampler left in the shape.
        """
        unit, moving = shapes[:, : self.dim], self._moving(captions).to(shapes)
        target = shapes[:, self.dim :].clamp(-_DEEPEST, _HIGHEST)
        latents = unit * torch.exp(self._spread((target - self._local(unit)) * moving))
        rms = latents.square().mean(dim=2, keepdim=True).sqrt().clamp(min=_QUIET)
        return latents / rms * torch.exp(levels.to(latents))[:, :, None]

    def add_tones(
        self,
        shapes: Tensor,
        levels: Tensor,
        captions: Sequence[str],
        seeds: Sequence[int],
        codec: LappedTransform,
        share: float = 1.0,
    ) -> Tensor:
        """Put tones into shapes that were made of noise, where levels stand out; not into sounds that come and go.

        Args:
            shapes: shape (batch, shape_dim, T).
            levels: that they are going to have, shape (batch, dim).
            captions: of each clip.
            seeds: of each clip.
            codec: that the latents are of.
            share: of the shapes that was made of noise, as a deviation, 0 to 1.
        """
        made = shapes.clone()
        values = levels.detach().cpu().double().numpy()
        for place, (level, caption, seed) in enumerate(zip(values, captions, seeds, strict=True)):
            group = self._group(caption)
            if not group.moving[0]:
                unit, random = made[place, : self.dim], stream("tones", seed)
                made[place, : self.dim] = with_tones(unit, level, share * float(group.tonal[0]), codec, random)
        return made

    def _local(self, unit: Tensor) -> Tensor:
        """Log of the RMS of each group in each frame, shape (batch, groups, T)."""
        power = torch.nn.functional.pad(unit.square().cumsum(dim=1, dtype=torch.float64), (0, 0, 1, 0))
        edges = torch.from_numpy(self.edges).to(unit.device)
        widths = (edges[1:] - edges[:-1])[None, :, None]
        mean = (power[:, edges[1:]] - power[:, edges[:-1]]) / widths
        return (0.5 * torch.log(mean.clamp(min=0) + _QUIET)).float().clamp(-_DEEPEST, _HIGHEST)

    def _spread(self, envelopes: Tensor) -> Tensor:
        """From groups to bands, shape (batch, dim, T)."""
        return envelopes.repeat_interleave(torch.from_numpy(np.diff(self.edges)).to(envelopes.device), dim=1)

    def _moving(self, captions: Sequence[str]) -> Tensor:
        """1 for clips that have envelopes, shape (batch, 1, 1)."""
        return torch.tensor([self._group(caption).moving[0] for caption in captions])[:, None, None].float()

    def weights(self) -> Tensor:
        """Weight of each row of a shape in the loss, shape (shape_dim,), with a mean of 1.

        The envelopes are few and decide what is heard of sounds that come and go; bands are mostly noise.
        """
        weights = torch.cat([torch.ones(self.dim), torch.full((self.shape_dim - self.dim,), _ENVELOPE_WEIGHT)])
        return weights / weights.mean()

    # -- by caption

    def draw(self, captions: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """Draw a level for each caption, float32 of shape (batch, dim); each depends on its caption and seed alone.

        Raises:
            UserError: a caption belongs to no group of training clips.
        """
        return torch.from_numpy(
            np.stack([self._draw(caption, seed) for caption, seed in zip(captions, seeds, strict=True)])
        )

    def conditions(self, levels: Tensor, captions: Sequence[str]) -> Tensor:
        """Say in `CONDITIONS` numbers of about unit variance what level each clip has, shape (batch, CONDITIONS)."""
        values = levels.detach().cpu().double().numpy()
        rows = []
        for level, caption in zip(values, captions, strict=True):
            group = self._group(caption)
            rows.append(_ranges((level - group.mean)[None])[0] / group.spread)
        return torch.from_numpy(np.stack(rows).astype(np.float32)).to(levels.device)

    def _draw(self, caption: str, seed: int) -> npt.NDArray[np.float32]:
        drawn = self._group(caption).draw(words_of(caption), stream("level", seed))
        return drawn.astype(np.float32)

    def is_moving(self, caption: str) -> bool:
        """Whether the clips of a caption come and go.

        Raises:
            UserError: a caption belongs to no group of training clips.
        """
        return bool(self._group(caption).moving[0])

    def _group(self, caption: str) -> Group:
        words = words_of(caption)
        fitting = [group for group in self._groups if words.issuperset(group.names)]
        if not fitting:
            known = "; ".join(" ".join(group.names) for group in self._groups)
            raise UserError(
                f"the caption '{caption}' tells of no machine and condition whose level is known, expected the words of"
                f" one of: {known}"
            )
        return max(fitting, key=lambda group: (len(group.names), group.names))

    # -- on disk

    @classmethod
    def load(cls, path: Path) -> LevelModel:
        """Read what `save` wrote.

        Raises:
            UserError: the file is damaged.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                described = json.loads((file.metadata() or {})["words"])
                arrays = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
            groups: dict[tuple[str, ...], Group] = {}
            for place, row in enumerate(described["groups"]):
                group = _read_group(row, str(place), arrays, groups)
                groups[group.names] = group
            model = cls(int(described["dim"]), [*groups.values()])
            for group in groups.values():
                group.check(_ARRAYS, model.dim)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: expected the levels of a trained generator ({error})") from error
        return model

    def _words(self) -> str:
        rows: list[dict[str, object]] = []
        for group in self._groups:
            row: dict[str, object] = {"names": group.names, "words": group.words, "pairs": group.pairs}
            if group.above is not None:
                base, added = group.above
                row |= {"base": base.names, "scaling": added.scaling}
            rows.append(row)
        return json.dumps({"dim": self.dim, "groups": rows})

    def _arrays(self) -> dict[str, npt.NDArray[np.float16]]:
        arrays: dict[str, Array] = {}
        for place, group in enumerate(self._groups):
            arrays |= {f"{place}.{name}": getattr(group, name) for name in _ARRAYS}
            if group.above is not None:
                arrays |= {f"{place}.added.{name}": getattr(group.above[1], name) for name in _ADDED}
        return {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in arrays.items()}


_ARRAYS = ("centre", "mean", "slopes", "told", "scores", "directions", "rest", "spread", "moving", "tonal")
_ADDED = ("scale", "constant", "slopes", "offset")


def _read_group(
    row: Mapping[str, Any], place: str, arrays: Mapping[str, Array], groups: Mapping[tuple[str, ...], Group]
) -> Group:
    """Read a group after that of its normal clips."""
    group = Group(
        tuple(row["names"]),
        tuple(row["words"]),
        tuple((a, b) for a, b in row["pairs"]),
        *(arrays[f"{place}.{name}"] for name in _ARRAYS),
    )
    if "base" not in row:
        return group
    scaling = tuple(tuple(phrase) for phrase in row["scaling"])
    added = AddedPower(scaling, *(arrays[f"{place}.added.{name}"] for name in _ADDED))
    return replace(group, above=(groups[tuple(row["base"])], added))


def unit_bands(latents: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return bands of unit RMS, shape (batch, dim, T), and their levels in nepers, shape (batch, dim)."""
    latents = latents.float()
    kept = torch.ones_like(latents[:, :1]) if keep is None else keep[:, None, :].to(latents)
    latents = latents * kept
    power = latents.square().sum(dim=2) / kept.sum(dim=2).clamp(min=1)
    levels = 0.5 * torch.log(power + _QUIET**2)
    return latents / torch.exp(levels)[:, :, None], levels


def motion_of(unit: Tensor) -> float:
    """Share of time and bands in which a clip of unit bands, shape (1, dim, T), is away from its mean level."""
    _, dim, frames = unit.shape
    power = unit.square().reshape(_COARSE, dim // _COARSE, frames).mean(dim=1)
    padded = torch.nn.functional.pad(power[None], (1, 1), mode="replicate")[0]
    smooth = 0.25 * padded[..., :-2] + 0.5 * padded[..., 1:-1] + 0.25 * padded[..., 2:]
    return float((0.5 * torch.log(smooth + 1e-6)).abs().gt(_DEAD).float().mean())


def group_edges(dim: int, mel_width: float = _WIDEST_MEL, least: int = 2) -> npt.NDArray[np.int64]:
    """First band of each group, and behind the last one; a group is ``mel_width`` mel or ``least`` bands wide."""
    hz = np.arange(dim + 1) * 8000 / dim
    mel = np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))
    edges = [0]
    while edges[-1] < dim:
        width = int(np.searchsorted(mel, mel[edges[-1]] + mel_width)) - edges[-1]
        edges.append(min(dim, edges[-1] + max(least, width)))
    return np.array(edges, dtype=np.int64)
