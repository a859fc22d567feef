"""What devices have in common whose answers are amplitudes, linear in the field, and absorbed powers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    Fidelity,
    Fields,
    Quantity,
    Response,
    SimulationError,
    check_design,
    check_level,
    resolve_cotangents,
)
from physics.devices.open.absorbed import Absorbed
from physics.devices.open.covered_design import CoveredDesign
from physics.devices.parameters import CORNERS, with_values
from physics.fdfd.blas import one_blas_thread
from physics.fdfd.grid import Complex, Grid, Real
from physics.fdfd.lanes import Lanes
from physics.fdfd.linear import Factor
from physics.fdfd.region import Coefficients, Region, RegionFactor
from physics.fdfd.scene import remembered


@dataclass(frozen=True, eq=False)
class Answer:
    """What is read off the fields of ``k`` sources, or the cotangents of that.

    Args:
        amplitudes: ``l x k`` of ``l`` receivers.
        absorbed: ``k``, power absorbed in the design region.
    """

    amplitudes: Complex
    absorbed: Real


@dataclass(frozen=True, eq=False)
class Solution:
    """One density's factorisation with the fields of all sources, ``n x k``."""

    coefficients: Coefficients
    factor: RegionFactor
    field: Complex


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """A design region at one wavelength with what its surroundings, sources and receivers do to it.

    Args:
        design: from the density to the region's coefficients.
        region: the window.
        own: ``l x k``, added to the amplitudes.
    """

    design: CoveredDesign
    region: Region
    own: Complex

    @cached_property
    def absorption(self) -> Absorbed:
        """Absorbed powers."""
        return Absorbed.of(self.design, self.region)

    def solve(self, density: Real) -> Solution:
        """The fields of all sources."""
        coefficients = self.design.values(density)
        factor = RegionFactor(self.region, coefficients)
        return Solution(coefficients, factor, factor.solve(self.region.sources))

    def answer(self, solution: Solution) -> Answer:
        """Amplitudes and absorbed powers."""
        amplitudes = self.own + self.region.constant + self.region.receivers.T @ solution.field
        return Answer(amplitudes, self.absorption.power(solution.coefficients, solution.field))

    def pull_back(self, density: Real, solution: Solution, seed: Answer) -> Real:
        """dL/d(density) from the cotangents of the answer: one transposed solve on the same factorisation.

        With M f = b and a = r^T f, da = -lambda^T dM f where M^T lambda = r; M is not symmetric across a Bloch period.
        """
        weight = seed.absorbed
        loads = self.region.receivers @ seed.amplitudes.conj()
        if weight.any():
            loads = loads + weight * self.absorption.cotangent(solution.coefficients, solution.field).conj()
        adjoint = solution.factor.solve(loads, transposed=True)
        d = self.region.derivative(adjoint, solution.field)
        if weight.any():
            more = self.absorption.explicit(solution.field, weight)
            d = Coefficients(d.diagonal + more.diagonal, d.east + more.east, d.north + more.north)
        return self.design.pull_back(density, d)


class LinearScene(Protocol):
    """One mesh, wavelength and set of sources, without a density; hashable."""

    def build(self) -> LinearSystem:
        """Condenses the surroundings."""
        ...

    @property
    def grid(self) -> Grid: ...
    @property
    def design(self) -> CoveredDesign: ...
    @property
    def loads(self) -> Complex:
        """``nx ny x k`` sources."""
        ...

    @property
    def incident(self) -> Complex:
        """``nx x ny x k``, what is missing where only the scattered field is computed."""
        ...

    def permittivity_of(self, density: Real) -> Real | Complex: ...


_systems: OrderedDict[LinearScene, LinearSystem] = OrderedDict()


def linear_system(scene: LinearScene, together: Sequence[LinearScene] = ()) -> LinearSystem:
    """The system of a scene, from a cache in this process bounded as :func:`physics.fdfd.scene.reduced_system`'s."""
    return remembered(_systems, scene, together, lambda missing: missing.build())


