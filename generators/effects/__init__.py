"""Audible faults put on real normal clips, each with a severity and a target SNR.

`effect.py` says what an effect is and how severity and SNR are defined; `registry.py` lists them. One file an effect:
`band_loss`, `band_noise`, `bearing_impulses`, `clipping`, `dropouts`, `knocks`, `modulation`, `pitch_shift`, `rub`,
`speed_shift`, `tones`. A new effect is one more such file and one more row of the registry.
"""

from .effect import Effect
from .generator import Effects
from .registry import EFFECTS

__all__ = ["EFFECTS", "Effect", "Effects"]
