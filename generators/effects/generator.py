"""The generator ``effects``: picks a host and an effect for each clip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pydantic

from asdbench import GeneratedClip, Generator, Request, UserError, did_you_mean, setting

from .effect import target_snr_db
from .registry import EFFECTS

if TYPE_CHECKING:
    import pandas as pd

    from ..shared.matching import Pool

LARGEST_SNR_DB = 200.0
"""Beyond it nothing is left of an effect in single precision."""


class Effects(Generator):
    """Audible faults on real normal clips: impulses, knocks, rub, tones, noise, loss, shifts and more.

    Each clip is a normal clip of the pool with one fault. The host is drawn from those that match the row best: same
    section, domain and attributes, else section and domain, else section, else machine. The draw is one per row and
    blind to the other rows, so two rows may share a host, and any part of a request gives the same clips as the whole.
    Host, effect and the shape of the fault come from random streams of their own: changing severity, SNR or the list of
    effects leaves the hosts as they are. A row that asks for a normal clip gets its host untouched.

    Clips are not limited to full scale. Provenance: ``effect`` (None for a normal clip), ``severity``, ``snr_db`` (the
    SNR of this clip, None for a normal one), ``parameters``, ``host``, ``host_content_hash``, ``host_match``, ``seed``.
    """

    effects: list[str] = setting(
        default_factory=lambda: list(EFFECTS), min_length=1, description="effects to draw from, all equally likely"
    )
    severity: float = setting(
        0.5, ge=0, le=1, description="power of the fault relative to that at severity 1; 0 leaves the clip as it is"
    )
    snr_db: float | dict[str, float] | None = setting(
        None, description="SNR in dB at severity 1, for all or by effect; at severity s it is higher by -10 log10(s)"
    )

    @pydantic.field_validator("effects")
    @classmethod
    def _check_effects(cls, effects: list[str]) -> list[str]:
        for name in effects:
            _check_name(name)
        return effects

    @pydantic.field_validator("snr_db")
    @classmethod
    def _check_snr_db(
        cls, snr_db: float | dict[str, float] | None, info: pydantic.ValidationInfo
    ) -> float | dict[str, float] | None:
        if snr_db is None:
            return None
        wanted = snr_db if isinstance(snr_db, dict) else dict.fromkeys(info.data.get("effects", []), snr_db)
        for name, value in wanted.items():
            _check_name(name)
            if not value >= EFFECTS[name].least_snr_db:
                least = EFFECTS[name].least_snr_db
                raise ValueError(f"'{name}' can reach an SNR of {least:.2f} dB at least, {value:g} dB was given")
            if value > LARGEST_SNR_DB:
                raise ValueError(f"expected an SNR of {LARGEST_SNR_DB:g} dB at most, {value:g} dB was given")
        return snr_db

    def generate(self, request: Request) -> Iterator[GeneratedClip]:
        """Yield one clip for each row; see the class.

        Raises:
            UserError: the pool has no normal clip of a machine, or a host is silent.
        """
        from ..shared.matching import Pool

        normals = Pool(request, "normal")
        for _, row in request.rows.iterrows():
            yield self._make(row, normals, request.sample_rate)

    def _make(self, row: pd.Series[Any], normals: Pool, sample_rate: int) -> GeneratedClip:
        clip_id = row["clip_id"]
        level, positions = normals.best(row)
        if not positions:
            raise UserError(
                f"the pool has no normal clip of machine '{row['machine']}' to put an effect on; "
                "'holdout: {normal: …}' in the spec sets how many are kept for generators"
            )
        position = int(self.rng(clip_id, "host").choice(positions))
        host = normals.clips.waveform(position)
        origin = {**normals.host(position), "host_match": level, "seed": self.seed}
        attributes = normals.attributes(position, row)
        if row["condition"] == "normal" or self.severity == 0:
            nothing: dict[str, Any] = {"effect": None, "severity": 0.0, "snr_db": None, "parameters": {}}
            return GeneratedClip(host, nothing | origin, attributes)

        name = str(self.rng(clip_id, "effect").choice(self.effects))
        effect, full_snr_db = EFFECTS[name], self._full_snr_db(name)
        try:
            rng = self.rng(clip_id, "fault", name)
            waveform, parameters = effect(host, sample_rate, self.severity, rng, full_snr_db)
        except UserError as error:
            raise UserError(f"{normals.clips.frame['path'].iat[position]}: {error}") from error
        fault = {
            "effect": name,
            "severity": self.severity,
            "snr_db": target_snr_db(full_snr_db, self.severity),
            "parameters": parameters,
        }
        return GeneratedClip(waveform, fault | origin, attributes)

    def _full_snr_db(self, name: str) -> float:
        given = self.snr_db.get(name) if isinstance(self.snr_db, dict) else self.snr_db
        return EFFECTS[name].snr_db if given is None else given


def _check_name(name: str) -> None:
    if name not in EFFECTS:
        raise ValueError(f"there is no effect named '{name}'{did_you_mean(name, EFFECTS)}")
