"""The structure, and the field in it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from invdesign.figures.layout import Layout, layout_of
from invdesign.figures.style import INK, MUTED, PALETTE, SOLID, VOID, new_figure, styled
from invdesign.problem import Problem
from physics.base import Array, Fields

MATERIAL = LinearSegmentedColormap.from_list("material", [VOID, SOLID])
# Share of the design region's size that is shown around it.
SURROUND = 0.22
MOST_FIELDS = 4
# A permittivity that this share of the cells has is a material, not an average at an edge.
MATERIAL_SHARE = 0.01
MOST_MATERIALS = 5
# Height over width below which a picture is wide.
WIDE = 0.6


@styled
def design_figure(problem: Problem, design: Array) -> Figure | None:
    """The density `(nx, ny)` with ports and static shapes around it; None unless it has two axes."""
    if np.ndim(design) != 2:
        return None
    layout = layout_of(problem)
    if 1 in np.shape(design):
        return _strip(layout, np.asarray(design))
    figure, (axes,) = new_figure(5.2, _height(4.8, 0.9, _ratio(layout.x_um, layout.y_um)))
    around = SURROUND if layout.ports else 0.0
    _frame(axes, layout, around)
    for low_x, high_x, low_y, high_y in layout.shapes:
        x, y = np.clip([low_x, high_x], *axes.get_xlim()), np.clip([low_y, high_y], *axes.get_ylim())
        axes.add_patch(Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], facecolor="#b8c4d0", edgecolor="none"))
    axes.imshow(
        np.asarray(design).T, origin="lower", extent=layout.extent, cmap=MATERIAL, vmin=0, vmax=1, zorder=2,
        interpolation="nearest",
    )  # fmt: skip
    axes.add_patch(_region(layout, MUTED))
    _ports(axes, layout)
    return figure


def _strip(layout: Layout, design: Array) -> Figure:
    """A design of one row of pixels, stretched until it can be seen."""
    along_x = design.shape[1] == 1
    figure, (axes,) = new_figure(8.0, 1.5)
    low, high = layout.x_um if along_x else layout.y_um
    axes.imshow(
        design.reshape(1, -1), extent=(low, high, 0, 1), cmap=MATERIAL, vmin=0, vmax=1, interpolation="nearest",
        aspect="auto",
    )  # fmt: skip
    axes.set(xlabel=f"{'x' if along_x else 'y'} ({layout.unit})", yticks=[])
    return figure


@styled
def fields_figure(problem: Problem, fields: Fields, component: str | None = None) -> Figure | None:
    """Magnitude of a field component at up to four wavelengths, the structure drawn in outline; None without fields."""
    component = component or next(iter(fields.values), None)
    if component is None or component not in fields.values:
        return None
    layout = layout_of(problem)
    count = len(fields.wavelength_um)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_FIELDS)).round().astype(int))
    values = np.abs(fields.values[component][chosen])
    x, y = np.asarray(fields.x_um), np.asarray(fields.y_um)
    around = SURROUND if layout.ports else 0.0
    window = [_window(*layout.x_um, around), _window(*layout.y_um, around)]
    inside = np.ix_((x >= window[0][0]) & (x <= window[0][1]), (y >= window[1][0]) & (y <= window[1][1]))
    # Grids that do not share the layout's origin are shown whole.
    seen = values[(slice(None), *inside)] if min(len(inside[0]), inside[1].shape[1]) > 3 else values
    ratio = _ratio(*window) if seen is not values else _ratio((_edge(x, 0), _edge(x, -1)), (_edge(y, 0), _edge(y, -1)))
    # A wide picture by itself may take the page's width.
    width = 6.5 if len(chosen) == 1 and ratio < WIDE else 3.0
    height = _height(3.7 * width / 3.0, 1.0, ratio)
    figure, panels = new_figure(1.6 + width * len(chosen), height, 1, len(chosen), images=True)
    # The brightest thousandth, a hot spot at most, must not darken the rest.
    brightest = float(np.quantile(seen, 0.999)) or 1.0
    image = None
    for axes, index, value in zip(panels, chosen, values, strict=True):
        extent = (_edge(x, 0), _edge(x, -1), _edge(y, 0), _edge(y, -1))
        image = axes.imshow(
            value.T, origin="lower", extent=extent, cmap="magma", vmin=0, vmax=brightest, interpolation="nearest"
        )
        if levels := _outlines(np.asarray(fields.permittivity)):
            axes.contour(x, y, fields.permittivity.T, levels=levels, colors="white", linewidths=0.7, alpha=0.75)
        if seen is not values:
            axes.set(xlim=window[0], ylim=window[1])
        axes.set(title=f"{fields.wavelength_um[index]:g} µm", xlabel=f"x ({layout.unit})", aspect="equal")
    panels[0].set_ylabel(f"y ({layout.unit})")
    if image is not None:
        figure.colorbar(image, ax=panels, label=f"|{component}|", shrink=0.85, pad=0.01)
    return figure


def _outlines(permittivity: Array) -> list[float]:
    """Permittivities half-way between the materials there are; of grey structures half-way between the extremes."""
    low, high = float(permittivity.min()), float(permittivity.max())
    if not low < high:
        return []
    values, counts = np.unique(np.round(permittivity, 6), return_counts=True)
    materials = values[counts >= MATERIAL_SHARE * permittivity.size]
    if not 2 <= len(materials) <= MOST_MATERIALS:
        return [(low + high) / 2]
    return [float(level) for level in (materials[1:] + materials[:-1]) / 2]


def _edge(centres: Array, which: int) -> float:
    """Outer edge of the first (0) or last (-1) cell."""
    step = float(centres[1] - centres[0]) if len(centres) > 1 else 1.0
    return float(centres[which]) + (0.5 if which else -0.5) * step


def _ratio(x: tuple[float, float], y: tuple[float, float]) -> float:
    """Height over width."""
    return (y[1] - y[0]) / (x[1] - x[0])


def _height(square: float, labels: float, ratio: float) -> float:
    """Of a figure, in inches, that is `square` high for a square picture, `labels` of it for what is written below."""
    return labels + max((square - labels) * min(ratio, 1.0), 0.6)


def _window(low: float, high: float, around: float) -> tuple[float, float]:
    more = around * (high - low)
    return low - more, high + more


def _frame(axes: Axes, layout: Layout, around: float) -> None:
    axes.set(xlim=_window(*layout.x_um, around), ylim=_window(*layout.y_um, around))
    axes.set(xlabel=f"x ({layout.unit})", ylabel=f"y ({layout.unit})", aspect="equal")


def _region(layout: Layout, edge: str) -> Rectangle:
    width, height = layout.x_um[1] - layout.x_um[0], layout.y_um[1] - layout.y_um[0]
    return Rectangle(layout.origin_um, width, height, facecolor="none", edgecolor=edge, linewidth=0.8, zorder=3)


def _ports(axes: Axes, layout: Layout) -> None:
    """An arrow a port: inwards at the source, outwards elsewhere."""
    length = 0.13 * min(layout.x_um[1] - layout.x_um[0], layout.y_um[1] - layout.y_um[0])
    for port in layout.ports:
        near = np.array([port.x_um, port.y_um]) + 0.2 * length * np.array(port.outward)
        far = near + length * np.array(port.outward)
        start, end = (far, near) if port.source else (near, far)
        tint = PALETTE[1] if port.source else PALETTE[0]
        style = {"arrowstyle": "-|>", "color": tint, "linewidth": 2}
        axes.annotate("", xy=tuple(end), xytext=tuple(start), zorder=4, arrowprops=style)
        # The name stands beside the arrow, clear of the guide.
        sideways = 0.35 * (layout.x_um[1] - layout.x_um[0]) * np.array([abs(port.outward[1]), abs(port.outward[0])])
        place = (near + far) / 2 + 0.75 * sideways
        axes.text(place[0], place[1], port.name, color=INK, ha="center", va="center", fontsize=10, zorder=5)
