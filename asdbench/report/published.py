"""Published numbers that asdbench prints beside measured ones, always marked as published."""

from __future__ import annotations

LABEL = "published (MIMII-Gen, Table IV)"
CITATION = (
    'H. Purohit, T. Nishida, K. Dohi, T. Endo, Y. Kawaguchi: "MIMII-Gen: Generative Modeling Approach for Simulated '
    'Evaluation of Anomalous Sound Detection System", Table IV; one run with the clips and the detector of the paper'
)

TABLE_IV = {
    "bearing": (0.5468, 0.5916),
    "gearbox": (0.6920, 0.7607),
    "fan": (0.9496, 0.9713),
    "slide rail": (0.5588, 0.6132),
    "valve": (0.5271, 0.5517),
}
"""AUC by machine type of the paper: on original and on generated anomalous clips."""

_OTHER_NAMES = {"slider": "slide rail"}


def table_iv(machine: str) -> tuple[float, float] | None:
    """Published AUC on original and on generated clips of a machine type; None where the paper has none.

    Args:
        machine: name in the paper or in the DCASE data ("slider" is the paper's "slide rail"), in any case.
    """
    name = machine.lower().replace("_", " ").strip()
    return TABLE_IV.get(_OTHER_NAMES.get(name, name))
