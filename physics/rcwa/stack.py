"""One solve: TORCWA's half-spaces and S-matrix cascade around a layer of pixels."""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor

from physics.base import MissingSoftware
from physics.rcwa.factorisation import permittivity_matrices
from physics.rcwa.functions import RootAndPropagator
from physics.rcwa.orders import Incidence, Pair


def torcwa() -> Any:
    """The package, or ``MissingSoftware`` that says how to install it."""
    try:
        return importlib.import_module("torcwa")
    except ImportError as error:
        raise MissingSoftware(
            "Expected the package torcwa for gratings and meta-atoms. Got none; install it with "
            "`pip install invdesign[rcwa]`."
        ) from error


def scattered_fields(
    permittivity: Tensor,
    *,
    thickness_um: float,
    period_um: tuple[float, ...],
    harmonics: Pair,
    incidence: Incidence,
    front: float,
    back: complex,
    field: tuple[float, float],
) -> Tensor:
    """Tangential electric field of every order behind and before a layer, for a plane wave of unit vacuum wavenumber.

    Args:
        permittivity: ``nx x ny`` complex pixels of the layer.
        thickness_um: of the layer.
        period_um: of the cell, along x or along x and y.
        harmonics: highest order along x and y.
        incidence: wavelength and angles.
        front, back: permittivity of the half-spaces the wave comes from and goes to.
        field: Ex and Ey of the incident wave at the layer.

    Returns:
        ``2 x 2 x n``: transmitted at the back face and reflected at the front face; Ex and Ey; orders as
        :func:`physics.rcwa.orders.box` lists them.
    """
    lattice = [*period_um, period_um[0]][:2]  # in a cell of one period the order along y is always 0
    stack = torcwa().rcwa(
        1 / incidence.wavelength_um, list(harmonics), lattice, dtype=torch.complex128, device=torch.device("cpu")
    )
    stack.add_input_layer(eps=front)
    stack.add_output_layer(eps=back)
    stack.set_incident_angle(math.radians(incidence.angle_deg), math.radians(incidence.azimuth_deg))
    transmission, reflection = layer(stack, permittivity, 2 * math.pi * thickness_um / incidence.wavelength_um)
    # Amplitudes inside the layer, which nobody asks for.
    nothing = torch.zeros((0, transmission.shape[0]), dtype=torch.complex128)
    stack.layer_N, stack.thickness, stack.Cf, stack.Cb = 1, [thickness_um], [nothing], [nothing]
    stack.layer_S11, stack.layer_S22 = [transmission], [transmission]
    stack.layer_S21, stack.layer_S12 = [reflection], [reflection]
    stack.solve_global_smatrix()
    count = stack.order_N
    centre = count // 2

    def response(matrix: Tensor) -> Tensor:
        return (field[0] * matrix[:, centre] + field[1] * matrix[:, count + centre]).reshape(2, count)

    return torch.stack([response(stack.S[0]), response(stack.S[1])])


def layer(stack: Any, permittivity: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Transmission and reflection matrices of the layer between vacuum gaps of no width, ``2n x 2n`` each.

    In the layer the tangential fields obey dE/dz = i P H, dH/dz = i Q E (lengths over the vacuum wavenumber), so E
    depends on z through the root K of P Q alone and H = P^-1 K E. The layer is its own mirror image in z: even and odd
    excitations part, each a system of half the size.
    """
    kx, ky = stack.Kx_norm_dn, stack.Ky_norm_dn
    for_x, for_y, for_z = permittivity_matrices(permittivity, tuple(stack.order))
    one = torch.eye(len(kx), dtype=torch.complex128)
    nought = torch.zeros_like(one)
    curl = torch.linalg.inv(for_z)
    p = torch.cat(
        [
            torch.cat([kx[:, None] * curl * ky, one - kx[:, None] * curl * kx], 1),
            torch.cat([ky[:, None] * curl * ky - one, -ky[:, None] * curl * kx], 1),
        ]
    )
    q = torch.cat(
        [
            torch.cat([nought - torch.diag(kx * ky), torch.diag(kx**2) - for_y], 1),
            torch.cat([for_x - torch.diag(ky**2), torch.diag(kx * ky)], 1),
        ]
    )
    root, propagator = RootAndPropagator.apply(p @ q, length)
    admittance = torch.linalg.solve(stack.Vf, torch.linalg.solve(p, root))
    unit = torch.eye(2 * len(kx), dtype=torch.complex128)
    forward, backward = unit + admittance, (unit - admittance) @ propagator
    even = 2 * torch.linalg.solve(forward + backward, unit + propagator, left=False) - unit
    odd = 2 * torch.linalg.solve(forward - backward, unit - propagator, left=False) - unit
    return (even - odd) / 2, (even + odd) / 2
