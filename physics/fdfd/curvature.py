"""Second derivatives of scattering parameters, from the factorisation that served the first ones.

With M(rho) F = B for the loads of all ports and S = const + B^T F, a direction v of the density gives, M being
symmetric,

    dM = M'(rho)[v],    dF = -M^-1 (dM F),    dS = -F^T dM F,

so that the change of all fields, forward and adjoint, is one back-solve with a column a port. For a loss of seed
G = dL/dRe S + i dL/dIm S the adjoint fields are A = F conj(G), the gradient is -Re A^T M'(rho)[.] F, and its derivative
along v is

    -Re (dA^T M'[.] F + A^T M'[.] dF + A^T M''[., v] F),    dA = dF conj(G) + F conj(dG),

the last term being 0 where the operator is linear in the density, as for Ez. (Hessian-vector products by second-order
adjoints: Hinze, Pinnau, Ulbrich, Ulbrich, "Optimization with PDE Constraints" (2009), section 1.6.5.)
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Complex, Real
from physics.fdfd.region import RegionFactor
from physics.fdfd.scene import ReducedSystem, Scene

FACTORS_VARIABLE = "FDFD_FACTORS_MB"
FACTORS_BYTES = 128 * 10**6  # of factorisations kept in a process, unless the environment says otherwise


@dataclass(frozen=True, eq=False)
class Solved:
    """The region with one density, factored, and the fields ``n x ports`` of all ports' loads."""

    factor: RegionFactor
    field: Complex

    @staticmethod
    def of(system: ReducedSystem, density: Real) -> Solved:
        """Factors and solves."""
        factor = system.factor(density)
        return Solved(factor, factor.solve(system.region.sources))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.factor.nbytes + self.field.nbytes


class SolvedCache:
    """The last factorisations of scenes of which second derivatives were asked, up to so many bytes.

    Whoever takes one has it to himself until it is given back, and one that fell back on SuperLU is not taken back:
    SciPy frees its memory only in the thread that made it (:mod:`physics.fdfd.lanes`). Fields are the same bits whether
    they come from here or are solved again.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Scene, bytes], Solved] = OrderedDict()
        self._curved: set[int] = set()  # hashes, so that no scene is held for it
        self._lock = threading.Lock()

    def take(self, scene: Scene, density: Real) -> Solved | None:
        """What is kept of a density, None if nothing is; from now on the scene's factorisations are kept."""
        with self._lock:
            self._curved.add(hash(scene))
            return self._kept.pop((scene, density.tobytes()), None)

    def give(self, scene: Scene, density: Real, solved: Solved) -> None:
        """Keeps a factorisation if the scene's are wanted, the longest unused making room."""
        if solved.factor.pivoted:
            return
        bound = factors_bytes()
        with self._lock:
            if hash(scene) not in self._curved or solved.nbytes > bound:
                return
            self._kept[scene, density.tobytes()] = solved
            excess = self.nbytes - bound
            while excess > 0:
                excess -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Drops all, and what scenes are wanted."""
        with self._lock:
            self._kept.clear()
            self._curved.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(solved.nbytes for solved in self._kept.values())


factors = SolvedCache()


def factors_bytes() -> float:
    """Bound of the cache of factorisations; ``ValueError`` if the environment variable is not a number."""
    text = os.environ.get(FACTORS_VARIABLE)
    try:
        return FACTORS_BYTES if text is None else 1e6 * float(text)
    except ValueError:
        raise ValueError(f"Expected {FACTORS_VARIABLE} as a number of megabytes. Got {text!r}.") from None


@dataclass(frozen=True, eq=False)
class Tangent:
    """Fields of all ports at one density, and their derivatives along a direction, both ``n x ports``."""

    system: ReducedSystem
    density: Real
    direction: Real
    field: Complex
    change: Complex
    moved: Complex

    @staticmethod
    def along(scene: Scene, system: ReducedSystem, density: Real, direction: Real) -> Tangent:
        """One back-solve on the factorisation kept of this density, or on a new one."""
        solved = factors.take(scene, density) or Solved.of(system, density)
        moved = system.change(density, direction).apply(solved.field)
        change = -solved.factor.solve(moved)
        factors.give(scene, density, solved)
        return Tangent(system, density, direction, solved.field, change, moved)

    def scattering(self, sources: Sequence[int]) -> tuple[Complex, Complex]:
        """Columns ``sources`` of the scattering matrix and their derivatives, ``ports x sources`` each."""
        s = self.system.scattering(self.field[:, sources], sources)
        return s, -self.field.T @ self.moved[:, sources]

    def product(self, seed: Complex, d_seed: Complex, sources: Sequence[int]) -> Real:
        """Derivative of the gradient along the direction, shaped like the density.

        Args:
            seed: dL/dRe S + i dL/dIm S, ``ports x sources``.
            d_seed: its derivative.
            sources: of its columns.
        """
        field, change = self.field[:, sources], self.change[:, sources]
        adjoint = self.field @ np.conj(seed)
        d_adjoint = self.change @ np.conj(seed) + self.field @ np.conj(d_seed)
        pairs = np.concatenate([d_adjoint, adjoint], axis=1), np.concatenate([field, change], axis=1)
        linear = self.system.pull_back(self.density, *pairs)
        return linear + self.system.pull_back_change(self.density, self.direction, adjoint, field)
