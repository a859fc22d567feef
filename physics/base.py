"""The contract between forward solvers and everything that uses them.

A simulator is a picklable value. It answers at one or more fidelities, ordered cheapest first; the last is the
reference. What else it can do (gradients, fields, parameters) it says by satisfying one of the small protocols below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Response = Mapping[str, Array]
Cotangents = Mapping[str, Array] | Callable[[Response], Mapping[str, Array]]


class SimulationError(RuntimeError):
    """A solve that failed for a reason the solver can name."""


class MissingSoftware(ImportError):
    """An optional program or package that is needed and not there; says what to install."""


@dataclass(frozen=True)
class Quantity:
    """One named, gridded output of a solver.

    Args:
        name: e.g. ``"s"``, ``"transmission"``, ``"stress"``.
        coords: ordered axes of the array, with units in the name: ``{"port": ("out",), "wavelength_um": (1.55,)}``.
        unit: ``"1"`` for a plain number, else e.g. ``"GPa"``.
        dtype: ``float`` or ``complex``.
    """

    name: str
    coords: Mapping[str, tuple[Any, ...]]
    unit: str = "1"
    dtype: type = float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, one entry an axis of ``coords``."""
        return tuple(len(values) for values in self.coords.values())


@dataclass(frozen=True)
class Fidelity:
    """One level at which a simulator answers; ``cost`` is relative to the cheapest level."""

    name: str
    cost: float
    response: tuple[Quantity, ...]
    stochastic: bool = False

    def quantity(self, name: str) -> Quantity:
        """The quantity of that name; ``KeyError`` with the known names if there is none."""
        for quantity in self.response:
            if quantity.name == name:
                return quantity
        known = ", ".join(q.name for q in self.response)
        raise KeyError(f"Fidelity {self.name!r} answers {known}. Got {name!r}.")


@dataclass(frozen=True)
class Fields:
    """Fields of one solve on its own grid.

    Args:
        x_um, y_um: cell centres, ``nx`` and ``ny`` long.
        wavelength_um: ``n`` wavelengths.
        permittivity: ``nx x ny``, its real part.
        values: name of a field component -> ``n x nx x ny`` complex array.
    """

    x_um: Array
    y_um: Array
    wavelength_um: Array
    permittivity: Array
    values: Mapping[str, Array]


@runtime_checkable
class Simulator(Protocol):
    """A forward solver. A picklable value; calls are independent of each other.

    ``design`` is a density in [0, 1] of shape ``design_shape``, the same array for every level.
    ``identity`` is a stable hash of everything that changes an answer.
    """

    @property
    def fidelities(self) -> tuple[Fidelity, ...]: ...
    @property
    def design_shape(self) -> tuple[int, ...]: ...
    @property
    def identity(self) -> str: ...
    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response: ...


@runtime_checkable
class Differentiable(Simulator, Protocol):
    """A solver with gradients.

    ``cotangents`` maps names of quantities to arrays of their shape in torch's convention (dL/dRe + i dL/dIm), or is a
    picklable function of the response that gives such a mapping; quantities left out count as zero. The gradient is
    real and shaped like ``design``.
    """

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]: ...


@runtime_checkable
class CurvedCotangents(Protocol):
    """Cotangents as a function of the response, with their derivative along a change of the response."""

    def __call__(self, response: Response) -> Mapping[str, Array]: ...
    def change(self, response: Response, change: Response) -> Mapping[str, Array]: ...


@runtime_checkable
class HasCurvature(Differentiable, Protocol):
    """A solver with second derivatives.

    ``hvp`` gives the response and the derivative of ``vjp``'s gradient along a ``direction``, both real and shaped like
    ``design``: the Hessian of the loss times the direction. Cotangents given as arrays count as constant. The products
    at the design of the last ``vjp`` cost back-solves, not factorisations.
    """

    def hvp(
        self,
        design: Array,
        level: int,
        cotangents: Mapping[str, Array] | CurvedCotangents,
        direction: Array,
        replicate: int = 0,
    ) -> tuple[Response, Array]: ...


@runtime_checkable
class HasFields(Protocol):
    """A solver that shows its fields; grids may differ by level."""

    def fields(self, design: Array, level: int) -> Fields: ...


@runtime_checkable
class HasParameters(Protocol):
    """Named physical parameters with (lower, upper) bounds; ``with_parameters`` gives another simulator."""

    @property
    def parameters(self) -> Mapping[str, tuple[float, float]]: ...
    def with_parameters(self, **values: float) -> Simulator: ...


