"""A scattering problem small enough to solve by the hundred: complex, sparse, on a 12 x 10 grid."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from surrogates.fields import FieldData

SHAPE = (12, 10)
SPACING = 0.1
SOURCE = np.zeros(SHAPE, complex)
SOURCE[2, 3:7] = 100.0


def matrix(density, wavenumber):
    """Laplace + k^2 eps, five points, zero outside; a lossy medium keeps it well posed."""
    lines = [sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(n, n)) for n in SHAPE]
    laplace = sp.kron(lines[0], sp.eye(SHAPE[1])) + sp.kron(sp.eye(SHAPE[0]), lines[1])
    permittivity = (1 + 0.4j) + 0.5 * density.ravel()
    return (laplace / SPACING**2 + sp.diags(wavenumber**2 * permittivity)).tocsc()


def smooth(rng, n):
    y, x = np.meshgrid(*(np.linspace(0, 1, k) for k in SHAPE), indexing="ij")
    total = np.zeros((n, *SHAPE))
    for i in range(2):
        for j in range(2):
            phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
            total += rng.normal(size=(n, 1, 1)) * np.cos(np.pi * (i * y + j * x) + phase)
    return 1 / (1 + np.exp(-2 * total))


def solved(n, seed):
    rng = np.random.default_rng(seed)
    designs, wavenumbers = smooth(rng, n), rng.uniform(5.5, 6.5, n)
    fields = [spsolve(matrix(d, k), SOURCE.ravel()).reshape(SHAPE) for d, k in zip(designs, wavenumbers, strict=True)]
    return FieldData(designs, np.array(fields), np.arange(n) + 1000 * seed, wavenumbers[:, None])
