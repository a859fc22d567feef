"""A response corrected by the adjoint: second order in a surrogate field's error, at the cost of a product.

Pierce & Giles, SIAM Review 42 (2000); Becker & Rannacher, Acta Numerica 10 (2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""``b x ...`` fields to A times them."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """A response and what the correction changed.

    Args:
        value: ``b``, corrected.
        correction: ``b``: an estimate of the uncorrected response's error; its size says how far to trust the field.
    """

    value: Tensor
    correction: Tensor


def corrected_response(value: Tensor, field: Tensor, adjoint: Tensor, matvec: Product, source: Tensor) -> Corrected:
    """J(u) + lambda^T (b - A u) for a complex response J that is linear in u, an amplitude say.

    With A^T lambda = dJ/du the result is exact; with an error in both u and lambda what is left is their product.

    Args:
        value: ``b`` complex, J at the surrogate's field.
        field: ``b x ...``, the surrogate's field u.
        adjoint: ``b x ...`` or one for all, lambda: a surrogate's too, a coarse solver's, or a nearby design's.
        matvec: the product with A, the matrix of each field's own design.
        source: ``b x ...`` or one for all: the right-hand side.
    """
    missed = source - matvec(field)
    correction = (adjoint * missed).flatten(1).sum(dim=1)
    return Corrected(value + correction, correction)


def corrected_objective(value: Tensor, field: Tensor, adjoint: Tensor, matvec: Product, source: Tensor) -> Corrected:
    """J(u) + Re(lambda^H (b - A u)) for a real function J of the field, a power say.

    Here A^H lambda = g with g = dJ/dRe(u) + i dJ/dIm(u), torch's gradient, at the surrogate's field. The error is of
    second order in the field's error, J's own curvature included.

    Args:
        value: ``b`` real.
        field, adjoint, matvec, source: as of ``corrected_response``.
    """
    missed = source - matvec(field)
    correction = (adjoint.conj() * missed).real.flatten(1).sum(dim=1)
    return Corrected(value + correction, correction)
