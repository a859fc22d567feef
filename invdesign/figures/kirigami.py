"""A cut pattern, and the sheet as it stretches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from invdesign.figures.style import BAND, MUTED, SOLID, VOID, colour, dash, legend_below, new_figure, styled
from physics.base import Array
from physics.kirigami import Deformed, Sheet, material

MATERIAL = LinearSegmentedColormap.from_list("material", [VOID, SOLID])
# Triangles with less stiffness are cut out.
SHOWN = 0.3
PIXELS = 240
# Share of local strains that the colours span.
SPAN = 99.5
# Stresses below this count as none borne.
SMALL_GPA = 0.05


@styled
def pattern_figure(design: Array, sheet: Sheet) -> Figure:
    """The density `rows x columns` as material in space, the grips beside it."""
    whole = sheet.length_angstrom + 2 * sheet.grip_angstrom
    figure, (axes,) = new_figure(5.2, _height(5.2, whole, sheet.width_angstrom))
    _draw_pattern(axes, design, sheet)
    axes.set(xlabel="x, the load (Å)", ylabel="y (Å)")
    return figure


@styled
def gallery_figure(designs: Mapping[str, Array], sheet: Sheet, columns: int = 4) -> Figure:
    """Several designs `rows x columns` of one sheet, each under its title.

    Raises:
        ValueError: for no designs.
    """
    if not designs or columns < 1:
        raise ValueError(f"Expected a design and a column at least. Got {len(designs)} and {columns}.")
    columns = min(columns, len(designs))
    rows = math.ceil(len(designs) / columns)
    each = 7.6 / columns
    whole = sheet.length_angstrom + 2 * sheet.grip_angstrom
    # Room for a title of two lines.
    figure, axes = new_figure(7.6, rows * (min(each * sheet.width_angstrom / whole, 3.0) + 0.5), rows, columns)
    for place in axes:
        place.set_axis_off()
    for place, (title, design) in zip(axes, designs.items(), strict=False):
        _draw_pattern(place, design, sheet)
        place.set_title(title, fontsize=8.5, fontweight="normal", loc="center")
    return figure


@styled
def curves_figure(strain: Array, curves: Mapping[str, Sequence[Array]], band: Array | None = None) -> Figure:
    """Stress over strain; of several repetitions under one name each as a thin line, and their mean.

    Args:
        strain: `n` strains.
        curves: name -> stresses in GPa, `n` each.
        band: `2 x n`, the lowest and highest stress that are wanted; NaN where nothing is.

    Raises:
        ValueError: for curves of another length.
    """
    grid = np.asarray(strain, dtype=float)
    figure, (axes,) = new_figure(6.4, 3.6)
    if band is not None:
        axes.fill_between(grid, band[0], band[1], color=BAND, alpha=0.18, linewidth=0)
    handles, last = {}, 0.0
    for number, (name, repetitions) in enumerate(curves.items()):
        table = np.asarray(repetitions, dtype=float)
        if table.ndim != 2 or table.shape[1] != len(grid):
            raise ValueError(f"Expected stresses of shape (repetitions, {len(grid)}) for {name!r}. Got {table.shape}.")
        if len(table) > 1:
            axes.plot(grid, table.T, color=colour(number), linewidth=0.6, alpha=0.45)
        (handles[name],) = axes.plot(grid, table.mean(0), color=colour(number), linestyle=dash(number))
        borne = np.flatnonzero((np.abs(table) > SMALL_GPA).any(0))
        last = max(last, float(grid[borne[-1]]) if len(borne) else 0.0)
    axes.set(xlabel="Strain", ylabel="Stress (GPa)", xlim=(0, min(1.05 * last, grid[-1]) or grid[-1]))
    axes.set_ylim(bottom=0)
    axes.grid(True)
    legend_below(figure, handles)
    return figure


@styled
def deformed_figure(shape: Deformed) -> Figure:
    """The stretched sheet from above and from the side, coloured by local strain."""
    shown = shape.material >= SHOWN
    triangles, strain = shape.triangles[shown], shape.local_strain[shown]
    size = np.ptp(shape.moved, axis=0)
    deep = max(size[2], 0.08 * size[0])
    scale = 5.6 / size[0]
    figure, (above, side) = new_figure(7.0, float(np.clip(scale * (size[1] + deep) + 1.8, 3.0, 9.0)), 2, 1)
    colours = Normalize(0.0, max(float(np.percentile(strain, SPAN)), 1e-9))
    for axes, across, depth in ((above, 1, 2), (side, 2, 1)):
        corners = shape.moved[triangles]
        # What is nearer to the eye is drawn later; from the side the eye is at low y.
        order = np.argsort(corners[..., depth].mean(axis=1) * (1 if depth == 2 else -1))
        faces = PolyCollection(
            list(corners[order][..., [0, across]]), array=strain[order], norm=colours, cmap="viridis",
            edgecolors="face", linewidths=0.2,
        )  # fmt: skip
        axes.add_collection(faces)
        low, high = shape.moved[:, across].min(), shape.moved[:, across].max()
        room = max(high - low, deep if across == 2 else 0.0)
        middle = (low + high) / 2
        axes.set(xlim=(shape.moved[:, 0].min(), shape.moved[:, 0].max()), aspect="equal")
        axes.set(ylim=(middle - 0.55 * room, middle + 0.55 * room), ylabel=f"{'xyz'[across]} (Å)")
    above.set_title(f"Strain {shape.strain:.3g}")
    side.set_xlabel("x, the load (Å)")
    figure.colorbar(faces, ax=[above, side], label="local strain", shrink=0.85, pad=0.02)
    return figure


def _draw_pattern(axes: Axes, design: Array, sheet: Sheet) -> None:
    length, width, grip = sheet.length_angstrom, sheet.width_angstrom, sheet.grip_angstrom
    step = max(length, width) / PIXELS
    image = material(design, sheet, (max(1, round(length / step)), max(1, round(width / step))))
    axes.imshow(
        image.T, origin="lower", extent=(0, length, 0, width), cmap=MATERIAL, vmin=0, vmax=1, interpolation="nearest"
    )
    for start in (-grip, length):
        axes.add_patch(Rectangle((start, 0), grip, width, facecolor=MUTED, edgecolor="none"))
    axes.set(xlim=(-grip, length + grip), ylim=(0, width), aspect="equal")


def _height(width_in: float, length: float, width: float) -> float:
    return float(np.clip((width_in - 0.8) * width / length + 0.8, 1.8, 9.0))
