"""The dense multifrontal elimination against one sparse LU."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.linalg import splu

from physics.fdfd.multifrontal import Elimination
from physics.fdfd.stencil import Stencil

SHAPES = [(1, 1), (1, 7), (9, 1), (2, 2), (4, 4), (5, 4), (4, 9), (13, 13), (30, 17), (3, 41)]


class Box:
    """A random box with one layer of cells around it, as a stencil, and its parts as dense matrices."""

    def __init__(self, rng, w, h, *, lossy, shift=2.7):
        shape = (w + 2, h + 2)

        def draw():
            values = rng.uniform(0.4, 1.4, shape)
            return values + 0.3j * rng.random(shape) if lossy else values

        self.diagonal, self.east, self.north = draw() - shift, draw(), draw()
        self.cells = (w + 2) * (h + 2)
        ended = self.east.copy(), self.north.copy()
        ended[0][-1] = ended[1][:, -1] = 0
        matrix = Stencil(self.diagonal + 0j, *ended).matrix()
        self.elimination = Elimination(self.diagonal, self.east, self.north)
        inside = np.zeros(shape, dtype=bool)
        inside[1:-1, 1:-1] = True
        self.own = np.flatnonzero(inside)
        self.around = self.elimination.boundary
        inner = matrix[self.own][:, self.own].tocsc()
        self.lu = splu(inner)
        self.tolerance = 1e-14 * np.linalg.cond(inner.toarray())  # random boxes lie near resonances
        self.coupling = matrix[self.own][:, self.around].toarray()

    def loads(self, rng, columns):
        loads = rng.standard_normal((self.cells, columns))
        return loads + 1j * rng.standard_normal(loads.shape) if self.elimination.dtype.kind == "c" else loads


@pytest.mark.parametrize("lossy", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize(("w", "h"), SHAPES)
def test_schur_complement_loads_and_field(w, h, lossy):
    rng = np.random.default_rng([w, h])
    box = Box(rng, w, h, lossy=lossy)
    elimination = box.elimination
    assert elimination.dtype == (np.complex128 if lossy else np.float64) == elimination.schur.dtype
    schur = -box.coupling.T @ box.lu.solve(box.coupling)
    scale = np.abs(schur).max()
    assert_allclose(elimination.schur, schur, atol=box.tolerance * scale)

    loads = box.loads(rng, 3)
    moved = elimination.eliminate(loads)
    inner = box.lu.solve(loads[box.own].astype(complex))
    assert_allclose(moved.onto, -box.coupling.T @ inner, atol=box.tolerance * np.abs(inner).max())
    assert_allclose(
        elimination.energy(moved), loads[box.own].T @ inner, atol=w * h * box.tolerance * np.abs(inner).max()
    )

    given = box.loads(rng, 3)
    for loaded in (None, moved):
        field = given.copy()
        elimination.substitute(field, loaded)
        right = (0 if loaded is None else loads[box.own]) - box.coupling @ given[box.around]
        expected = box.lu.solve(right.astype(complex))
        assert_allclose(field[box.own], expected, atol=box.tolerance * np.abs(expected).max())
        untouched = np.setdiff1d(np.arange(box.cells), box.own)
        assert np.array_equal(field[untouched], given[untouched])


def test_random_shapes():
    """Definite ones: no part is near a resonance, and nothing may be lost."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        w, h = (int(n) for n in rng.integers(1, 27, 2))
        box = Box(rng, w, h, lossy=bool(rng.integers(2)), shift=7.0)
        schur = -box.coupling.T @ box.lu.solve(box.coupling)
        assert_allclose(box.elimination.schur, schur, atol=1e-13, err_msg=f"{w} x {h}")


def test_columns_of_moved_loads_are_those_of_the_loads_alone():
    rng = np.random.default_rng(3)
    box = Box(rng, 11, 14, lossy=True)
    loads = box.loads(rng, 4)
    some, alone = box.elimination.eliminate(loads).columns(slice(1, 3)), box.elimination.eliminate(loads[:, 1:3])
    assert_allclose(some.onto, alone.onto, atol=1e-13)
    assert_allclose(box.elimination.energy(some), box.elimination.energy(alone), atol=1e-12)


def test_coefficients_around_the_box_do_not_count():
    rng = np.random.default_rng(4)
    box = Box(rng, 9, 12, lossy=False)
    parts = [part.copy() for part in (box.diagonal, box.east, box.north)]
    diagonal, east, north = parts
    diagonal[[0, -1]] = diagonal[:, [0, -1]] = 1e3
    east[-1] = east[:, 0] = east[:, -1] = 1e3  # beyond the layer, or among its cells
    north[:, -1] = north[0] = north[-1] = 1e3
    assert np.array_equal(Elimination(*parts).schur, box.elimination.schur)


def test_coefficients_of_very_different_size():
    """Each cell's row scaled by 1e-4 to 1e4, symmetrically: the Schur complement is the same, scaled."""
    rng = np.random.default_rng(5)
    w, h = 17, 12
    scale = 10.0 ** rng.uniform(-4, 4, (w + 2, h + 2))
    diagonal = -5.0 * scale**2
    east, north = np.zeros_like(scale), np.zeros_like(scale)
    east[:-1], north[:, :-1] = scale[:-1] * scale[1:], scale[:, :-1] * scale[:, 1:]
    plain = Elimination(np.full(scale.shape, -5.0), *(np.where(part > 0, 1.0, 0.0) for part in (east, north)))
    scaled = Elimination(diagonal, east, north)
    around = scale.ravel()[scaled.boundary]
    assert_allclose(scaled.schur / np.outer(around, around), plain.schur, atol=1e-10)


def test_an_exactly_singular_front_is_an_error():
    with pytest.raises(np.linalg.LinAlgError):
        Elimination(np.zeros((8, 8)), np.zeros((8, 8)), np.zeros((8, 8)))


def test_bytes_are_those_of_the_arrays():
    rng = np.random.default_rng(6)
    real, lossy = Box(rng, 20, 20, lossy=False).elimination, Box(rng, 20, 20, lossy=True).elimination
    assert lossy.nbytes == 2 * real.nbytes > 20 * 20 * 8
