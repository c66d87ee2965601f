"""Published numbers that asdbench prints beside measured ones, always marked as published."""

from __future__ import annotations

LABEL = "published (MIMII-Gen, Table IV)"
PAPER = (
    'H. Purohit, T. Nishida, K. Dohi, T. Endo, Y. Kawaguchi: "MIMII-Gen: Generative Modeling Approach for Simulated '
    'Evaluation of Anomalous Sound Detection System"'
)
CITATION = f"{PAPER}, Table IV; one run with the clips and the detector of the paper"

TABLE_IV = {
    "bearing": (0.5468, 0.5916),
    "gearbox": (0.6920, 0.7607),
    "fan": (0.9496, 0.9713),
    "slide rail": (0.5588, 0.6132),
    "valve": (0.5271, 0.5517),
}
"""AUC by machine type of the paper: on original and on generated anomalous clips."""

TABLE_II = {
    "bearing": (6381, 637, 1613, 151),
    "gearbox": (5863, 778, 1485, 192),
    "fan": (5961, 850, 1458, 202),
    "slide rail": (5983, 1036, 1536, 286),
    "valve": (7134, 523, 1707, 157),
}
"""Clips by machine type that the paper's generator was trained on, normal and anomalous, and validated on."""

TABLE_III = {
    "Tango": {"fad (vggish)": 6.88, "kl (passt)": 1.74, "is (passt)": 2.57, "clap_real": 0.15, "clap_generated": 0.10},
    "MIMII-Gen": {
        "fad (vggish)": 5.43,
        "kl (passt)": 1.22,
        "is (passt)": 3.72,
        "clap_real": 0.15,
        "clap_generated": 0.14,
    },
}
"""Audio quality of the paper by generator. The CLAP model is not named there."""

_OTHER_NAMES = {"slider": "slide rail"}


def table_iv(machine: str) -> tuple[float, float] | None:
    """Published AUC on original and on generated clips of a machine type; None where the paper has none.

    Args:
        machine: name in the paper or in the DCASE data ("slider" is the paper's "slide rail"), in any case.
    """
    return TABLE_IV.get(_name(machine))


def table_ii(machine: str) -> tuple[int, int, int, int] | None:
    """Published numbers of clips of a machine type, see `TABLE_II`; names as in `table_iv`."""
    return TABLE_II.get(_name(machine))


def _name(machine: str) -> str:
    name = machine.lower().replace("_", " ").strip()
    return _OTHER_NAMES.get(name, name)
