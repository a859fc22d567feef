"""Small discs in a level set: where they fit, with their images, and drawing them into the coefficients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.spaces.density import SYMMETRIES
from invdesign.spaces.fitting import fit_density
from invdesign.spaces.levelset import SHARP, LevelSetSpace
from physics.base import Array

# A new disc may bend phi more than the fit of a whole structure does.
FIT_ANCHOR = 1.0


def decoded(space: LevelSetSpace, theta: Array) -> NDArray[np.float64]:
    """Density `(nx, ny)`."""
    with torch.no_grad():
        return space.decode(torch.as_tensor(theta, dtype=torch.float64)).numpy()


def level_set(space: LevelSetSpace, theta: Array) -> NDArray[np.float64]:
    """phi in micrometres, `(nx, ny)`."""
    with torch.no_grad():
        return space.level_set(torch.as_tensor(theta, dtype=torch.float64))[0].numpy()


def best_sites(space: LevelSetSpace, benefit: Array, apart_um: float) -> NDArray[np.float64]:
    """The best place and its images in micrometres from the centre, `(k, 2)`, none nearer than `apart_um` to another.

    A place within a pixel or so of its own image is put on the axis between them. Empty where nothing would help.
    """
    x, y = (space.pixel_um * (np.arange(n) - (n - 1) / 2) for n in space.shape)
    for flat in np.argsort(benefit, axis=None, kind="stable"):
        i, j = np.unravel_index(flat, benefit.shape)
        if not benefit[i, j] < 0:
            break
        mark = torch.zeros(space.shape, dtype=torch.float64)
        mark[i, j] = 1
        orbit = np.argwhere(_with_images(mark, space.images).numpy() > 0)
        places = np.stack([x[orbit[:, 0]], y[orbit[:, 1]]], axis=1)
        sites: list[NDArray[np.float64]] = []
        for place in places:
            away = _shortest(space, places - place)
            near = place + away[np.hypot(*away.T) < 1.5 * space.pixel_um].mean(axis=0)
            if not any(np.hypot(*_shortest(space, near - site)) < 0.01 * space.pixel_um for site in sites):
                sites.append(near)
        gaps = [np.hypot(*_shortest(space, a - b)) for n, a in enumerate(sites) for b in sites[:n]]
        if min(gaps, default=np.inf) >= apart_um:
            return np.array(sites)
    return np.zeros((0, 2))


def _shortest(space: LevelSetSpace, step: Array) -> NDArray[np.float64]:
    """Steps `(..., 2)` between two places, or between their nearest copies in a periodic design."""
    period = np.where(space.periodic, space.extent_um, np.inf)
    return np.asarray(step - np.where(space.periodic, space.extent_um, 0.0) * np.round(step / period))


def _distances(space: LevelSetSpace, x: Array, y: Array, sites: Array) -> NDArray[np.float64]:
    """From each site to each point of a grid, `(sites, x, y)`."""
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    steps = _shortest(space, grid - np.asarray(sites)[:, None, None, :])
    return np.hypot(steps[..., 0], steps[..., 1])


def _with_images(mark: torch.Tensor, symmetries: tuple[str, ...]) -> torch.Tensor:
    """Marks at all images of the marked pixels; twice through, since symmetries make new images between them."""
    for name in symmetries * 2:
        for image in SYMMETRIES[name]:
            mark = torch.maximum(mark, image(mark))
    return mark


def with_discs(space: LevelSetSpace, theta: Array, sites: Array, radius_um: float) -> NDArray[np.float64]:
    """Holes in material, islands in void, at `sites`: cones laid over the coefficients, then fitted to the discs.

    A spline of cones is blunter than a cone; its reach is searched so that the area comes out.
    """
    sharp = replace(space, beta=SHARP)
    before = decoded(sharp, theta)
    discs = _drawn(space, sites, radius_um)
    solid = float((before * discs).sum()) > 0.5 * discs.sum()
    coefficients = space.coefficients(torch.as_tensor(theta, dtype=torch.float64))
    reach_um = torch.from_numpy(_distances(space, *space.control_points(), sites).min(axis=0))

    def changed(q: float) -> NDArray[np.float64]:
        cones = reach_um - q
        new = torch.minimum(coefficients, cones) if solid else torch.maximum(coefficients, -cones)
        return ((new / space.depth + 1) / 2).clamp(0.0, 1.0).reshape(-1).numpy()

    low, high = 0.0, 2 * radius_um + 2 * space.control_um
    for _ in range(20):
        middle = (low + high) / 2
        area = np.abs(decoded(sharp, changed(middle)) - before).sum()
        low, high = (middle, high) if area < discs.sum() else (low, middle)
    wanted = before * (1 - discs) if solid else 1 - (1 - before) * (1 - discs)
    return fit_density(sharp, wanted, changed(high), anchor=FIT_ANCHOR)[0]


def _drawn(space: LevelSetSpace, sites: Array, radius_um: float) -> NDArray[np.float64]:
    """Area fractions of the discs together."""
    x, y = (space.pixel_um * (np.arange(n) - (n - 1) / 2) for n in space.shape)
    inside = (radius_um - torch.from_numpy(_distances(space, x, y, sites))) / space.pixel_um
    # Round pixels, as it were: across a boundary in any direction the fraction grows over one pixel.
    return (inside + 0.5).clamp(0.0, 1.0).amax(0).numpy()
