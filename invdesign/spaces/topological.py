"""Topological derivatives: where a small hole or island would help, and putting it there."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.points import evaluate_points
from invdesign.problem import Problem
from invdesign.spaces.density import symmetrize
from invdesign.spaces.discs import best_sites, decoded, level_set, with_discs
from invdesign.spaces.distance import signed_distance
from invdesign.spaces.levelset import LevelSetSpace
from physics.base import Array

Polarization = Literal["Ez", "Hz"]


def disc_factor(polarization: Polarization, permittivity_from: complex, permittivity_to: complex) -> complex:
    """What a small disc of another material does, over what the gradient linear in the permittivity says.

    Ez: 1, the field is continuous. Hz: 2 e1 / (e1 + e2), the share of the field that enters a disc of e2 in e1
    (Jackson, Classical Electrodynamics, section 4.4, in two dimensions): to leading order in the radius, the disc has
    the dipole moment area * (e2 - e1) * factor * E.

    Raises:
        ValueError: for an unknown polarisation, or e1 + e2 = 0 in Hz, where the disc is in resonance.
    """
    if polarization not in ("Ez", "Hz"):
        raise ValueError(f"Expected polarization 'Ez' or 'Hz'. Got {polarization!r}.")
    if polarization == "Ez":
        return 1.0
    if abs(permittivity_from + permittivity_to) < 1e-12 * abs(permittivity_from):
        raise ValueError(f"Expected e1 + e2 other than 0. Got e1={permittivity_from}, e2={permittivity_to}.")
    return 2 * permittivity_from / (permittivity_from + permittivity_to)


def field_derivative(
    forward: Array,
    adjoint: Array,
    wavelength_um: float,
    permittivity_from: Array | complex,
    permittivity_to: Array | complex,
) -> NDArray[np.float64]:
    """d(loss)/d(area of a small disc) in 1/um^2, from the electric fields there: (nx, ny).

    Re(omega^2 (e2 - e1) factor E . E_adj), with omega = 2 pi / wavelength_um. The factor is that of `disc_factor`: Ez
    for fields `(nx, ny)`, Hz for fields `(2, nx, ny)`, the components along x and y of the electric field. The product
    has no complex conjugate. The adjoint field is scaled so that Re(omega^2 de E . E_adj), integrated over the area, is
    the change of the loss with a small smooth change de of the permittivity.

    Amstutz, Asymptotic Analysis 49, 87 (2006), for both polarisations' equations.

    Raises:
        ValueError: for fields of different or other shapes.
    """
    e, a = np.asarray(forward), np.asarray(adjoint)
    if e.shape != a.shape or e.ndim not in (2, 3) or (e.ndim == 3 and e.shape[0] != 2):
        raise ValueError(f"Expected two fields of one shape, (nx, ny) or (2, nx, ny). Got {e.shape} and {a.shape}.")
    e1, e2 = np.asarray(permittivity_from), np.asarray(permittivity_to)
    product = e * a if e.ndim == 2 else (e * a).sum(axis=0)
    factor = 1.0 if e.ndim == 2 else 2 * e1 / (e1 + e2)
    omega = 2 * np.pi / wavelength_um
    return np.asarray(np.real(omega**2 * (e2 - e1) * factor * product), dtype=np.float64)


def topological_derivative(
    density: Array,
    gradient: Array,
    pixel_um: float,
    *,
    polarization: Polarization = "Ez",
    permittivity: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.float64]:
    """d(loss)/d(area of a small disc) in 1/um^2 at every pixel, `(nx, ny)`: negative where the disc would help.

    The disc is of material in void and of void in material; a pixel counts as what it is by its density above or below
    1/2. From a gradient by density that is linear in the permittivity, as a solver's is:
    `+-gradient / pixel_um^2 * disc_factor`, exact to leading order in the radius. For Ez that is all. For Hz the
    gradient must be by the permittivity, of the electric field in the interior of one material: at pixels next to a
    boundary, where a solver averages 1 / permittivity between two materials, the value means little. Real numbers only;
    with losses use `field_derivative`.

    Args:
        density: `(nx, ny)`, nearly binary.
        gradient: d(loss)/d(density of a pixel), `(nx, ny)`, at that density.
        pixel_um: edge of a pixel.
        polarization: "Ez" or "Hz".
        permittivity: of density 0 and density 1; used in Hz alone.

    Raises:
        ValueError: for a density and a gradient of different shapes.
    """
    rho, slope = np.asarray(density, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
    if rho.shape != slope.shape or rho.ndim != 2:
        raise ValueError(f"Expected a density and a gradient of one shape (nx, ny). Got {rho.shape} and {slope.shape}.")
    void, solid = permittivity
    grow, dig = (float(np.real(disc_factor(polarization, *pair))) for pair in ((void, solid), (solid, void)))
    return np.where(rho > 0.5, -dig * slope, grow * slope) / pixel_um**2


def nucleate(
    space: LevelSetSpace,
    theta: Array,
    gradient: Array,
    count: int = 1,
    *,
    radius_um: float | None = None,
    clearance_um: float | None = None,
    polarization: Polarization = "Ez",
    permittivity: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.float64]:
    """Parameters `(size,)` with up to `count` small holes or islands where the topological derivative is lowest.

    Each is placed at least `clearance_um` off every boundary, with its images where the space has symmetries, and
    changes the area of material by pi radius_um^2. Fewer are placed where no more would help or fit; theta comes back
    as it was where none does. The other boundaries stay, but for some hundredths of a pixel next to the new ones.

    Args:
        space: whose level set is changed.
        theta: parameters `(size,)`.
        gradient: d(loss)/d(density), `(nx, ny)`, at `space.decode(theta)`.
        count: most holes and islands, images not counted.
        radius_um: of each; `control_um` by default, about the smallest that the control points can draw.
        clearance_um: from its rim to the nearest boundary; `control_um` by default.
        polarization, permittivity: as of `topological_derivative`.

    Raises:
        ValueError: for arrays of other shapes or lengths that make no sense.
    """
    radius = space.control_um if radius_um is None else radius_um
    clearance = space.control_um if clearance_um is None else clearance_um
    if count < 0 or not radius > 0 or not clearance >= 0:
        raise ValueError(
            f"Expected count >= 0, radius_um > 0 and clearance_um >= 0. Got {count}, {radius} and {clearance}."
        )
    found = np.asarray(theta, dtype=np.float64)
    benefit = topological_derivative(
        decoded(space, found), gradient, space.pixel_um, polarization=polarization, permittivity=permittivity
    )
    benefit = symmetrize(torch.from_numpy(benefit), space.images).numpy()
    for _ in range(count):
        free = (
            np.abs(signed_distance(level_set(space, found), space.pixel_um, periodic=space.periodic))
            >= radius + clearance
        )
        sites = best_sites(space, np.where(free, benefit, np.inf), 2 * radius + clearance)
        if not len(sites):
            break
        found = with_discs(space, found, sites, radius)
    return found


def nucleated(
    problem: Problem,
    evaluator: Evaluator,
    theta: Array,
    count: int = 1,
    *,
    level: int = -1,
    radius_um: float | None = None,
) -> NDArray[np.float64]:
    """`nucleate` with the gradient of a problem's loss, asked of a run's evaluator: for use between descents.

    The loss is that of the nominal case. After a failed solve theta comes back as it was.

    Args:
        problem: its space must be a `LevelSetSpace`, its simulator one for Ez.
        evaluator: of the run.
        theta: parameters `(size,)`.
        count, radius_um: as of `nucleate`.
        level: fidelity to solve at.

    Raises:
        TypeError: for a space without a level set.
    """
    if not isinstance(problem.space, LevelSetSpace):
        raise TypeError(f"Expected a problem on a LevelSetSpace. Got {type(problem.space).__name__}.")
    nominal, level = replace(problem, scenarios=()), level % len(problem.simulator.fidelities)
    (point,) = evaluate_points(nominal, evaluator, [np.asarray(theta)], level, gradients=True)
    gradient = point.records[0].gradient
    if gradient is None:
        return np.asarray(theta, dtype=np.float64)
    return nucleate(problem.space, theta, gradient, count, radius_um=radius_um)
