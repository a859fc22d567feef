"""Nested dissection: every cell once, boundaries and runs in their places."""

import numpy as np
import pytest

from physics.fdfd.boxes import LEAF, dissect

SHAPES = [
    (1, 1), (1, 2), (2, 1), (1, 5), (5, 1), (1, 158), (158, 1), (3, 4), (4, 4), (5, 4), (5, 5), (6, 11), (2, 37),
    (37, 23), (23, 37), (64, 64), (158, 158), (40, 300),
]  # fmt: skip


def ring(corner, shape, stride):
    """Cells around a box in circular order from its south-eastern corner, clockwise, without corners."""
    (x, y), (w, h) = corner, shape
    cells = [(x + i, y - 1) for i in reversed(range(w))] + [(x - 1, y + j) for j in range(h)]
    cells += [(x + i, y + h) for i in range(w)] + [(x + w, y + j) for j in reversed(range(h))]
    return [i * stride + j for i, j in cells]


@pytest.mark.parametrize(("w", "h"), SHAPES)
def test_every_cell_is_eliminated_once(w, h):
    own = np.concatenate([front.own.ravel() for front in dissect(w, h)])
    grid = np.arange((w + 2) * (h + 2)).reshape(w + 2, h + 2)
    assert np.array_equal(np.sort(own), grid[1:-1, 1:-1].ravel())


@pytest.mark.parametrize(("w", "h"), SHAPES)
def test_boundaries_are_the_rings_of_the_boxes(w, h):
    stride = h + 2
    fronts = dissect(w, h)
    assert fronts[-1].shape == (w, h) and len(fronts[-1].own) == 1
    for front in fronts:
        first = front.boundary[:, -1] - stride * front.shape[0]  # the last of the ring lies east of the lower corner
        expected = [ring(divmod(int(cell), stride), front.shape, stride) for cell in first]
        assert np.array_equal(front.boundary, expected)
        assert max(front.shape) <= LEAF or front.children


@pytest.mark.parametrize(("w", "h"), SHAPES)
def test_children_lie_where_their_parents_look(w, h):
    fronts = dissect(w, h)
    for number, front in enumerate(fronts):
        covered = np.zeros(front.boundary.shape[1], dtype=int)
        for child in front.children:
            assert child.front < number
            boundary = fronts[child.front].boundary[child.boxes]
            assert len(boundary) == len(front.own)
            assert np.array_equal(boundary[:, child.separator], front.own)
            seen = np.zeros(boundary.shape[1], dtype=int)
            seen[child.separator] += 1
            for ours, theirs in child.runs:
                assert np.array_equal(boundary[:, ours], front.boundary[:, theirs])
                seen[ours] += 1
                covered[theirs] += 1
            assert (seen == 1).all()
        if front.children:
            covered[list(front.ends)] += 1
            assert (covered == 1).all()
            beyond = 1 if front.vertical else h + 2
            assert np.array_equal(front.boundary[:, front.ends[0]], front.own[:, 0] - beyond)
            assert np.array_equal(front.boundary[:, front.ends[1]], front.own[:, -1] + beyond)


def test_every_box_of_a_front_has_one_parent():
    fronts = dissect(61, 45)
    for number, front in enumerate(fronts[:-1]):
        used = np.zeros(len(front.own), dtype=int)
        for parent in fronts:
            for child in parent.children:
                if child.front == number:
                    used[child.boxes] += 1
        assert (used == 1).all()


def test_a_square_has_few_batches():
    """Bisection makes at most two widths and two heights a depth."""
    assert len(dissect(158, 158)) <= 40
    assert sum(len(front.own) for front in dissect(158, 158)) > 1000


@pytest.mark.parametrize(("w", "h"), [(0, 3), (3, 0), (-1, 2)])
def test_a_box_without_cells_is_refused(w, h):
    with pytest.raises(ValueError, match="at least one cell"):
        dissect(w, h)
