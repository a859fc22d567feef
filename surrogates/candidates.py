"""Candidates of ``Regressor("auto")``: this package's own, and any estimator in scikit-learn's style."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold

from surrogates.architecture import Architecture
from surrogates.data import Array
from surrogates.families import baseline

Candidate = Any
"""A family's name, ``gp``, an ``Architecture``, an estimator, or a callable without arguments that gives one."""
Candidates = Sequence[str | Architecture | tuple[str, Candidate]] | Mapping[str, Candidate]


def flat(y: Array) -> Array:
    """``n x k`` real numbers."""
    rows = y.reshape(len(y), -1)
    return np.concatenate([rows.real, rows.imag], axis=1) if np.iscomplexobj(rows) else rows


def spreads(y: Array) -> Array:
    """Standard deviation of each of ``k`` columns; of one that is constant, the largest of the others, else 1."""
    own = y.std(axis=0)
    varies = own > 1e-12 * np.abs(y).max(axis=0)
    return np.where(varies, own, own[varies].max() if varies.any() else 1.0)


def named(candidates: Candidates, own: Sequence[str], known: Sequence[str]) -> dict[str, Candidate]:
    """Name -> candidate.

    Args:
        candidates: a mapping comes on top of the own ones; a sequence of own names, of ``Architecture``s (named by
            their keys) or of pairs of a name and a candidate is all there is.
        own: names of the own ones.
        known: names that a string may have.

    Raises:
        ValueError: for an unknown name, or the same one twice.
        TypeError: for what is no candidate.
    """
    if isinstance(candidates, Mapping):
        pairs = [(name, name) for name in own if name not in candidates] + list(candidates.items())
    else:
        if isinstance(candidates, str) or hasattr(candidates, "fit") or not isinstance(candidates, Iterable):
            raise TypeError(
                f"Expected candidates as a sequence or a mapping. Got {candidates!r}; put a single one into a list."
            )
        pairs = [_pair(one) for one in candidates]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"Expected each candidate's name once. Got {names}; rename one.")
    for name, candidate in pairs:
        if isinstance(candidate, str):
            check_own(candidate, known)
        elif not isinstance(candidate, Architecture | type) and (hasattr(candidate, "fit") or not callable(candidate)):
            _checked(name, candidate)
    return dict(pairs)


def is_own(candidate: Candidate) -> bool:
    """Whether it is one of this package's, by name or as an ``Architecture``."""
    return isinstance(candidate, str | Architecture)


def check_own(architecture: object, known: Sequence[str]) -> None:
    """Raises ``ValueError`` for a name that is not known, ``TypeError`` for neither a name nor an ``Architecture``."""
    wanted = f"Expected an architecture among {', '.join(known)}, or an Architecture. Got {architecture!r}"
    if not is_own(architecture):
        raise TypeError(f"{wanted}; estimators go among the candidates of auto.")
    if isinstance(architecture, str) and architecture not in known:
        raise ValueError(f"{wanted}.")


def sized(architecture: str | Architecture, design_shape: tuple[int, ...]) -> Architecture:
    """The network for such samples: neighbouring columns of a table have nothing in common, none are averaged.

    Raises:
        ValueError: for a graph, whose cells are its own, of fewer than there are columns.
    """
    is_name = isinstance(architecture, str)
    one = baseline(architecture) if isinstance(architecture, str) else architecture
    if len(design_shape) != 1:
        return one
    (columns,) = design_shape
    if one.graph is not None and one.graph.cells[1] < columns:
        raise ValueError(
            f"Expected a graph of a cell for each of {columns} columns. Got cells {one.graph.cells}, that average "
            f"columns; take cells (1, {columns})."
        )
    return replace(one, resolution=columns) if is_name or one.resolution < columns else one


def folds(groups: Array, cv: int, seed: int) -> list[tuple[Array, Array]]:
    """Rows to train and to test on, by groups where any has several samples.

    Raises:
        ValueError: where there is nothing to divide.
    """
    n_groups = len(np.unique(groups))
    count = min(cv, n_groups)
    if count < 2:
        raise ValueError(f"Expected two groups and cv of at least 2 to cross-validate. Got {n_groups}, {cv}.")
    if n_groups == len(groups):
        return list(KFold(count, shuffle=True, random_state=seed).split(groups))
    return list(GroupKFold(count).split(groups, groups=groups))


