"""GDSII of whole devices, with markers at the ports, and densities from layers of a layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import gdstk
import numpy as np
from numpy.typing import NDArray

from invdesign.export import Outline, check_layer, design_cell, open_layout, save_cell
from invdesign.spaces.scan import scan_polygon
from physics.base import Array

# Layer and data type on which gdsfactory and KLayout's photonic libraries look for ports.
PORT_LAYER = (1, 10)
MARKER_UM = 0.01
# Overlapping polygons are united on a grid of this share of a pixel.
UNION_GRID_PX = 2.0**-14

Point = tuple[float, float]


def write_device_gds(
    density: Array,
    device: Any,
    path: str | Path,
    *,
    layer: int = 1,
    datatype: int = 0,
    port_layer: tuple[int, int] = PORT_LAYER,
    port_width_um: float | Mapping[str, float] | None = None,
    guides: bool = False,
    outline: Outline = "pixels",
    name: str = "DEVICE",
) -> Path:
    """Writes a design with its ports as GDSII; gives the path. The origin is the design's centre.

    Each port is a thin bar on `port_layer`, as wide as its guide, and a text label of its name in the bar's middle:
    where the guide leaves the design region, or at the port's own plane where `guides` draws the guide up to there.

    Args:
        density: `(nx, ny)`; above 1/2 is solid. Of a run: `result.best.design`.
        device: anything with `size_um` and `ports`, each with `name`, `side`, `centre_um` and `distance_um`, as a
            `PortDevice` has. Of a run: `result.problem.simulator`.
        path: the file.
        layer, datatype: of the design and the guides.
        port_layer: layer and data type of the markers and labels.
        port_width_um: width of the guides, one for all or by name; by default that of the last of the device's
            `shapes` with `x_um` and `y_um` that the port's plane crosses.
        guides: whether to draw the guides from the design region to the ports' planes.
        outline: "pixels" or "contour", see `write_gds`.
        name: of the cell.

    Raises:
        ValueError: for a device without these attributes, a design of another shape than the device's, a port of
            unknown width, pixels that are not square, or a layer that the format does not know.
    """
    size, ports = _read_device(device)
    counts = np.shape(density)
    pixel = size[0] / counts[0] if len(counts) == 2 and counts[0] else 0.0
    if len(counts) != 2 or abs(size[1] - counts[1] * pixel) > 1e-6 * size[1]:
        raise ValueError(f"Expected a density of square pixels on a region of {size} um. Got one of shape {counts}.")
    wanted = getattr(device, "design_shape", counts)
    if counts != tuple(wanted):
        raise ValueError(f"Expected a design of the device's shape {tuple(wanted)}. Got {counts}.")
    check_layer(*port_layer)
    origin = (-size[0] / 2, -size[1] / 2)
    cell = design_cell(density, pixel, origin, layer, datatype, outline, name)
    for port in ports:
        width = _width(port, device, size, port_width_um)
        inner, outer = _plane(port, size, 0.0), _plane(port, size, port.distance_um)
        if guides:
            cell.add(gdstk.rectangle(*_bar(port, inner, port.distance_um, width), layer=layer, datatype=datatype))
        place = outer if guides else inner
        corners = _bar(port, place, MARKER_UM, width)
        cell.add(gdstk.rectangle(*corners, layer=port_layer[0], datatype=port_layer[1]))
        cell.add(gdstk.Label(port.name, place, layer=port_layer[0], texttype=port_layer[1]))
    return save_cell(cell, path)


def density_from_gds(
    path: str | Path,
    shape: tuple[int, int],
    pixel_um: float,
    *,
    layer: int = 1,
    datatype: int = 0,
    origin_um: Point | None = None,
    outside: Literal["error", "clip"] = "error",
) -> NDArray[np.float64]:
    """The area fraction of each pixel that a layer of a GDSII file covers, `(nx, ny)` in [0, 1].

    Exact for a single polygon that does not cross itself; several are united first, with corners rounded to 2^-14 of a
    pixel, which moves no outline by more than 5e-5 of a pixel. Corners within half a database unit of a pixel's are
    taken to be there, so what `write_gds` wrote comes back as it was. A design to start from:
    `adjoint(start=density_from_gds(...))`.

    Args:
        path: the file; all its top-level cells count, references resolved.
        shape: `(nx, ny)` pixels.
        pixel_um: edge of a pixel.
        layer, datatype: what to read.
        origin_um: the lower left corner of pixel [0, 0]; by default the region is centred at the layout's origin.
        outside: "error" refuses structures beyond the region by more than half a pixel, "clip" cuts them off.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is no GDSII, a layer that is empty, structures outside the region, or structures
            that are smaller than a pixel, as they are when a file's unit is not what it says.
    """
    if not pixel_um > 0 or len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"Expected pixel_um > 0 and a shape (nx, ny). Got {pixel_um} and {shape}.")
    if outside not in ("error", "clip"):
        raise ValueError(f"Expected outside 'error' or 'clip'. Got {outside!r}.")
    check_layer(layer, datatype)
    library = open_layout(path)
    unit, precision = gdstk.gds_units(str(path))
    origin = (-pixel_um * shape[0] / 2, -pixel_um * shape[1] / 2) if origin_um is None else origin_um
    corners = [
        (np.asarray(polygon.points) - origin) / pixel_um for polygon in _on_layer(library, path, layer, datatype)
    ]
    _check_extent(corners, shape, pixel_um, origin, outside, f"{path}, whose unit is {unit:g} m,")
    slack = 0.5000001 * precision / 1e-6 / pixel_um + 1e-9
    snapped = [_snap(points, slack) for points in corners]
    if len(snapped) > 1:
        pieces = [gdstk.Polygon(points.tolist()) for points in snapped]
        united = gdstk.boolean(pieces, [], "or", precision=UNION_GRID_PX)
        snapped = [_snap(np.asarray(polygon.points), 1e-9) for polygon in united]
    return np.clip(sum((scan_polygon(points, shape) for points in snapped), np.zeros(shape)), 0.0, 1.0)


def _on_layer(library: gdstk.Library, path: str | Path, layer: int, datatype: int) -> list[gdstk.Polygon]:
    cells = [cell for cell in library.top_level() if isinstance(cell, gdstk.Cell)]
    polygons = [p for cell in cells for p in cell.get_polygons(layer=layer, datatype=datatype)]
    if not polygons:
        present = sorted({(p.layer, p.datatype) for cell in cells for p in cell.get_polygons()})
        held = ", ".join(f"{a}/{b}" for a, b in present) or "no polygons at all"
        raise ValueError(f"Expected polygons on layer {layer}/{datatype}. {path} has {held}; give layer and datatype.")
    return polygons


def _check_extent(
    corners: Iterable[NDArray[np.float64]],
    shape: tuple[int, int],
    pixel_um: float,
    origin: Point,
    outside: str,
    file: str,
) -> None:
    every = np.concatenate(list(corners))
    low, high = every.min(axis=0), every.max(axis=0)
    span = (high - low) * pixel_um
    ends = [tuple(round(float(v), 6) for v in edge * pixel_um + origin) for edge in (low, high)]
    region = tuple(round(float(n * pixel_um), 6) for n in shape)
    if span.max() < pixel_um:
        raise ValueError(
            f"Expected structures larger than a pixel of {pixel_um} um. Those of {file} span {span[0]:.3g} x "
            f"{span[1]:.3g} um; is it drawn in another unit?"
        )
    beyond = (low < -0.5).any() or (high > np.array(shape) + 0.5).any()
    if beyond and outside == "error":
        raise ValueError(
            f"Expected structures within a region of {region[0]} x {region[1]} um from {tuple(origin)} um. Those of "
            f"{file} reach from {ends[0]} to {ends[1]} um; give shape, pixel_um and origin_um that hold them, "
            "or outside='clip', and see that the file's unit is right."
        )


def _snap(points: Array, slack: float) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    whole = np.round(array)
    return np.where(np.abs(array - whole) <= slack, whole, array)


def _read_device(device: Any) -> tuple[Point, list[Any]]:
    size, ports = getattr(device, "size_um", None), getattr(device, "ports", None)
    wanted = ("name", "side", "centre_um", "distance_um")
    if size is None or not ports or not all(hasattr(port, part) for port in ports for part in wanted):
        raise ValueError(
            f"Expected a device with size_um and ports that have {', '.join(wanted)}. Got {type(device).__name__}; use "
            "write_gds, which takes ports as name -> (x_um, y_um)."
        )
    for port in ports:
        if port.side not in ("west", "east", "south", "north"):
            raise ValueError(f"Expected a side west, east, south or north of port {port.name!r}. Got {port.side!r}.")
    return (float(size[0]), float(size[1])), list(ports)


def _plane(port: Any, size: Point, distance: float) -> Point:
    """Where a port's guide crosses a plane `distance` outside the design region."""
    away = size[0 if port.side in ("west", "east") else 1] / 2 + distance
    along = -away if port.side in ("west", "south") else away
    return (along, port.centre_um) if port.side in ("west", "east") else (port.centre_um, along)


