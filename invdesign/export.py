"""A design as it would be made: GDSII polygons, and the smallest width and spacing in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import gdstk
import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.spaces.border import UNKNOWN, Border, surround
from invdesign.spaces.contours import contour_polygons
from physics.base import Array

Outline = Literal["pixels", "contour"]

THRESHOLD = 0.5
# Layers and data types are two bytes.
MOST = 65535
# A fixed time stamp makes equal designs equal files.
TIMESTAMP = datetime(2000, 1, 1)


@dataclass(frozen=True)
class FeatureSizes:
    """Smallest width of the structure and of the gaps in it; None where a design has no edge at all."""

    min_width_um: float | None
    min_spacing_um: float | None


def binary(density: Array) -> NDArray[np.bool_]:
    """True where a density `(nx, ny)` exceeds 1/2.

    Raises:
        ValueError: unless it is a finite array of two axes.
    """
    array = np.asarray(density)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"Expected a finite density of two axes (x, y). Got one of shape {array.shape}.")
    return np.asarray(array > THRESHOLD)


def feature_sizes(
    density: Array, pixel_um: float, *, border: Border = UNKNOWN, periodic: tuple[bool, bool] = (False, False)
) -> FeatureSizes:
    """Smallest width and spacing of the binarised density `(nx, ny)`, measured with imageruler, to within a pixel.

    The size of a feature is the largest brush with which it can be drawn; single-pixel steps along the edges of large
    features do not count. A feature cut by an unknown side is taken to go on outside, but a sliver of it, as the cap of
    a disc, may count as small: measure a period with `periodic`, not tiled, and a design with known surroundings with
    its `border`, which is then drawn around it and counts too.

    Args:
        density: `(nx, ny)`; above 1/2 is solid.
        pixel_um: edge of a pixel.
        border: what lies outside, as of a `DensitySpace`.
        periodic: along x and y, whether the design is one period.
    """
    import imageruler

    solid = np.ascontiguousarray(_in_surroundings(binary(density), border, periodic))
    if solid.all() or not solid.any():
        return FeatureSizes(None, None)
    width, spacing = imageruler.minimum_length_scale(solid, periodic=(bool(periodic[0]), bool(periodic[1])))
    return FeatureSizes(float(width * pixel_um), float(spacing * pixel_um))


def _in_surroundings(solid: NDArray[np.bool_], border: Border, periodic: tuple[bool, bool]) -> NDArray[np.bool_]:
    """The pattern with what is known to lie around it, a quarter of its length wide."""
    border.check((solid.shape[0], solid.shape[1]))
    margin = max(solid.shape) // 4 + 2
    framed = surround(torch.from_numpy(solid.astype(np.float64)), margin, border, periodic).numpy() > THRESHOLD
    cuts = []
    for wraps, sides in zip(periodic, ((border.left, border.right), (border.bottom, border.top)), strict=True):
        low, high = (wraps or side == "continue" for side in sides)
        cuts.append(slice(margin if low else None, -margin if high else None))
    return np.asarray(framed[tuple(cuts)])


def write_gds(
    density: Array,
    path: str | Path,
    *,
    pixel_um: float,
    origin_um: tuple[float, float] = (0.0, 0.0),
    layer: int = 1,
    datatype: int = 0,
    ports: Mapping[str, tuple[float, float]] | None = None,
    name: str = "DESIGN",
    outline: Outline = "pixels",
) -> Path:
    """Writes the outlines of the binarised density as GDSII; gives the path.

    Args:
        density: `(nx, ny)`, x first, y up; above 1/2 is solid.
        path: the file.
        pixel_um: edge of a pixel.
        origin_um: the lower left corner of pixel [0, 0].
        layer, datatype: of the polygons. A hole is cut open by a slit of no width, as the format demands.
        ports: name -> (x_um, y_um), written as text labels.
        name: of the cell.
        outline: "pixels" for the exact outlines of the pixels above 1/2; "contour" for the smooth half contour of a
            density of area fractions, as a `LevelSetSpace` or `ShapeSpace` decodes.

    Raises:
        ValueError: for a density, a pixel, a layer or an outline that makes no sense.
        FileNotFoundError: if the file's folder does not exist.
    """
    cell = design_cell(density, pixel_um, origin_um, layer, datatype, outline, name)
    for port, place in (ports or {}).items():
        cell.add(gdstk.Label(port, place, layer=layer, texttype=datatype))
    return save_cell(cell, path)


def design_cell(
    density: Array,
    pixel_um: float,
    origin_um: tuple[float, float],
    layer: int,
    datatype: int,
    outline: Outline,
    name: str,
) -> gdstk.Cell:
    """A cell with the outlines of a density; arguments and errors as of `write_gds`."""
    if not pixel_um > 0:
        raise ValueError(f"Expected pixel_um > 0. Got {pixel_um}.")
    if outline not in ("pixels", "contour"):
        raise ValueError(f"Expected outline 'pixels' or 'contour'. Got {outline!r}.")
    check_layer(layer, datatype)
    solid = binary(density)
    cell = gdstk.Cell(name)
    for polygon in _outlines(solid) if outline == "pixels" else contour_polygons(density, THRESHOLD):
        polygon.scale(pixel_um).translate(*origin_um)
        polygon.layer, polygon.datatype = layer, datatype
        cell.add(polygon)
    return cell


def check_layer(layer: int, datatype: int) -> None:
    """Raises `ValueError` unless both are whole numbers that the format can hold, 0 to 65535."""
    if not all(isinstance(n, (int, np.integer)) and 0 <= n <= MOST for n in (layer, datatype)):
        raise ValueError(
            f"Expected layer and datatype as whole numbers from 0 to {MOST}. Got {layer!r} and {datatype!r}; "
            "give them apart, layer=1, datatype=0."
        )


def open_layout(path: str | Path) -> gdstk.Library:
    """A GDSII file's library in micrometres.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a GDSII file at {path}. There is none.")
    try:
        return gdstk.read_gds(str(path), unit=1e-6)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"Expected a GDSII file. {path} does not read: {error}") from error


