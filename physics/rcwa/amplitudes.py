"""From the tangential fields of the orders to amplitudes of unit power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from physics.base import Array
from physics.rcwa.orders import Incidence, Pair, box, propagating
from physics.rcwa.stack import scattered_fields

if TYPE_CHECKING:
    from physics.rcwa.metagrating import Metagrating


def order_amplitudes(grating: Metagrating, permittivity: Tensor, harmonics: Pair, incidence: Incidence) -> Tensor:
    """Amplitudes, ``side x order x polarisation``: transmitted and reflected, TE and TM, for ``nx x ny`` pixels."""
    listed = box(harmonics)
    place = {(int(m), int(n)): i for i, (m, n) in enumerate(listed)}
    chosen = [place[order] for order in grating.orders]
    transverse = incidence.transverse(grating.front.real, grating.period_um, listed[chosen])
    angle, azimuth = math.radians(incidence.angle_deg), math.radians(incidence.azimuth_deg)
    forward = np.array([math.cos(azimuth), math.sin(azimuth)])
    across = np.array([-forward[1], forward[0]])
    field = across if grating.polarisation == "TE" else math.cos(angle) * forward
    fields = scattered_fields(
        permittivity,
        thickness_um=grating.thickness_um,
        period_um=grating.period_um,
        harmonics=harmonics,
        incidence=incidence,
        front=grating.front.real,
        back=grating.back,
        field=(float(field[0]), float(field[1])),
    )
    incident_power = math.sqrt(grating.front.real) * math.cos(angle)
    weights = np.stack(
        [amplitude_weights(medium, transverse, forward) for medium in (grating.back, grating.front)]
    ) / math.sqrt(incident_power)
    return torch.einsum("scn,snpc->snp", fields[:, :, chosen], torch.from_numpy(weights).to(fields.dtype))


def amplitude_weights(medium: complex, transverse: Array, forward: Array) -> Array:
    """What turns Ex, Ey into amplitudes: ``order x polarisation (TE, TM) x component``, 0 for evanescent orders.

    Power along z, in units of the vacuum's admittance, is kz abs(E)^2 for TE and eps / kz abs(E)^2 for TM, where E is
    the tangential field and kz is over the vacuum wavenumber.
    """
    length = np.hypot(*transverse.T)[:, None]
    along = np.where(length > 1e-12, transverse / np.maximum(length, 1e-12), forward)
    ahead, aside = along @ forward, along @ np.array([-forward[1], forward[0]])
    turned = (ahead < -1e-12) | ((np.abs(ahead) <= 1e-12) & (aside < 0))
    along = np.where(turned[:, None], -along, along)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    alive = propagating(medium, transverse)
    kz = np.sqrt(np.where(alive, medium.real - (transverse**2).sum(axis=1), 1.0))
    te, tm = across * np.sqrt(kz)[:, None], along * np.sqrt(abs(medium.real) / kz)[:, None]
    return np.stack([te, tm], axis=1) * alive[:, None, None]
