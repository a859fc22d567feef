"""A table as page and terminal alike show it, and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; `numeric` columns are aligned right, `strong` rows stand out, `pale` ones back."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    pale: frozenset[int] = frozenset()
    note: str = ""


def show(value: float | None, digits: int = 4) -> str:
    """A number for people."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def fixed(value: float, scale: str = "linear") -> str:
    """A response value: three decimals, two significant digits where that would hide it, two decimals in dB."""
    if scale == "db":
        return f"{value:.2f} dB"
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"


def percent(share: float | None) -> str:
    """A share in whole per cent, and what is not nothing never as 0 %."""
    if share is None or not np.isfinite(share):
        return "–"
    return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%" if 0 < share < 0.005 else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def decimals(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals."""
    if value is None or not np.isfinite(value):
        return "–"
    # Adding zero takes the sign off a rounded "-0.00".
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def enumerated(words: Sequence[str], last: str = " and ") -> str:
    """The words with commas between, and `last` before the last."""
    return last.join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
