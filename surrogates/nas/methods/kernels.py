"""How alike two architectures are: edit distance, counts and runs of operations, Weisfeiler-Lehman subtrees.

All of it compares blocks; networks wired as graphs are refused with a ``ValueError``.
"""

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
    if architecture.graph is not None:
        raise ValueError(
            f"Expected networks of blocks, which alone are compared. Got the graph {architecture.key}; leave it out."
        )
    return [block for block in architecture.blocks if block.operation != IDENTITY]


def _rest(architecture: Architecture) -> list[tuple[str, object]]:
    """What is not in the blocks."""
    names = ("stem", "resolution", "activation", "padding", "coordinates", "head", "gradient_weight")
    return [(name, getattr(architecture, name)) for name in names]


def _change(a: Block, b: Block) -> float:
    """Cost of making one block another: 1 for another operation, half of that for each of its numbers."""
    return 1.0 if a.operation != b.operation else 0.5 * ((a.width != b.width) + (a.reach != b.reach))


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
def distances(architectures: tuple[Architecture, ...]) -> Matrix:
    """``n x n`` of ``edit_distance``, all at once; kept, as several lengths are tried on the same networks."""
    chains = [_blocks(architecture) for architecture in architectures]
    lengths = np.array([len(chain) for chain in chains])
    kinds = {block: k for k, block in enumerate(dict.fromkeys(block for chain in chains for block in chain))}
    change = np.array([[_change(a, b) for b in kinds] for a in kinds])
    longest = int(lengths.max(initial=0))
    kind = np.array([[kinds[block] for block in chain] + [0] * (longest - len(chain)) for chain in chains], np.int64)
    n = len(chains)
    table = np.empty((longest + 1, longest + 1, n, n))
    for i in range(longest + 1):
        table[i, 0] = table[0, i] = i
    for i in range(longest):
        for j in range(longest):
            changed = table[i, j] + change[kind[:, None, i], kind[None, :, j]]
            table[i + 1, j + 1] = np.minimum(np.minimum(table[i, j + 1], table[i + 1, j]) + 1, changed)
    rows = np.arange(n)
    found: Matrix = table[lengths[:, None], lengths[None], rows[:, None], rows[None]]
    for values in zip(*(_rest(architecture) for architecture in architectures), strict=True):
        number = {value: k for k, value in enumerate(dict.fromkeys(values))}
        if len(number) > 1:
            column = np.array([number[value] for value in values])
            found += 0.5 * (column[:, None] != column)
    return found


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
    try:
        np.linalg.cholesky(matrix)  # many times quicker, and mostly enough
        return matrix
    except np.linalg.LinAlgError:
        pass
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
        distance = distances(tuple(architectures))
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
        counted, _ = feature_table(self.features, architectures)
        return _normalised(counted @ counted.T)


def feature_table(
    features: Callable[[Architecture], Features], architectures: Sequence[Architecture]
) -> tuple[Matrix, NDArray[np.int64]]:
    """How often each feature is in each network, ``n x k``, and the features' numbers, ``k``, rising."""
    counted = [_numbered(features, architecture) for architecture in architectures]
    numbers, columns = np.unique(np.concatenate([number for number, _ in counted]), return_inverse=True)
    table = np.zeros((len(counted), len(numbers)))
    table[np.repeat(np.arange(len(counted)), [len(times) for _, times in counted]), columns] = np.concatenate(
        [times for _, times in counted]
    )
    return table, numbers


def feature_numbers(features: Callable[[Architecture], Features], architecture: Architecture) -> list[int]:
    """Numbers of a network's features, in its own order."""
    return [int(number) for number in _numbered(features, architecture)[0]]


_NUMBERS: dict[Hashable, int] = {}


@functools.lru_cache(maxsize=20_000)
def _numbered(
    features: Callable[[Architecture], Features], architecture: Architecture
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of a network's features, in the order in which any were first met, and how often each is there."""
    counted = features(architecture)
    numbers = np.array([_NUMBERS.setdefault(feature, len(_NUMBERS)) for feature in counted], dtype=np.int64)
    return numbers, np.array(list(counted.values()), dtype=np.float64)


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