def _bar(port: Any, place: Point, depth: float, width: float) -> tuple[Point, Point]:
    """Corners of a bar across a guide, reaching `depth` outwards from `place`."""
    outward = -depth if port.side in ("west", "south") else depth
    x, y = place
    if port.side in ("west", "east"):
        return (x, y - width / 2), (x + outward, y + width / 2)
    return (x - width / 2, y), (x + width / 2, y + outward)


def _width(port: Any, device: Any, size: Point, given: float | Mapping[str, float] | None) -> float:
    if isinstance(given, Mapping):
        if port.name not in given:
            raise ValueError(f"Expected a width of port {port.name!r}. Got widths of {', '.join(given) or 'none'}.")
        return _positive(port, given[port.name])
    if given is not None:
        return _positive(port, given)
    own = getattr(port, "width_um", None)
    if own is not None:
        return _positive(port, own)
    x, y = _plane(port, size, port.distance_um)
    boxes = [shape for shape in getattr(device, "shapes", ()) if hasattr(shape, "x_um") and hasattr(shape, "y_um")]
    for box in reversed(boxes):
        (x0, x1), (y0, y1) = box.x_um, box.y_um
        if x0 <= x <= x1 and y0 <= y <= y1:
            return _positive(port, y1 - y0 if port.side in ("west", "east") else x1 - x0)
    raise ValueError(f"Expected a guide among the device's shapes at port {port.name!r}. Got none; give port_width_um.")


def _positive(port: Any, width: float) -> float:
    if not 0 < width < np.inf:
        raise ValueError(f"Expected a positive width of port {port.name!r}. Got {width}; give port_width_um.")
    return float(width)
