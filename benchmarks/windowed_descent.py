"""A design from scratch for a problem of power windows: stages of MMA on the worst window, then pixel by pixel.

A density with a conic filter and a projection is driven first by the powers that lie outside their windows, then, at
growing sharpness, by the smooth maximum of all excesses in dB. Each stage's end is binarised, repaired to the least
width and spacing, and judged. What remains is put right by exchanging single pixels at the edges.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign import DensitySpace
from invdesign.border import Border
from invdesign.challenges import Challenge, WorstWindow
from invdesign.density import SYMMETRIES
from invdesign.export import feature_sizes
from invdesign.problem import TargetLoss
from invdesign.strategies.descent import descend
from physics.base import Response
from physics.devices import PortDevice
from physics.devices.challenges import ceviche_reading
from physics.fdfd.grid import Pml

Vector = NDArray[Any]


class OutOfTime(Exception):
    """The wall time is spent."""


@dataclass(frozen=True)
class Stage:
    """One descent: what it minimises, how sharp the projection is, how much a grey density costs, on which mesh.

    `mesh` counts from the finest, -1, to coarser ones, -2 and so on.
    """

    scale: str
    beta: float
    softness_db: float
    grey: float
    evaluations: int
    mesh: int = -1


@dataclass(frozen=True, eq=False)
class Mesh:
    """A device and the space of its designs."""

    device: PortDevice
    space: DensitySpace


@dataclass
class Search:
    """The state of one search: what it may spend, what it has found.

    Args:
        problem: what is wanted.
        meshes: from coarse to fine; the last one has the problem's device.
        deadline: on `time.monotonic`'s clock.
        log: takes a line for each design that was judged.
    """

    problem: Challenge
    meshes: tuple[Mesh, ...]
    deadline: float
    log: Callable[[str], None] = print
    solves: int = 0
    theta: Vector = field(default_factory=lambda: np.zeros(0))
    best: tuple[float, Vector] = (math.inf, np.zeros(0))
    seen: dict[bytes, Vector] = field(default_factory=dict)

    @property
    def space(self) -> DensitySpace:
        """Of the designs in the end."""
        return self.meshes[-1].space

    def check_time(self) -> None:
        """Raises `OutOfTime` past the deadline."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    def scattering(self, density: Vector) -> Vector:
        """S-parameters of a design on the finest mesh, solved once."""
        key = density.tobytes()
        if key not in self.seen:
            self.solves += len(self.problem.device.wavelength_um)
            self.seen[key] = self.problem.device.simulate(density, len(self.problem.device.cells_um) - 1)["s"]
        return self.seen[key]

    def violation_db(self, density: Vector, late: bool = False) -> float:
        """Of a binary design, by our S-parameters or as ceviche_challenges would read them, whichever is worse."""
        if not late:
            self.check_time()
        return worst_violation_db(self.problem, {"s": self.scattering(density)})

    def keep(self, density: Vector, label: str) -> float:
        """Judges a binary design, were it late, and remembers the best one."""
        violation = self.violation_db(density, late=True)
        if violation < self.best[0]:
            self.best = (violation, density)
        self.log(f"  {label:28s}{violation:8.2f} dB  {self.solves:6d} solves")
        return violation

    def loss(self, stage: Stage) -> Callable[[Vector], tuple[float, Vector]]:
        """Loss and gradient by theta of a stage."""
        device, space = self.meshes[stage.mesh].device, self.meshes[stage.mesh].space.at(stage.beta)
        target = WorstWindow(
            *(windows(self.problem, device)), "power" if stage.scale == "power" else "db", stage.softness_db
        )
        level = len(device.cells_um) - 1
        judge = TargetLoss((target,), device.fidelities[level])
        least = math.inf

        def function(values: Vector) -> tuple[float, Vector]:
            nonlocal least
            self.check_time()
            self.solves += len(device.wavelength_um)
            theta = torch.tensor(values, requires_grad=True)
            density = space.decode(theta)
            response, gradient = device.vjp(density.detach().numpy(), level, judge)
            penalty = stage.grey * (4 * density * (1 - density)).mean()
            surrogate = (density * torch.from_numpy(gradient)).sum() + penalty
            (slope,) = torch.autograd.grad(surrogate, theta)
            loss = float(judge.judge([response])[0]) + float(penalty.detach())
            if loss < least:
                least, self.theta = loss, np.array(values)
            return loss, slope.numpy()

        return function

    def descend(self, theta: Vector, stages: tuple[Stage, ...], label: str, seconds: float = math.inf) -> Vector:
        """Through the stages for so long at most; each one's end on the finest mesh is binarised and judged."""
        own = replace(self, deadline=min(self.deadline, time.monotonic() + seconds))
        for stage in stages:
            own.theta = theta = resampled(theta, self.meshes, stage.mesh)
            try:
                theta, late = descend(own.loss(stage), theta, optimizer="mma", evaluations=stage.evaluations), False
            except OutOfTime:
                theta, late = own.theta, True
            self.solves = own.solves
            if stage.mesh == -1:
                self.keep(self.space.binarize(theta), f"{label}, sharpness {stage.beta:g}")
                own.solves = self.solves
            if late:
                break
        return theta

    def polish(self, density: Vector, goal_db: float, tries: int = 60) -> Vector:
        """Exchanges single pixels, with their mirror images, as the gradient suggests, until none of them helps."""
        pixel = DensitySpace(self.space.shape, self.space.pixel_um, filter_radius_um=0.0, projection="none")
        bare = replace(self, meshes=(Mesh(self.problem.device, pixel),))
        slope_of = bare.loss(Stage("db", 1.0, 0.3, 0.0, 1))
        violation = self.violation_db(density)
        while violation > goal_db:
            _, slope = slope_of(density.ravel())
            self.solves += len(self.problem.device.wavelength_um)
            gain = symmetrised((slope.reshape(density.shape) * (1 - 2 * density)), self.space.symmetries)
            gain[~edges(density)] = np.inf
            for index in np.argsort(gain, axis=None)[:: self.images][:tries]:
                changed = flipped(density, int(index), self.space.symmetries)
                if not self.wide_enough(changed):
                    continue
                if self.violation_db(changed) < violation - 1e-4:
                    density, violation = changed, self.violation_db(changed)
                    break
            else:
                break
            if violation < self.best[0]:
                self.best = (violation, density)
        return density

    @property
    def images(self) -> int:
        """How many pixels move together."""
        return 2 ** len(self.space.symmetries)

    def wide_enough(self, density: Vector) -> bool:
        """Whether no feature is below the space's least width and spacing."""
        sizes = feature_sizes(density, self.space.pixel_um)
        pairs = (
            (sizes.min_width_um, self.space.minimum_width_um),
            (sizes.min_spacing_um, self.space.minimum_spacing_um),
        )
        return all(size is None or size >= least - 1e-9 for size, least in pairs)


