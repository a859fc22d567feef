"""Straight slab guides on a grid in both polarisations, for tests of modes and ports."""

import numpy as np

from physics.fdfd.grid import Axis, Grid, Pml
from physics.fdfd.operator import ez_stencil, hz_stencil


def slab_means(centres_um, cell_um, width_um, core, cladding, *, harmonic=False):
    """Means over cells about ``centres_um`` of a slab |u| < width_um / 2."""
    half = width_um / 2
    lower, upper = centres_um - cell_um / 2, centres_um + cell_um / 2
    share = np.clip(np.minimum(upper, half) - np.maximum(lower, -half), 0.0, None) / cell_um
    return 1 / (share / core + (1 - share) / cladding) if harmonic else share * core + (1 - share) * cladding


def slab_stencil(grid, pml, omega, polarization, width_um, core, cladding, *, vertical=False):
    """A slab along x (along y if ``vertical``) through the whole grid, second-order accurate in both polarisations."""
    axis, h = (grid.x if vertical else grid.y), grid.cell_um
    arguments = (h, width_um, core, cladding)
    inside = slab_means(axis.centres_um, *arguments)
    nx, ny = grid.shape
    if polarization == "Ez":
        return ez_stencil(grid, pml, omega, np.tile(inside, (ny, 1)).T if vertical else np.tile(inside, (nx, 1)))
    normal = slab_means(axis.centres_um, *arguments, harmonic=True)  # D normal to the interfaces is continuous
    tangential = slab_means(axis.edges_um, *arguments)
    if vertical:
        return hz_stencil(grid, pml, omega, np.tile(tangential, (ny, 1)).T, np.tile(normal, (ny + 1, 1)).T)
    return hz_stencil(grid, pml, omega, np.tile(normal, (nx + 1, 1)), np.tile(tangential, (nx, 1)))


def layer(polarization, cells, span_um, omega, width_um, core, cladding):
    """Diagonal, couplings across and along of one layer of a slab along x in a section ``span_um`` wide."""
    h = span_um / cells
    stencil = slab_stencil(Grid(Axis(4, h), Axis(cells, h)), Pml(), omega, polarization, width_um, core, cladding)
    return stencil.diagonal[1], stencil.north[1, :-1], stencil.east[1]
