"""Hessian-vector products of a device's losses: both power laws and amplitudes, all wavelengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from physics.base import Array, CurvedCotangents, Response, SimulationError, resolve_change, resolve_cotangents
from physics.fdfd.curvature import Tangent
from physics.fdfd.grid import Complex, Real

if TYPE_CHECKING:
    from physics.devices.port_device import PortDevice


def hessian_product(
    device: PortDevice,
    density: Real,
    level: int,
    cotangents: Mapping[str, Array] | CurvedCotangents,
    direction: Real,
) -> tuple[Response, Real]:
    """The response, and the derivative of the gradient along a direction shaped like the density.

    The cotangent of S is c + 2 w S for cotangents c of S and w of abs(S)^2, and changes by dc + 2 dw S + 2 w dS.

    Raises:
        SimulationError: if a solve fails or the product is not finite.
    """
    scenes, sources = device._scenes(level), device.source_numbers
    tangents: dict[int, Tangent] = {}

    def forward(i: int) -> tuple[Complex, Complex]:
        tangents[i] = Tangent.along(scenes[i], device._system(level, i), density, direction)
        return tangents[i].scattering(sources)

    with device._lanes() as lanes:
        s, ds = (np.stack(parts, axis=-1) for parts in zip(*lanes.each(forward), strict=True))
        response = device.response_of(s)
        change = device.named(ds, 2 * np.real(np.conj(s) * ds))
        given = resolve_cotangents(cotangents, response)
        moved = resolve_change(cotangents, response, change)
        of_powers = {name: value for name, value in given.items() if name != "s"}
        seed = device.seed_of(given, response)
        d_seed = device.seed_of(moved, response) + device.seed_of(of_powers, change)
        products = lanes.each(lambda i: tangents[i].product(seed[..., i], d_seed[..., i], sources))
    product = np.sum(products, axis=0)
    if not np.isfinite(product).all():
        raise SimulationError("Expected a finite product with the Hessian. Got NaN or infinity; check the cotangents.")
    return response, product
