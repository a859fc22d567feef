"""One look for all figures: palette, type, and how they are saved."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito (2008), told apart with any colour vision, and four more for long lists; yellow is too faint on white,
# green is kept for the bands. Marker and dash differ too, for print and for eyes that see fewer colours.
PALETTE = (
    "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#6A3D9A", "#8C510A", "#A3A500", "#B2182B",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
SOLID_LINE, DASHED, DASH_DOTTED, LONG_DASHED = "-", (0, (4, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2))
DASHES = (*(SOLID_LINE,) * 4, DASHED, DASHED, DASHED, DASH_DOTTED, DASH_DOTTED, LONG_DASHED)
INK, MUTED, GRID, BAND = "#1f2933", "#6b7785", "#e3e8ee", "#009E73"
SOLID, VOID = "#33475b", "#f4f6f8"

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "figure.dpi": 100,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.hspace": 0.13,
    "figure.constrained_layout.wspace": 0.05,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    # Equal figures become equal files.
    "svg.hashsalt": "invdesign",
}


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its files and a sentence on what it shows."""

    name: str
    caption: str
    figure: Figure


@contextmanager
def house_style() -> Iterator[None]:
    """The settings above hold inside; the caller's come back after."""
    with matplotlib.rc_context(SETTINGS):
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draws in the house style."""

    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with house_style():
            return draw(*args, **kwargs)

    drawn.__doc__, drawn.__name__ = draw.__doc__, draw.__name__
    return drawn


def colour(index: int) -> str:
    """Colour of the n-th of several series."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Marker of the n-th of several series."""
    return MARKERS[index % len(MARKERS)]


def dash(index: int) -> Any:
    """Line style of the n-th of several series; colour, marker and dash together differ for ten."""
    return DASHES[index % len(DASHES)]


# Inches that a letter, a handle with its gaps, and a line take in a legend.
LETTER, HANDLE, LINE = 0.078, 0.62, 0.19
# Names beyond so many letters are wrapped.
LONGEST = 26


def legend_below(figure: Figure, handles: Mapping[str, Any]) -> None:
    """A legend (name -> handle) below the axes in as many columns as the figure's width holds; the figure grows."""
    names = ["\n".join(textwrap.wrap(name, LONGEST)) or name for name in handles]
    if not names:
        return
    letters = max(len(line) for name in names for line in name.split("\n"))
    width, height = figure.get_size_inches()
    columns = max(1, min(len(names), 5, int((width - 0.4) / (LETTER * letters + HANDLE))))
    # Columns alike in length, instead of a last one that is nearly empty.
    rows = -(-len(names) // columns)
    columns = -(-len(names) // rows)
    lines = rows * max(name.count("\n") + 1 for name in names)
    figure.set_size_inches(width, height + LINE * lines)
    figure.legend(
        list(handles.values()), names, loc="outside lower center", ncols=columns, columnspacing=1.6, handlelength=2.6
    )


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, images: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `rows x columns` axes, row by row, that belongs to no global state; images share their y axis."""
    figure = Figure(figsize=(width, height), layout="compressed" if images else "constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=images)
    return figure, list(axes.ravel())


def plain_ticks(axis: Axis) -> None:
    """Labels like 0.1, 1, 10 on a logarithmic axis, at the decades (and at 2 and 5 where it spans fewer than two)."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if low > 0 and high / low < 100:
        axis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.set_minor_formatter(NullFormatter())


def save(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """Writes the figure as SVG and PNG; gives both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    vector, raster = folder / f"{picture.name}.svg", folder / f"{picture.name}.png"
    with house_style():
        picture.figure.savefig(vector, metadata={"Date": None, "Creator": "invdesign"})
        picture.figure.savefig(raster)
    return vector, raster
