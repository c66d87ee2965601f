"""The table of all effects: name, what makes the change, SNR at severity 1.

The SNRs differ because equal power is not equally audible: a tone stands out where noise of the same power
does not. They are set so that at severity 0.5 no effect is trivial and none is lost: a nearest-neighbour detector on
the mean and standard deviation of log-mel spectra reaches an AUC of 0.78 to 0.94 with each of them on simulated
machines (mean of five) and of 0.59 to 0.78 on genuine clips of a fan.
"""

from __future__ import annotations

from . import band_loss, clipping, dropouts, modulation, shifting
from .band_noise import band_noise
from .bearing_impulses import bearing_impulses
from .effect import Effect, added
from .knocks import knocks
from .pitch_shift import pitch_shift
from .rub import rub
from .speed_shift import speed_shift
from .tones import tones

EFFECTS: dict[str, Effect] = {
    "band_loss": Effect(band_loss.band_loss, snr_db=14, least_snr_db=band_loss.LEAST_SNR_DB),
    "band_noise": Effect(added(band_noise), snr_db=9),
    "bearing_impulses": Effect(added(bearing_impulses), snr_db=14),
    "clipping": Effect(clipping.clipping, snr_db=6.5, least_snr_db=clipping.LEAST_SNR_DB),
    "dropouts": Effect(dropouts.dropouts, snr_db=13.5, least_snr_db=dropouts.LEAST_SNR_DB),
    "knocks": Effect(added(knocks), snr_db=3),
    "modulation": Effect(modulation.modulation, snr_db=8, least_snr_db=modulation.LEAST_SNR_DB),
    "pitch_shift": Effect(pitch_shift, snr_db=-3, least_snr_db=shifting.LEAST_SNR_DB),
    "rub": Effect(added(rub), snr_db=9),
    "speed_shift": Effect(speed_shift, snr_db=-3, least_snr_db=shifting.LEAST_SNR_DB),
    "tones": Effect(added(tones), snr_db=14),
}