class LinearDevice(ABC):
    """A simulator made of linear systems: the contract of :mod:`physics.base`, given its scenes and their reading."""

    @property
    @abstractmethod
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of everything that changes an answer."""

    @property
    @abstractmethod
    def meshes_um(self) -> tuple[float, ...]:
        """Sides of the cells, one a level, coarsest first."""

    @property
    @abstractmethod
    def most_threads(self) -> int:
        """Systems solved at once."""

    @property
    @abstractmethod
    def quantities(self) -> tuple[Quantity, ...]:
        """What every level answers."""

    @abstractmethod
    def scenes(self, level: int) -> tuple[LinearScene, ...]:
        """The systems of a level, in the order of the answers."""

    @abstractmethod
    def read(self, answers: Sequence[Answer]) -> dict[str, Array]:
        """The response from the answers of all scenes."""

    @abstractmethod
    def seeds(self, cotangents: Mapping[str, Array], answers: Sequence[Answer]) -> list[Answer]:
        """Cotangents of the answers from those of the response: the adjoint of :meth:`read`."""

    @abstractmethod
    def shown(self, fields: Sequence[Complex]) -> tuple[Array, dict[str, Array]]:
        """(wavelengths, name -> ``n x nx x ny``) for pictures, from each scene's ``nx x ny x k``."""

    @property
    def parameters(self) -> Mapping[str, tuple[float, float]]:
        """Parameters that corners may set, with their bounds."""
        return CORNERS

    def with_parameters(self, **values: float) -> Self:
        """The same device with other parameters; ``ValueError`` for unknown ones and values out of bounds."""
        return with_values(self, CORNERS, values)

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a cell size; cost grows as the unknowns of the design region to the power 1.25."""
        cells = self.meshes_um
        return tuple(Fidelity(f"fdfd-{1000 * cell:g}nm", (cells[0] / cell) ** 2.5, self.quantities) for cell in cells)

    @one_blas_thread()
    def prepare(self, level: int) -> None:
        """Condenses the surroundings of every scene, which later solves share."""
        check_level(level, self.fidelities)
        scenes = self._kept(level)
        with self._lanes(scenes) as lanes:
            lanes.each(lambda i: linear_system(scenes[i], scenes) is None)

    @one_blas_thread()
    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """The response of a density; deterministic, ``replicate`` changes nothing."""
        density, scenes = self._density(design, level), self._kept(level)

        def forward(i: int) -> Answer:
            system = linear_system(scenes[i], scenes)
            return system.answer(system.solve(density))

        with self._lanes(scenes) as lanes:
            return self._finite(self.read(lanes.each(forward)))

    @one_blas_thread()
    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density; one factorisation a scene serves both directions."""
        density, scenes = self._density(design, level), self._kept(level)
        solutions: dict[int, Solution] = {}

        def forward(i: int) -> Answer:
            system = linear_system(scenes[i], scenes)
            solutions[i] = system.solve(density)
            return system.answer(solutions[i])

        def backward(i: int, seed: Answer) -> Real:
            return linear_system(scenes[i], scenes).pull_back(density, solutions.pop(i), seed)

        with self._lanes(scenes) as lanes:
            answers = lanes.each(forward)
            response = self._finite(self.read(answers))
            seeds = self.seeds(resolve_cotangents(cotangents, response), answers)
            gradient = np.sum(lanes.each(lambda i: backward(i, seeds[i])), axis=0)
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    @one_blas_thread()
    def fields(self, design: Array, level: int) -> Fields:
        """The total field out of the plane on the whole grid, for each source by itself; of media the real part."""
        density, scenes = self._density(design, level), self._kept(level)

        def solve(i: int) -> Complex:
            scene = scenes[i]
            factor = Factor(scene.design.stencil(density).matrix(), ordered=False)
            return factor.solve(scene.loads).reshape(*scene.grid.shape, -1) + scene.incident

        with self._lanes(scenes) as lanes:
            solved = lanes.each(solve)
        wavelengths, values = self.shown(solved)
        grid = scenes[0].grid
        return Fields(
            grid.x.centres_um, grid.y.centres_um, wavelengths, np.real(scenes[0].permittivity_of(density)), values
        )  # fmt: skip

    def _density(self, design: Array, level: int) -> Real:
        check_level(level, self.fidelities)
        return check_design(design, self.design_shape)

    def _finite(self, response: dict[str, Array]) -> dict[str, Array]:
        for name, value in response.items():
            if not np.isfinite(value).all():
                raise SimulationError(f"Expected finite {name!r}. Got NaN or infinity.")
        return response

    def _kept(self, level: int) -> tuple[LinearScene, ...]:
        if level not in self._scenes:
            self._scenes[level] = self.scenes(level)
        return self._scenes[level]

    @cached_property
    def _scenes(self) -> dict[int, tuple[LinearScene, ...]]:
        return {}

    def _lanes(self, scenes: Sequence[LinearScene]) -> Lanes:
        return Lanes(len(scenes), self.most_threads)

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields travel to other processes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]
