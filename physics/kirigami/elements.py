"""Energies of single triangles and hinges with their first and second derivatives, for many at once."""

from __future__ import annotations

import numpy as np

from physics.base import Array

# Edge vectors of a triangle from its nodes, and spokes of a hinge from its nodes, as 9 x 9 and 9 x 12.
EDGES = np.kron(np.array([[-1, 1, 0], [0, -1, 1], [1, 0, -1]]), np.eye(3))
SPOKES = np.kron(np.array([[-1, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1]]), np.eye(3))
CROSS = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    CROSS[_i, _j, _k], CROSS[_i, _k, _j] = 1.0, -1.0


def triangle_forms(edges: Array, area: Array, elasticity: Array) -> Array:
    """``m x 3 x 3`` forms Q: the energy is ``e . Q e / 2`` with ``e = L (l - L)`` of the three edges.

    To first order ``e = X^2 exx + Y^2 eyy + X Y gxy``, so that small strains have the energy of plane stress, of any
    Poisson's ratio; bonds that only stretch would fix it at 1/3.

    Args:
        edges: ``m x 3 x 3`` at rest, flat.
        area: ``m``.
        elasticity: 3 x 3, Voigt's order (xx, yy, xy).
    """
    x, y = edges[..., 0], edges[..., 1]
    inverse = np.linalg.inv(np.stack([x * x, y * y, x * y], axis=-1))
    return area[:, None, None] * np.einsum("mki,kl,mlj->mij", inverse, elasticity, inverse)


def triangle_energy(edges: Array, rest: Array, forms: Array) -> tuple[Array, Array]:
    """Energies ``m`` and their gradients in the nodes, ``m x 9``, of edges ``m x 3 x 3`` of rest lengths ``m x 3``."""
    length = np.sqrt((edges**2).sum(axis=2))
    stretch = rest * (length - rest)
    tension = np.einsum("mkl,ml->mk", forms, stretch)
    pull = (tension * rest / length)[..., None] * edges
    return 0.5 * (stretch * tension).sum(axis=1), pull.reshape(-1, 9) @ EDGES


def triangle_hessian(edges: Array, rest: Array, forms: Array) -> Array:
    """Second derivatives in the nodes, ``m x 9 x 9``."""
    length = np.sqrt((edges**2).sum(axis=2))
    along = edges / length[..., None]
    tension = np.einsum("mkl,ml->mk", forms, rest * (length - rest)) * rest / length
    push = rest[..., None] * along
    hessian = np.einsum("mkl,mka,mlb->mkalb", forms, push, push)
    across = np.eye(3) - along[..., :, None] * along[..., None, :]
    for edge in range(3):
        hessian[:, edge, :, edge, :] += tension[:, edge, None, None] * across[:, edge]
    return EDGES.T @ hessian.reshape(-1, 9, 9) @ EDGES


def hinge_energy(spokes: Array) -> tuple[Array, Array]:
    """``1 - cos`` of the angle between two triangles, ``h``, and its gradient in the nodes, ``h x 12``.

    Args:
        spokes: ``h x 3 x 3``: u along the shared edge, v and w to either apex; normals are ``u x v`` and ``w x u``.
    """
    u, v, w = spokes[:, 0], spokes[:, 1], spokes[:, 2]
    cosine, g1, g2, *_ = _normals(u, v, w)
    by_u = np.cross(v, g1) + np.cross(g2, w)
    gradient = np.stack([by_u, np.cross(g1, u), np.cross(u, g2)], axis=1)
    return 1 - cosine, -gradient.reshape(-1, 9) @ SPOKES


def hinge_hessian(spokes: Array) -> Array:
    """Second derivatives of :func:`hinge_energy` in the nodes, ``h x 12 x 12``."""
    u, v, w = spokes[:, 0], spokes[:, 1], spokes[:, 2]
    cosine, g1, g2, n1, n2, l1, l2 = _normals(u, v, w)
    f = cosine[:, None, None]
    l1, l2 = l1[:, None, None], l2[:, None, None]
    p1, p2 = np.eye(3) - _outer(n1, n1), np.eye(3) - _outer(n2, n2)
    h11 = -(_outer(n1, g1) + _outer(g1, n1)) / l1 - f * p1 / l1**2
    h22 = -(_outer(n2, g2) + _outer(g2, n2)) / l2 - f * p2 / l2**2
    h12 = (p2 / l2 - _outer(n1, g2)) / l1
    # Derivatives of the normals u x v and w x u in (u, v, w), 3 x 9 each; skew(a) b = a x b.
    ku, kv, kw, none = _skew(u), _skew(v), _skew(w), np.zeros((len(u), 3, 3))
    j1 = np.concatenate([-kv, ku, none], axis=2)
    j2 = np.concatenate([kw, none, -ku], axis=2)
    t1, t2 = np.swapaxes(j1, 1, 2), np.swapaxes(j2, 1, 2)
    mixed = t1 @ (h12 @ j2)
    hessian = t1 @ (h11 @ j1) + t2 @ (h22 @ j2) + mixed + np.swapaxes(mixed, 1, 2)
    k1, k2 = _skew(g1), _skew(g2)
    hessian[:, 0:3, 3:6] -= k1
    hessian[:, 3:6, 0:3] += k1
    hessian[:, 0:3, 6:9] += k2
    hessian[:, 6:9, 0:3] -= k2
    return -(SPOKES.T @ hessian @ SPOKES)


def _normals(u: Array, v: Array, w: Array) -> tuple[Array, ...]:
    """Cosine of the angle, its gradients in the two normals, the unit normals and the normals' lengths."""
    first, second = np.cross(u, v), np.cross(w, u)
    l1, l2 = np.sqrt((first**2).sum(axis=1)), np.sqrt((second**2).sum(axis=1))
    n1, n2 = first / l1[:, None], second / l2[:, None]
    cosine = (n1 * n2).sum(axis=1)
    g1, g2 = (n2 - cosine[:, None] * n1) / l1[:, None], (n1 - cosine[:, None] * n2) / l2[:, None]
    return cosine, g1, g2, n1, n2, l1, l2


def _outer(a: Array, b: Array) -> Array:
    return a[:, :, None] * b[:, None, :]


def _skew(a: Array) -> Array:
    """Matrices of the cross product with a from the left, ``n x 3 x 3``."""
    return -np.einsum("ijk,nk->nij", CROSS, a)
