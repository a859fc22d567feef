"""How alike two architectures are: edit distance, counts and runs of operations, Weisfeiler-Lehman subtrees."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture, Block
from surrogates.networks import IDENTITY

Matrix = NDArray[np.float64]
Features = Counter[Hashable]
ENTRANCE, EXIT = "in", "out"


def _blocks(architecture: Architecture) -> list[Block]:
    return [block for block in architecture.blocks if block.operation != IDENTITY]


def _rest(architecture: Architecture) -> list[tuple[str, object]]:
    """What is not in the blocks."""
    names = ("stem", "resolution", "activation", "padding", "coordinates", "head", "gradient_weight")
    return [(name, getattr(architecture, name)) for name in names]


def _change(a: Block, b: Block) -> float:
    """Cost of making one block another: 1 for another operation, half of that for each of its numbers."""
    return 1.0 if a.operation != b.operation else 0.5 * ((a.width != b.width) + (a.reach != b.reach))


@functools.lru_cache(maxsize=200_000)
def edit_distance(a: Architecture, b: Architecture) -> float:
    """Least cost of insertions, deletions (1 each) and changes of blocks that make one the other; 0.5 a further gene.

    After Jin, Song, Hu, KDD 2019 (arXiv 1806.10282), section 3.2; here of a chain (Levenshtein).
    """
    first, second = _blocks(a), _blocks(b)
    row = np.arange(len(second) + 1.0).tolist()
    for i, one in enumerate(first):
        before, row = row, [i + 1.0]
        for j, other in enumerate(second):
            row.append(min(before[j + 1] + 1, row[j] + 1, before[j] + _change(one, other)))
    others = sum(x != y for x, y in zip(_rest(a), _rest(b), strict=True))
    return float(row[-1]) + 0.5 * others


@functools.lru_cache(maxsize=2)
def _distances(architectures: tuple[Architecture, ...]) -> Matrix:
    """``n x n`` edit distances; kept, as kernels of several lengths are tried on the same networks."""
    n = len(architectures)
    distance = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            distance[i, j] = distance[j, i] = edit_distance(architectures[i], architectures[j])
    return distance


def _labels(architecture: Architecture) -> list[Hashable]:
    return [ENTRANCE, *(block.key for block in _blocks(architecture)), EXIT]


@functools.lru_cache(maxsize=20_000)
def counts(architecture: Architecture) -> Features:
    """How often each block occurs, and the other genes; blind to order."""
    return Counter([*_labels(architecture), *_rest(architecture)])


@functools.lru_cache(maxsize=20_000)
def paths(architecture: Architecture) -> Features:
    """All runs of blocks, of any length: what a signal passes in a row (BANANAS, arXiv 1910.11858, section 3)."""
    labels = _labels(architecture)
    runs = (tuple(labels[i:j]) for i in range(len(labels)) for j in range(i + 1, len(labels) + 1))
    return Counter([*runs, *_rest(architecture)])


@functools.lru_cache(maxsize=20_000)
def subtrees(architecture: Architecture, height: int) -> Features:
    """Weisfeiler-Lehman labels up to a height: each block with what came before it, and before that.

    Shervashidze et al., JMLR 12, 2539 (2011), algorithm 2, on the network's directed graph of blocks, as in NAS-BOWL
    (Ru, Wan, Dong, Osborne, ICLR 2021, arXiv 2006.07556). Height 0 is ``counts``.
    """
    labels = _labels(architecture)
    found: Counter[Hashable] = Counter(counts(architecture))
    for level in range(1, height + 1):
        labels = [labels[0], *((labels[k], labels[k - 1]) for k in range(1, len(labels)))]
        found.update((level, label) for label in labels)
    return found


def psd(matrix: Matrix) -> Matrix:
    """The nearest positive semidefinite matrix to a symmetric one: negative eigenvalues are set to 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= 0:
        return matrix
    return (vectors * np.maximum(values, 0)) @ vectors.T


@dataclass(frozen=True)
class EditKernel:
    """exp(-distance / length); made positive semidefinite, which an edit distance need not be.

    Args:
        length: of the decay, in edits.
    """

    length: float = 2.0

    def __call__(self, architectures: Sequence[Architecture]) -> Matrix:
        """``n x n``, 1 on the diagonal."""
        distance = _distances(tuple(architectures))
        return _normalised(psd(np.exp(-distance / self.length)))


@dataclass(frozen=True)
class FeatureKernel:
    """Cosine of the angle between counted features.

    Args:
        features: such as ``counts`` or ``paths``.
    """

    features: Callable[[Architecture], Features]

    def __call__(self, architectures: Sequence[Architecture]) -> Matrix:
        """``n x n``, 1 on the diagonal."""
        counted = [self.features(architecture) for architecture in architectures]
        place: dict[Hashable, int] = {}
        for of in counted:
            for feature in of:
                place.setdefault(feature, len(place))
        table = np.zeros((len(counted), len(place)))
        for row, of in enumerate(counted):
            for feature, times in of.items():
                table[row, place[feature]] = times
        return _normalised(table @ table.T)


def weisfeiler_lehman(height: int = 2) -> FeatureKernel:
    """The kernel of ``subtrees``."""
    return FeatureKernel(functools.partial(subtrees, height=height))


def _normalised(gram: Matrix) -> Matrix:
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-12))
    return gram / np.outer(scale, scale)


Kernel = Callable[[Sequence[Architecture]], Matrix]
KERNELS: dict[str, tuple[Kernel, ...]] = {
    "edit": tuple(EditKernel(length) for length in (1.0, 2.0, 4.0)),
    "wl": tuple(weisfeiler_lehman(height) for height in (0, 1, 2)),
    "counts": (FeatureKernel(counts),),
    "paths": (FeatureKernel(paths),),
}
"""Name -> kernels of which the most likely one is taken."""