def _pair(one: Any) -> tuple[str, Candidate]:
    """A name and the candidate, of one in a sequence."""
    if is_own(one):
        return (one, one) if isinstance(one, str) else (one.key, one)
    if not isinstance(one, tuple | list) or len(one) != 2:
        raise TypeError(
            "Expected each candidate as a name, an Architecture or a pair of a name and a candidate. "
            f"Got {one!r}; give it a name: ('mine', ...)."
        )
    return one[0], one[1]


def _checked(name: str, estimator: Any) -> Any:
    if isinstance(estimator, type) or not all(callable(getattr(estimator, part, None)) for part in ("fit", "predict")):
        raise TypeError(
            f"Expected candidate {name!r} to be an estimator with fit(X, y) and predict(X), or a callable without "
            f"arguments that gives one. Got {estimator!r}."
        )
    return estimator


class Borrowed:
    """Somebody's estimator in a surrogate's place: tables in, tables out.

    It gets X as ``n x d``, in the units of the caller, images row by row, and y as ``n`` or ``n x k`` real numbers,
    complex ones as all real parts and then all imaginary ones.

    Args:
        name: of the candidate.
        candidate: an estimator, cloned (copied if scikit-learn cannot), or a callable that gives one.

    Attributes:
        estimator: what is fitted.
        spread: ``k`` root mean square errors to state, of samples that it was not fitted to.
    """

    def __init__(self, name: str, candidate: Candidate) -> None:
        self.name = name
        if isinstance(candidate, type) or not hasattr(candidate, "fit"):
            self.estimator = _checked(name, candidate())
        elif hasattr(candidate, "get_params"):
            self.estimator = clone(candidate)
        else:
            self.estimator = copy.deepcopy(candidate)
        self.spread: Array = np.zeros(0)
        self.design_shape: tuple[int, ...] = ()
        self._target_shape: tuple[int, ...] = ()
        self._is_complex = False

    def fit(self, x: Array, y: Array) -> Borrowed:
        """To ``n x d`` or ``n x h x w`` samples and ``n`` or ``n x ...`` numbers."""
        self.design_shape, self._target_shape = x.shape[1:], y.shape[1:]
        self._is_complex = np.iscomplexobj(y)
        one = y.ndim == 1 and not self._is_complex
        self.estimator.fit(x.reshape(len(x), -1), y if one else flat(y))
        return self

    def flat(self, x: Array) -> Array:
        """``n x k`` real answers.

        Raises:
            ValueError: where the estimator gives another shape, or values that are not finite.
        """
        count = int(np.prod(self._target_shape)) * (2 if self._is_complex else 1)
        given = np.asarray(self.estimator.predict(x.reshape(len(x), -1)))
        shapes = [(len(x), count)] + ([(len(x),)] if count == 1 else [])
        if given.shape not in shapes or given.dtype.kind not in "fiub" or not np.isfinite(given).all():
            raise ValueError(
                f"Expected candidate {self.name!r} to predict {len(x)} x {count} finite real numbers. Got shape "
                f"{given.shape} of {given.dtype}, {np.sum(~np.isfinite(given)) if given.dtype.kind in 'fc' else 0} of "
                "them not finite; mend its predict."
            )
        return given.reshape(len(x), count).astype(np.float64)

    def save(self, path: Path) -> None:
        """Raises ``ValueError``: nobody but its own library can read it back."""
        raise ValueError(
            f"Expected a process or networks to save. Got an estimator, {type(self.estimator).__name__} of candidate "
            f"{self.name!r}; save surrogate_.estimator by its library's own means."
        )

    def answers(self, x: Array) -> tuple[Array, Array]:
        """Answers as the ``y`` of ``fit``, and their spread, the same for all samples."""
        rows = self.flat(x)
        variance = np.broadcast_to(self.spread**2, rows.shape)
        if self._is_complex:
            half = rows.shape[1] // 2
            mean, std = rows[:, :half] + 1j * rows[:, half:], np.sqrt(variance[:, :half] + variance[:, half:])
        else:
            mean, std = rows, np.sqrt(variance)
        shape = (len(x), *self._target_shape)
        return mean.reshape(shape), std.reshape(shape)
