"""Where a problem's design lies in space, and what stands around it; pixels where the problem does not say."""

from __future__ import annotations

from dataclasses import dataclass

from invdesign.problem import Problem

# Unit vectors that point out of the design region.
OUTWARD = {"west": (-1, 0), "east": (1, 0), "south": (0, -1), "north": (0, 1)}


@dataclass(frozen=True)
class PortMark:
    """A port at the edge of the design region: place and outward direction."""

    name: str
    x_um: float
    y_um: float
    outward: tuple[int, int]
    source: bool


@dataclass(frozen=True)
class Layout:
    """The design region, `(low, high)` an axis, its pixel and ports, static boxes `(x low, x high, y low, y high)`."""

    x_um: tuple[float, float]
    y_um: tuple[float, float]
    pixel_um: float | None
    ports: tuple[PortMark, ...]
    shapes: tuple[tuple[float, float, float, float], ...]

    @property
    def unit(self) -> str:
        """Of the axes."""
        return "pixels" if self.pixel_um is None else "µm"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """As matplotlib's images want it."""
        return (*self.x_um, *self.y_um)

    @property
    def origin_um(self) -> tuple[float, float]:
        """The lower left corner."""
        return self.x_um[0], self.y_um[0]


def layout_of(problem: Problem) -> Layout:
    """The layout of a problem of two axes.

    A simulator tells more than the contract demands if it has `size_um` (its design region, centred at the origin),
    `ports` (`name`, `side`, `centre_um`) and static `shapes` (`x_um`, `y_um`, each low and high).
    """
    simulator = problem.simulator
    pixel = getattr(problem.space, "pixel_um", None) or getattr(simulator, "pixel_um", None)
    nx, ny = problem.space.shape
    size = getattr(simulator, "size_um", None)
    if size is None:
        step = pixel or 1.0
        return Layout((0.0, nx * step), (0.0, ny * step), pixel, (), ())
    half_x, half_y = size[0] / 2, size[1] / 2
    marks = []
    for port in getattr(simulator, "ports", ()):
        outward = OUTWARD.get(getattr(port, "side", ""))
        if outward is None:
            continue
        along_y = outward[0] != 0
        x = outward[0] * half_x if along_y else port.centre_um
        y = port.centre_um if along_y else outward[1] * half_y
        marks.append(PortMark(port.name, x, y, outward, port.name == getattr(simulator, "source", None)))
    shapes = [
        (*shape.x_um, *shape.y_um)
        for shape in getattr(simulator, "shapes", ())
        if hasattr(shape, "x_um") and hasattr(shape, "y_um")
    ]
    return Layout((-half_x, half_x), (-half_y, half_y), size[0] / nx, tuple(marks), tuple(shapes))
