"""A design from scratch for a problem of power windows: stages of L-BFGS-B on the worst window.

A density with a conic filter and a projection is driven first by the powers that lie outside their windows, then, at
growing sharpness, by the smooth maximum of all excesses. Each stage's end is binarised, repaired to the least width and
spacing, and judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import imageruler
import numpy as np
import torch
from numpy.typing import NDArray

from invdesign import DensitySpace
from invdesign.challenges import Challenge, Scale, WorstWindow
from invdesign.problem import TargetLoss
from invdesign.spaces.border import Border
from invdesign.strategies.descent import descend
from physics.devices import PortDevice
from physics.devices.challenges import ceviche_reading
from physics.fdfd.grid import Pml

Vector = NDArray[Any]


class OutOfTime(Exception):
    """The CPU time is spent."""


@dataclass(frozen=True)
class Stage:
    """One descent.

    Args:
        scale: what it minimises, see `WorstWindow`.
        beta: sharpness of the projection.
        softness: of the smooth maximum.
        grey: cost of a grey density.
        evaluations: most solves.
        meshes: numbers of the meshes judged together, on the pixels of the first.
    """

    scale: Scale
    beta: float
    softness: float
    grey: float
    evaluations: int
    meshes: tuple[int, ...] = (-1,)


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
        meshes: for the descents; the last one has the problem's device.
        deadline: on `time.process_time`'s clock.
        checks: other devices on the same pixels on which the windows must hold too.
        log: takes a line for each design that was judged.
    """

    problem: Challenge
    meshes: tuple[Mesh, ...]
    deadline: float
    checks: tuple[PortDevice, ...] = ()
    log: Callable[[str], None] = print
    solves: int = 0
    best: tuple[float, Vector] = (math.inf, np.zeros(0))
    seen: dict[bytes, tuple[Vector, ...]] = field(default_factory=dict)

    @property
    def space(self) -> DensitySpace:
        """Of the designs in the end."""
        return self.meshes[-1].space

    def check_time(self) -> None:
        """Raises `OutOfTime` past the deadline."""
        if time.process_time() > self.deadline:
            raise OutOfTime

    def scattering(self, density: Vector) -> tuple[Vector, ...]:
        """S-parameters of a design on the problem's device and on those to check, solved once."""
        key = density.tobytes()
        if key not in self.seen:
            devices = (self.problem.device, *self.checks)
            self.solves += sum(len(device.wavelength_um) for device in devices)
            self.seen[key] = tuple(d.simulate(density, len(d.cells_um) - 1)["s"] for d in devices)
        return self.seen[key]

    def shortfall(self, density: Vector) -> float:
        """Of a binary design on all devices, see `shortfall`."""
        s = self.scattering(density)
        return shortfall(self.problem, (*s, ceviche_reading(self.problem.device, s[0])))

    def keep(self, density: Vector, label: str) -> float:
        """Judges a binary design and remembers the best one."""
        value = self.shortfall(density)
        if value < self.best[0]:
            self.best = (value, density)
        self.log(f"  {label:28s}{value:9.3f}{self.solves:8d} solves{time.process_time():8.1f} s")
        return value

    def descend(self, theta: Vector, stages: tuple[Stage, ...], label: str = "") -> tuple[float, Vector]:
        """Through the stages as long as there is time; gives the last loss and parameters.

        With a label each end on the problem's own pixels, and where time runs out, is binarised and judged.
        """
        least = math.inf
        for stage in stages:
            used = [self.meshes[i] for i in stage.meshes]
            theta = resampled(theta, self.meshes, used[0].space)
            course = Course(self, stage, used, theta)
            try:
                theta, late = (
                    descend(course, theta, optimizer="lbfgsb", evaluations=stage.evaluations, relative_tolerance=1e-5),
                    False,
                )
            except OutOfTime:
                theta, late = course.theta, True
            least = course.least
            if label and (late or used[0].space.shape == self.space.shape):
                ended = resampled(theta, self.meshes, self.space)
                self.keep(self.space.binarize(ended), f"{label}, sharpness {stage.beta:g}")
            if late:
                break
        return least, theta

    def wide_enough(self, density: Vector) -> bool:
        """Whether no feature is below the space's least width and spacing."""
        space = self.space
        lengths = (space.minimum_width_um, space.minimum_spacing_um)
        for solid, length in zip((True, False), lengths, strict=True):
            phase = np.ascontiguousarray((density > 0.5) == solid)
            least = round(length / space.pixel_um)
            if imageruler.length_scale_violations_solid(phase, least, feasibility_gap_allowance=1).any():
                return False
        return True


@dataclass
class Course:
    """Loss and gradient of a stage; remembers the best parameters."""

    search: Search
    stage: Stage
    meshes: Sequence[Mesh]
    theta: Vector
    least: float = math.inf

    def __call__(self, values: Vector) -> tuple[float, Vector]:
        """Loss and gradient by theta."""
        self.search.check_time()
        stage = self.stage
        theta = torch.tensor(values, requires_grad=True)
        density = self.meshes[0].space.at(stage.beta).decode(theta)
        found = [self._of(mesh.device, density.detach().numpy()) for mesh in self.meshes]
        losses = torch.tensor([loss for loss, _ in found])
        if stage.scale == "power":
            worst, weights = losses.mean(), torch.full((len(found),), 1 / len(found))
        else:  # the smooth maximum over all meshes is that of the meshes' own
            worst = stage.softness * torch.logsumexp(losses / stage.softness, 0)
            weights = torch.softmax(losses / stage.softness, 0)
        gradient = sum(float(w) * slope for w, (_, slope) in zip(weights, found, strict=True))
        penalty = stage.grey * (4 * density * (1 - density)).mean()
        (slope,) = torch.autograd.grad((density * torch.from_numpy(gradient)).sum() + penalty, theta)
        loss = float(worst) + float(penalty.detach())
        if loss < self.least:
            self.least, self.theta = loss, np.array(values)
        return loss, slope.numpy()

    def _of(self, device: PortDevice, density: Vector) -> tuple[float, Vector]:
        self.search.solves += len(device.wavelength_um)
        target = WorstWindow(*windows(self.search.problem, device), self.stage.scale, self.stage.softness)
        level = len(device.cells_um) - 1
        judge = TargetLoss((target,), device.fidelities[level])
        response, gradient = device.vjp(density, level, judge)
        return float(judge.judge([response])[0]), gradient


def shortfall(problem: Challenge, scatterings: Sequence[Vector]) -> float:
    """Largest violation in dB of several answers to a problem or, if there is none, minus the least metric."""
    violation = max(problem.violation_db({"s": s}) for s in scatterings)
    return violation if violation > 0 else -min(problem.eval_metric({"s": s}) for s in scatterings)


def chosen(problem: Challenge, device: PortDevice) -> list[int]:
    """Numbers of the wavelengths that a device has among the problem's."""
    return [problem.device.wavelength_um.index(wavelength) for wavelength in device.wavelength_um]


def windows(problem: Challenge, device: PortDevice) -> tuple[Vector, Vector]:
    """The windows at the wavelengths of a device that has some of the problem's, in order."""
    kept = chosen(problem, device)
    return problem.lower[:, kept], problem.upper[:, kept]


def resampled(theta: Vector, meshes: tuple[Mesh, ...], space: DensitySpace) -> Vector:
    """Parameters of one space from those of a mesh's space whose pixels are a whole number of times as wide.

    Raises:
        ValueError: if no mesh has that many parameters.
    """
    for mesh in meshes:
        if mesh.space.size == len(theta):
            factors = [fine // rough for fine, rough in zip(space.shape, mesh.space.shape, strict=True)]
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
