"""Designs on which two solvers are compared: drawn and blurred, half-optimised, optimised and binarised."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from invdesign import Border, DensitySpace
from invdesign.strategies.descent import descend
from physics.base import Response
from physics.devices import PortDevice, quarter_ring

Real = NDArray[np.float64]
SMOOTH = ("drawn", "half-optimised")  # what has no edges between cells
BLUR_UM = 0.06  # standard deviation
STAGES = ((8.0, 20), (24.0, 25), (72.0, 25))  # sharpness of the projection, most solves
HALF = (4.0, 4)  # of the half-optimised design


def designs(device: PortDevice, symmetry: str) -> dict[str, Real]:
    """Name -> density; the optimised ones come from uniform grey, by L-BFGS-B at the device's coarsest level."""
    space = DensitySpace(
        device.design_shape,
        pixel_um=device.pixel_um,
        symmetry=symmetry,
        filter_radius_um=0.16,
        border=Border.of(device),
    )
    theta: Real = np.full(space.size, 0.5)
    half = space.at(HALF[0])
    grey = density_of(half, optimised(device, half, theta, HALF[1]))
    for sharpness, solves in STAGES:
        theta = optimised(device, space.at(sharpness), theta, solves)
    return {
        "drawn": gaussian_filter(drawn(device), BLUR_UM / device.pixel_um, mode="nearest"),
        "half-optimised": grey,
        "binarised": np.asarray(space.binarize(theta), dtype=np.float64),
    }


def drawn(device: PortDevice) -> Real:
    """What a person would draw, as area fractions: a quarter ring for a bend, a Y for a splitter."""
    return quarter_ring(device) if device.name == "waveguide_bend" else y_branch(device)


def y_branch(device: PortDevice, samples: int = 8) -> Real:
    """Two guides that part along a cubic with level ends; a pixel's area is sampled at ``samples x samples`` points."""
    nx, ny = device.design_shape
    x = (np.arange(nx * samples) + 0.5) / (nx * samples)
    y = ((np.arange(ny * samples) + 0.5) / (ny * samples) - 0.5) * device.size_um[1]
    half_width = min(upper - lower for lower, upper in device.shapes[0].bounds_um) / 2
    apart = max(port.centre_um for port in device.ports)
    centre = apart * x**2 * (3 - 2 * x)
    inside = np.abs(np.abs(y)[None, :] - centre[:, None]) < half_width
    return inside.reshape(nx, samples, ny, samples).mean(axis=(1, 3))


def minus_mean_transmission(response: Response) -> dict[str, Real]:
    """Cotangents of the loss -mean(transmission), over ports and wavelengths."""
    transmission = response["transmission"]
    return {"transmission": np.full(transmission.shape, -1 / transmission.size)}


def density_of(space: DensitySpace, theta: Real) -> Real:
    """The density of some parameters."""
    return space.decode(torch.from_numpy(theta)).numpy()


def optimised(device: PortDevice, space: DensitySpace, start: Real, solves: int) -> Real:
    """The best parameters found for -mean(transmission) within so many solves."""

    def loss(theta: Real) -> tuple[float, Real]:
        parameters = torch.tensor(theta, requires_grad=True)
        density = space.decode(parameters)
        response, gradient = device.vjp(density.detach().numpy(), 0, minus_mean_transmission)
        density.backward(torch.from_numpy(gradient))
        slope = parameters.grad
        if slope is None:
            raise RuntimeError("Expected a gradient in the parameters. Got none; the space does not pass it on.")
        return -float(response["transmission"].mean()), slope.numpy()

    return descend(loss, start, optimizer="lbfgsb", evaluations=solves, relative_tolerance=1e-5)
