"""Our own labels of graphene kirigami by molecular dynamics, with those of the cheap levels beside them."""

from __future__ import annotations

from importlib.resources import as_file, files

from physics.tables.labels import LabelSet, read_labels
from physics.tables.table import TableSimulator

FILE = "graphene_kirigami.npz"


def graphene_labels() -> LabelSet:
    """800 patterns of 3 x 5 cells on a sheet of up to 960 atoms: levels "linear", "lattice" and "md-tersoff".

    Patterns are drawn at random among those that hold together; the first 50 have five replicates by molecular dynamics
    (Tersoff, 4.2 K, 0.01 per ps, see docs/kirigami.md for the protocol and its soundness). Made by
    ``examples/graphene_kirigami.py``.
    """
    with as_file(files("physics.tables") / FILE) as path:
        return read_labels(path)


def graphene_table(level: str = "md-tersoff") -> TableSimulator:
    """One level of these labels as a simulator that knows these patterns alone.

    Raises:
        KeyError: for a level that is not there.
    """
    return graphene_labels().table(level)
