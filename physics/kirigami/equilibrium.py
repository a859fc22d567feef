"""Equilibria of a lattice under a displaced grip: Newton's method on the energy, strain by strain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from physics.base import Array, SimulationError
from physics.kirigami.factor import Factor, factorise
from physics.kirigami.lattice_energy import Lattice

# Newton's, on a path, and where it ends and the sheet jumps to another equilibrium.
ITERATIONS, JUMPING = 60, 200
# Steps are halved down to this share of the whole way.
SMALLEST_STEP = 2.0**-5
LARGEST_STEP = 0.1
# Armijo's constant, and how often a step is shortened.
DESCENT, SHORTENINGS = 1e-4, 30
# A gradient that has stopped falling at this much of its tolerance's scale is converged to rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class State:
    """An equilibrium.

    Args:
        strain: of the sheet.
        u: ``n x 3`` displacements in angstrom.
        factor: of the tangent over free degrees of freedom.
        tangent: that matrix.
        by_strain: ``3n``, derivative of the gradient of the energy along the grip's motion.
        force: derivative of the energy in the strain, in eV.
        iterations: of Newton's method since the state before.
    """

    strain: float
    u: Array
    factor: Factor
    tangent: sp.csc_matrix
    by_strain: Array
    force: float
    iterations: int


def follow(lattice: Lattice, relative: Array, strains: Iterable[float]) -> list[State]:
    """Equilibria at strains in turn, starting unloaded; stable ones, unless symmetry alone keeps the sheet flat.

    Raises:
        SimulationError: where the smallest step finds none.
    """
    start = _settle(lattice, relative, 0.0, np.zeros_like(lattice.mesh.rest))
    if start is None:
        raise SimulationError("Expected an equilibrium of the unloaded sheet. Got none; use a smaller imperfection.")
    state, states = start, []
    for strain in strains:
        step, spent = strain - state.strain, 0
        smallest = abs(step) * SMALLEST_STEP
        while state.strain != strain:
            step = float(np.clip(step, -LARGEST_STEP, LARGEST_STEP))
            near = abs(strain - state.strain) <= (1 + 1e-7) * abs(step)
            target = strain if near else state.strain + step
            found = _settle(lattice, relative, target, predict(lattice, state, target))
            if found is not None:
                spent, state = spent + found.iterations, found
                continue
            step /= 2
            if abs(step) >= smallest:
                continue
            found = _settle(lattice, relative, target, state.u, JUMPING)
            if found is None:
                raise SimulationError(
                    f"No equilibrium found beyond a strain of {state.strain:.4g} on the way to {strain:.4g}; use "
                    "another imperfection, or strains that end sooner."
                )
            spent, state, step = spent + found.iterations, found, strain - target
        states.append(replace(state, iterations=spent))
    return states


def predict(lattice: Lattice, state: State, strain: float) -> Array:
    """Displacements at another strain by the tangent."""
    change = lattice.pull.ravel().copy()
    change[lattice.free] = -state.factor.solve(state.by_strain[lattice.free])
    return state.u + (strain - state.strain) * change.reshape(state.u.shape)


def smallest_eigenvalue(lattice: Lattice, state: State, relative: Array) -> float:
    """Smallest eigenvalue of the tangent per area of material, eV/angstrom^4; 0 at limit and bifurcation points.

    Of several below 0, the one closest to 0.
    """
    mass = sp.diags(lattice.masses(relative))
    solve = spl.LinearOperator(state.tangent.shape, matvec=state.factor.solve, dtype=float)
    start = np.random.default_rng(0).standard_normal(state.tangent.shape[0])
    # Of the inverse: the largest if all are above 0, else the one furthest below.
    which: Literal["SA", "LA"] = "SA" if state.factor.negative else "LA"
    found = spl.eigsh(
        state.tangent, 1, mass, sigma=0.0, which=which, OPinv=solve, v0=start, tol=1e-4, return_eigenvectors=False
    )
    return float(found[0])


def _settle(
    lattice: Lattice, relative: Array, strain: float, guess: Array, iterations: int = ITERATIONS
) -> State | None:
    """The minimum of the energy that Newton's method finds from a guess, None if it finds none."""
    held = strain * lattice.pull
    u = guess.copy()
    u[~lattice.mesh.free] = held[~lattice.mesh.free]
    free, longest = lattice.free, 0.5 * lattice.rest_length.mean()
    energy, gradient = lattice.energy(u, relative)
    scale = float(lattice.forms.max(axis=(1, 2)).mean() * lattice.rest_length.mean() ** 3)
    mass = lattice.masses(np.ones_like(relative))
    flat = not lattice.moments.any()
    shift, previous = 0.0, np.inf
    for iteration in range(iterations):
        tangent, by_strain = lattice.hessian(u, relative)
        factor = factorise(tangent)
        residual = gradient.ravel()[free]
        size = float(np.abs(residual).max())
        stable = factor is not None and (factor.negative == 0 or flat)
        calm = size <= ROUNDING * scale or (size <= 1e3 * ROUNDING * scale and size > 0.5 * previous)
        if factor is not None and stable and calm:
            force = float((gradient * lattice.pull).sum())
            return State(strain, u, factor, tangent, by_strain, force, iteration)
        previous = size
        if factor is None or not stable:
            # Towards steepest descent until the step leads downhill everywhere.
            shift = max(shift / 4, 1e-6 * float(np.median(tangent.diagonal() / mass)))
            factor, shift = _shifted(tangent, mass, shift)
        step = np.zeros(u.size)
        step[free] = -factor.solve(residual)
        step *= min(1.0, longest / max(float(np.abs(step).max()), np.finfo(float).tiny))
        slope = float(step[free] @ residual)
        moved = _search(lattice, relative, u, step.reshape(u.shape), energy, slope, size, flat)
        if moved is None:
            return None
        u, energy, gradient = moved
    return None


def _shifted(tangent: sp.csc_matrix, mass: Array, shift: float) -> tuple[Factor, float]:
    """The factor of the tangent plus so much of the mass that no eigenvalue is below 0, and how much."""
    while True:
        factor = factorise(sp.csc_matrix(tangent + sp.diags(shift * mass)))
        if factor is not None and factor.negative == 0:
            return factor, shift
        shift *= 4


def _search(
    lattice: Lattice, relative: Array, u: Array, step: Array, energy: float, slope: float, size: float, flat: bool
) -> tuple[Array, float, Array] | None:
    """Shortens a step until the energy falls, or the gradient where the energy is at its rounding."""
    noise = 1e-13 * (abs(energy) + 1.0)
    length = 1.0
    for _ in range(SHORTENINGS):
        tried = u + length * step
        new, gradient = lattice.energy(tried, relative)
        if np.isfinite(new):
            falls = new <= energy + DESCENT * length * slope
            calm = new <= energy + noise and np.abs(gradient.ravel()[lattice.free]).max() <= 2 * size
            if falls or (calm and abs(slope) < 1e3 * noise) or (flat and calm):
                return tried, new, gradient
        length /= 2
    return None