def worst_violation_db(problem: Challenge, response: Response) -> float:
    """By the S-parameters themselves and as ceviche_challenges would read them, whichever is worse."""
    read = {"s": ceviche_reading(problem.device, response["s"])}
    return max(problem.violation_db(response), problem.violation_db(read))


def windows(problem: Challenge, device: PortDevice) -> tuple[Vector, Vector]:
    """The windows at the wavelengths of a device that has some of the problem's, in order."""
    known = list(problem.device.wavelength_um)
    chosen = [known.index(w) for w in device.wavelength_um]
    return problem.lower[:, chosen], problem.upper[:, chosen]


def resampled(theta: Vector, meshes: tuple[Mesh, ...], index: int) -> Vector:
    """Parameters of one mesh's space from those of a coarser one, whose pixels are a whole number of times as wide.

    Raises:
        ValueError: if no mesh has that many parameters.
    """
    target = meshes[index].space.shape
    for mesh in meshes:
        if mesh.space.size == len(theta):
            factors = [fine // rough for fine, rough in zip(target, mesh.space.shape, strict=True)]
            return np.kron(theta.reshape(mesh.space.shape), np.ones(factors)).ravel()
    raise ValueError(f"Expected parameters of one of the meshes' spaces. Got {len(theta)}.")


def coarse_mesh(problem: Challenge, space: DensitySpace, cell_um: float, wavelength_um: tuple[float, ...]) -> Mesh:
    """A mesh of cells, and of pixels, of one side, for the first stages of a search."""
    device = coarse_device(problem.device, cell_um, wavelength_um)
    coarse = replace(
        space,
        shape=device.design_shape,
        pixel_um=cell_um,
        border=Border.of(device),
        minimum_width_um=0.0,
        minimum_spacing_um=0.0,
    )
    return Mesh(device, coarse)


def coarse_device(device: PortDevice, cell_um: float, wavelength_um: tuple[float, ...]) -> PortDevice:
    """The device on larger cells and pixels, its permittivities corrected for the grid's dispersion along the axes.

    A plane wave along an axis has sin(k h / 2) = n omega h / 2 on cells of side h, so that of index
    (2 / omega h) sin(n omega h / 2) it advances as one of index n does in the continuum; the finer mesh's own error is
    left out, and three quarters of the correction taken, its mean over all directions.
    """
    omega = 2 * math.pi / (sum(wavelength_um) / len(wavelength_um))

    def corrected(permittivity: float) -> float:
        half = math.sqrt(permittivity) * omega * cell_um / 2
        return permittivity * (1 - 0.75 * (1 - (math.sin(half) / half) ** 2))

    shapes = tuple(replace(shape, permittivity=corrected(shape.permittivity)) for shape in device.shapes)
    return replace(
        device,
        pixel_um=cell_um,
        cells_um=(cell_um,),
        wavelength_um=wavelength_um,
        pml=Pml(20 * cell_um, device.pml.order, device.pml.log_reflection),
        permittivity=(corrected(device.permittivity[0]), corrected(device.permittivity[1])),
        background=corrected(device.background),
        shapes=shapes,
        ports=tuple(replace(p, distance_um=round(p.distance_um / cell_um) * cell_um) for p in device.ports),
    )


def edges(density: Vector) -> NDArray[np.bool_]:
    """Pixels with a neighbour of the other kind."""
    padded = np.pad(density, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([side != inner for side in around], axis=0)


def symmetrised(values: Vector, symmetries: tuple[str, ...]) -> Vector:
    """Sum over the images under each symmetry in turn."""
    total = torch.from_numpy(values)
    for name in symmetries:
        total = total + sum(image(total) for image in SYMMETRIES[name])
    return total.numpy().copy()


def flipped(density: Vector, index: int, symmetries: tuple[str, ...]) -> Vector:
    """The density with one pixel and its images exchanged."""
    mark = np.zeros(density.shape)
    mark.ravel()[index] = 1.0
    moved = symmetrised(mark, symmetries) > 0
    return np.where(moved, 1 - density, density)