@runtime_checkable
class HasExamples(Protocol):
    """``n`` valid designs, ``n x *design_shape``, for the conformance kit."""

    def example_designs(self, rng: np.random.Generator, n: int) -> Array: ...


@runtime_checkable
class HasSetup(Protocol):
    """One-off work that all later solves at a level share; calling it again costs nothing."""

    def prepare(self, level: int) -> None: ...


@runtime_checkable
class HasSurroundings(Protocol):
    """``surroundings`` gives what lies around the design as densities, ``margin_px`` pixels wide on every side."""

    def surroundings(self, margin_px: int = 1) -> Array: ...


@runtime_checkable
class HasProvenance(Protocol):
    """``provenance`` names what answers at a level: "solver", "version", "resolution", as text."""

    def provenance(self, level: int) -> Mapping[str, str]: ...


@runtime_checkable
class HasRefinement(Protocol):
    """``refined`` gives a stricter simulator (finer mesh, thicker PML, wider margins) to check convergence."""

    def refined(self) -> Simulator: ...


def resolve_cotangents(cotangents: Cotangents, response: Response) -> dict[str, Array]:
    """Cotangents as arrays, checked against the response they belong to.

    Raises:
        KeyError: for a quantity the response does not have.
        ValueError: for another shape, or for NaN or infinity.
    """
    given = cotangents(response) if callable(cotangents) else cotangents
    resolved = {}
    for name, value in given.items():
        if name not in response:
            raise KeyError(f"Expected cotangents of {', '.join(response)}. Got one of {name!r}.")
        array = np.asarray(value)
        if array.shape != response[name].shape:
            raise ValueError(
                f"Expected the cotangent of {name!r} to have shape {response[name].shape}. Got {array.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"Expected a finite cotangent of {name!r}. Got NaN or infinity; check the loss at this response."
            )
        resolved[name] = array
    return resolved


def resolve_change(
    cotangents: Mapping[str, Array] | CurvedCotangents, response: Response, change: Response
) -> dict[str, Array]:
    """Derivatives of cotangents along a change of the response, checked like :func:`resolve_cotangents`; {} of arrays.

    Raises:
        TypeError: for a function that does not know its derivative.
    """
    if isinstance(cotangents, Mapping):
        return {}
    if not isinstance(cotangents, CurvedCotangents):
        raise TypeError(
            f"Expected cotangents as arrays, or a function with a method change(response, change). Got {cotangents!r}."
        )
    return resolve_cotangents(cotangents.change(response, change), response)


def check_direction(direction: Array, shape: Sequence[int]) -> NDArray[np.float64]:
    """The direction as float64, or ``ValueError`` where it is not real, not finite or of another shape."""
    array = np.asarray(direction)
    if array.dtype.kind not in "biuf" or array.shape != tuple(shape) or not np.isfinite(array).all():
        raise ValueError(
            f"Expected a direction of finite real numbers of shape {tuple(shape)}. Got {array.dtype} {array.shape}, "
            "or NaN or infinity in it."
        )
    return array.astype(np.float64)


def check_design(design: Array, shape: Sequence[int], slack: float = 1e-9) -> NDArray[np.float64]:
    """The design as float64, or ``ValueError`` where type, shape, finiteness or range [0, 1] are violated.

    Densities beyond [0, 1] by ``slack``, or by the rounding of the design's own precision, are clipped.
    """
    given = np.asarray(design)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"Expected a design of real numbers. Got dtype {given.dtype}.")
    if given.dtype.kind == "f":
        slack = max(slack, 4 * float(np.finfo(given.dtype).eps))
    array = np.asarray(given, dtype=np.float64)
    if array.shape != tuple(shape):
        raise ValueError(f"Expected a design of shape {tuple(shape)}. Got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Expected a finite density. Got NaN or infinity in the design.")
    if array.min(initial=0.0) < -slack or array.max(initial=1.0) > 1 + slack:
        raise ValueError(
            f"Expected densities in [0, 1]. Got values from {array.min():.12g} to {array.max():.12g}; "
            "decode the parameters with a design space first."
        )
    return np.clip(array, 0.0, 1.0)


def check_level(level: int, fidelities: Sequence[Fidelity]) -> Fidelity:
    """The fidelity at ``level``, or ``ValueError`` naming the levels there are."""
    if not 0 <= level < len(fidelities):
        names = ", ".join(f"{i}: {f.name}" for i, f in enumerate(fidelities))
        raise ValueError(f"Expected a level among {{{names}}}. Got {level}.")
    return fidelities[level]
