"""The MoS2 table where $INVDESIGN_DATA says it is; tests that need it skip elsewhere."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from physics.tables import TableSimulator, mos2_table
from physics.tables.mos2 import FILE, VARIABLE


@functools.cache
def _read(path: Path) -> TableSimulator:
    return mos2_table(path)


def table_or_skip() -> TableSimulator:
    """The table, read once."""
    path = Path(os.environ.get(VARIABLE, "")) / FILE
    if not os.environ.get(VARIABLE) or not path.is_file():
        pytest.skip(f"{FILE} is not there; set {VARIABLE} to its folder")
    return _read(path)