def save_cell(cell: gdstk.Cell, path: str | Path) -> Path:
    """Writes a cell drawn in micrometres as a GDSII file; gives the path.

    Raises:
        FileNotFoundError: if its folder does not exist.
    """
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"Expected the folder {Path(path).parent} to exist, to hold a layout. Make it first.")
    # A database unit of 1 nm is what foundries expect; corners off that grid get 1 pm instead of being rounded.
    corners = [np.asarray(polygon.points) * 1000 for polygon in cell.polygons] or [np.zeros((1, 2))]
    on_grid = max(np.abs(points - np.round(points)).max() for points in corners) < 1e-6
    library = gdstk.Library("INVDESIGN", unit=1e-6, precision=1e-9 if on_grid else 1e-12)
    library.add(cell)
    library.write_gds(str(path), max_points=8190, timestamp=TIMESTAMP)
    return Path(path)


def read_gds(
    path: str | Path,
    shape: tuple[int, int],
    pixel_um: float,
    *,
    origin_um: tuple[float, float] = (0.0, 0.0),
    layer: int = 1,
    datatype: int = 0,
) -> NDArray[np.float64]:
    """The density `(nx, ny)` of what a GDSII file holds on a layer: 1 where the centre of a pixel is inside, else 0.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no GDSII, has no top-level cell, or a structure outside the design.
    """
    check_layer(layer, datatype)
    library = open_layout(path)
    tops = library.top_level()
    if not tops:
        raise ValueError(f"Expected a GDSII file with a cell. {path} has none.")
    polygons = [
        p for top in tops if isinstance(top, gdstk.Cell) for p in top.get_polygons(layer=layer, datatype=datatype)
    ]
    outside = [origin + n * pixel_um for n, origin in zip(shape, origin_um, strict=True)]
    for polygon in polygons:
        low, high = polygon.bounding_box()
        slack = 0.5 * pixel_um
        if any(a < o - slack for a, o in zip(low, origin_um, strict=True)) or any(
            b > e + slack for b, e in zip(high, outside, strict=True)
        ):
            raise ValueError(
                f"Expected structures within {origin_um} to {tuple(outside)} um. {path} has one from {low} to {high}; "
                "give its shape, pixel_um and origin_um."
            )
    x, y = (origin + (np.arange(n) + 0.5) * pixel_um for n, origin in zip(shape, origin_um, strict=True))
    centres = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.zeros(len(centres), dtype=bool)
    for polygon in polygons:
        (low_x, low_y), (high_x, high_y) = polygon.bounding_box()
        near = np.all((centres >= (low_x, low_y)) & (centres <= (high_x, high_y)), axis=1) & ~inside
        if near.any():
            inside[near] = gdstk.inside(centres[near], [polygon])
    return inside.reshape(shape).astype(np.float64)


def _outlines(solid: NDArray[np.bool_]) -> list[gdstk.Polygon]:
    """Polygons of the solid pixels in units of pixels: rectangles of runs along y, united."""
    runs = []
    for ix, row in enumerate(solid):
        steps = np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))
        for low, high in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
            runs.append(gdstk.rectangle((ix, int(low)), (ix + 1, int(high))))
    return list(gdstk.boolean(runs, [], "or", precision=1e-3)) if runs else []
