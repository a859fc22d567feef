"""The benchmark's substructured plane-stress solver against one assembled sheet, and the patch test."""

import numpy as np

from benchmarks.mos2_linear import POISSON, VOID, bilinear, chain, condensed_strips, element_nodes, strip_material
from physics.tables import mos2_sheet


def assembled(codes, nx, ny):
    """(energy, displacements) of a whole sheet at once, its grips moved by -1/2 and +1/2 along the load."""
    sheet = mos2_sheet()
    element, _, _ = bilinear(sheet.pitch_angstrom / nx, sheet.width_angstrom / ny)
    material = strip_material(sheet, nx, ny)[list(codes)].reshape(len(codes) * nx, ny)
    modulus = VOID + (1 - VOID) * material.ravel() ** 3
    size = 2 * (len(codes) * nx + 1) * (ny + 1)
    full = np.zeros((size, size))
    dofs = element_nodes(len(codes) * nx, ny)
    np.add.at(full, (dofs[:, :, None], dofs[:, None, :]), modulus[:, None, None] * element)
    border = 2 * (ny + 1)
    moved = np.zeros(size)
    moved[0:border:2], moved[size - border :: 2] = -0.5, 0.5
    free = np.arange(border, size - border)
    moved[free] = -np.linalg.solve(full[np.ix_(free, free)], full[free] @ moved)
    return moved @ full @ moved, moved


def test_a_chain_of_strips_is_the_whole_sheet():
    nx, ny = 10, 8
    strips = condensed_strips(mos2_sheet(), nx, ny)
    codes, rows = chain(strips)
    assert len(codes) == 169 * 170 // 2
    for number in (0, 4321, len(codes) - 7):
        energy, moved = assembled(codes[number], nx, ny)
        parts = [borders[number] @ strips.stiffness[option[number]] @ borders[number] for option, borders in rows]
        assert np.isclose(sum(parts), energy, rtol=1e-9)
        border = 2 * (ny + 1)
        middle = moved[2 * nx * border : (2 * nx + 1) * border]
        assert np.allclose(rows[1][1][number][border:], middle, atol=1e-9)


def test_elements_reproduce_uniform_strain():
    element, centre, law = bilinear(2.0, 3.0)
    x, y = np.array([0, 2, 2, 0.0]), np.array([0, 0, 3, 3.0])
    stretch = np.stack([0.1 * x, -0.1 * POISSON * y], axis=1).ravel()
    assert np.allclose(centre @ stretch, [0.1, -0.1 * POISSON, 0])
    assert np.allclose(law @ centre @ stretch, [0.1, 0, 0])
    assert np.isclose(stretch @ element @ stretch, 0.1**2 * 6)
    assert np.allclose(element @ np.tile([1.0, 2.0], 4), 0)
