"""Two functions of a matrix, with derivatives that know nothing of its eigenvectors' gauge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def forward_root(squared: Tensor) -> Tensor:
    """Square root of axial wavenumbers squared, its argument in [-pi/4, 3 pi/4): forward waves, whatever rounding did.

    The branch cut lies on the negative imaginary axis, which passive media do not reach, and not on the real axis,
    where rounding would throw the waves of a lossless layer on either side.
    """
    turn = torch.exp(torch.tensor(0.25j * torch.pi, dtype=squared.dtype))
    return turn * torch.sqrt(squared * turn.conj() ** 2)


class RootAndPropagator(torch.autograd.Function):
    """``A -> (A^(1/2), exp(i t A^(1/2)))`` for a diagonalisable matrix A, ``n x n`` complex.

    The derivative is that of Daleckii and Krein: in the basis of eigenvectors the perturbation is multiplied, element
    by element, by the divided differences of the function (Higham, Functions of Matrices, SIAM 2008, theorem 3.11).
    Those are finite where eigenvalues coincide, as they do in every cell of high symmetry and in a uniform one. The
    derivative of the eigenvectors themselves is not, and broadening it drops what the coinciding modes exchange.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, length: float) -> tuple[Tensor, Tensor]:
        squared, vectors = torch.linalg.eig(matrix)
        kz = forward_root(squared)
        inverse = torch.linalg.inv(vectors)
        phase = torch.exp(1j * length * kz)
        ctx.save_for_backward(kz, phase, vectors, inverse)
        ctx.length = length
        return (vectors * kz) @ inverse, (vectors * phase) @ inverse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, root: Tensor, propagator: Tensor) -> tuple[Tensor, None]:
        kz, phase, vectors, inverse = ctx.saved_tensors
        by_root = 1 / (kz[:, None] + kz[None, :])
        by_phase = phase_differences(kz, phase, ctx.length) * by_root
        basis, dual = vectors.mH, inverse.mH

        def inside(gradient: Tensor, differences: Tensor) -> Tensor:
            return differences.conj() * (basis @ gradient @ dual)

        return dual @ (inside(root, by_root) + inside(propagator, by_phase)) @ basis, None


def phase_differences(kz: Tensor, phase: Tensor, length: float) -> Tensor:
    """Divided differences of exp(i length kz), ``n x n``; near the diagonal by their series about the mean."""
    gap = kz[:, None] - kz[None, :]
    half = 0.5 * length * gap
    near = half.abs() < 5e-3
    mean = torch.exp(0.5j * length * (kz[:, None] + kz[None, :]))
    series = 1j * length * mean * (1 - half**2 / 6 + half**4 / 120)
    return torch.where(near, series, (phase[:, None] - phase[None, :]) / torch.where(near, torch.ones_like(gap), gap))
