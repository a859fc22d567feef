"""A surrogate behind scikit-learn's interface, for tables and images alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from surrogates.architecture import Architecture
from surrogates.data import Array, Dataset, LevelData
from surrogates.ensemble import DeepEnsemble
from surrogates.families import FAMILIES, baseline
from surrogates.fidelity.cokriging import CoKriging
from surrogates.files import atomic_path
from surrogates.persistence import CorruptSurrogateError, reading, to_text
from surrogates.training import TrainingConfig

PROCESS = "gp"
AUTO = "auto"
CANDIDATES = (PROCESS, "mlp", "resnet", "fno")
FORMAT = 1
_BATCH = 1024
_RELEVANCE = 64
"""Columns up to which the process learns a length for each."""
Fitted = DeepEnsemble | CoKriging


class Regressor(RegressorMixin, BaseEstimator):
    """``fit``, ``predict``, ``score``, ``save`` and ``load``, in scikit-learn's conventions.

    Inputs are ``n x d`` tables or ``n x h x w`` images of any range; outputs ``n`` or ``n x ...`` numbers, real or
    complex (real ones only where scikit-learn's own tools score).

    Args:
        architecture: ``gp`` (a Gaussian process), a family's name (``mlp``, ``resnet``, ``fno``, ...), an
            ``Architecture``, or ``auto``: the candidate of the least cross-validated error.
        candidates: that ``auto`` picks among.
        members: networks of the ensemble.
        epochs: passes over the data.
        cv: folds of ``auto``, by groups where there are any.
        held_out: share of the samples that calibrates the spread (and picks each network's best epoch).
        max_samples: above it the Gaussian process is no candidate.
        random_state: seed of everything.

    Attributes:
        architecture_: what was fitted: ``gp`` or the ``Architecture``'s key.
        chosen_: the name among the candidates, or what was asked for.
        cv_errors_: candidate -> root mean square error over the folds, outputs in units of their spread; ``auto`` only.
        report_: the :class:`TrainingReport` of the fit.
        n_features_in_: numbers a sample has.
    """

    def __init__(
        self,
        architecture: str | Architecture = AUTO,
        *,
        candidates: Sequence[str] = CANDIDATES,
        members: int = 4,
        epochs: int = 60,
        cv: int = 3,
        held_out: float = 0.2,
        max_samples: int = 2000,
        random_state: int = 0,
    ) -> None:
        self.architecture = architecture
        self.candidates = candidates
        self.members = members
        self.epochs = epochs
        self.cv = cv
        self.held_out = held_out
        self.max_samples = max_samples
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Regressor:
        """Fit, after the choice of an architecture if that is ``auto``.

        Args:
            X: ``n x d`` or ``n x h x w``.
            y: ``n`` or ``n x ...``.
            groups: ``n`` integers; samples of a group stay together in every split. Each its own if left out.

        Raises:
            ValueError: for shapes that do not agree, values that are not finite, or too few samples.
        """
        x, target = self._checked(X, y)
        numbers = np.arange(len(x)) if groups is None else np.asarray(groups)
        check_consistent_length(x, numbers)
        _, numbers = np.unique(numbers, return_inverse=True)
        self._low, high = x.min(axis=0), x.max(axis=0)
        # Images share one scale, columns of a table have one each.
        if x.ndim > 2:
            self._low, high = np.full(x.shape[1:], x.min()), np.full(x.shape[1:], x.max())
        self._reach = np.where(high > self._low, high - self._low, 1.0)
        data = LevelData.values_only(self._scaled(x), {"y": target}, numbers)
        self.chosen_ = self.architecture if isinstance(self.architecture, str) else self.architecture.key
        self.cv_errors_: dict[str, float] = {}
        if self.chosen_ == AUTO:
            self.cv_errors_ = self._errors(data)
            self.chosen_ = min(self.cv_errors_, key=self.cv_errors_.__getitem__)
        own = self.architecture if isinstance(self.architecture, Architecture) else self.chosen_
        self.surrogate_ = self._made(own, data.design_shape, self.members)
        self.report_ = self.surrogate_.fit(Dataset({0: data}), seed=self.random_state)
        self.architecture_ = _key(self.surrogate_)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """``n`` or ``n x ...`` like the ``y`` of ``fit``; with ``return_std`` also calibrated standard deviations."""
        check_is_fitted(self, "surrogate_")
        if np.asarray(X).ndim == 3:
            x = check_array(X, dtype=np.float64, allow_nd=True)
        else:
            x = validate_data(self, X, dtype=np.float64, reset=False)
        if x.shape[1:] != self.surrogate_.design_shape:
            raise ValueError(f"Expected samples of shape {self.surrogate_.design_shape}. Got {x.shape[1:]}.")
        mean, std = _answers(self.surrogate_, self._scaled(x))
        dtype = np.complex128 if np.iscomplexobj(mean) else np.float64
        return (mean.astype(dtype), std.astype(np.float64)) if return_std else mean.astype(dtype)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2, averaged over outputs; real and imaginary parts are outputs of their own."""
        predicted, true = (_flat(np.asarray(value)) for value in (self.predict(X), y))
        return float(r2_score(true, predicted, sample_weight=sample_weight))

    def save(self, path: Path) -> None:
        """Write ``path`` (safetensors: weights, scales, calibration) and, beside it, ``.json``: the rest."""
        check_is_fitted(self, "surrogate_")
        path = Path(path)
        if path.suffix == ".json":
            raise ValueError(f"Expected a path for safetensors, beside which the JSON goes. Got {path}.")
        self.surrogate_.save(path)
        architecture = self.architecture if isinstance(self.architecture, str) else self.architecture.to_json()
        header = {
            "format": FORMAT,
            "params": {**self.get_params(), "architecture": architecture, "candidates": list(self.candidates)},
            "kind": PROCESS if isinstance(self.surrogate_, CoKriging) else "ensemble",
            "chosen": self.chosen_,
            "cv_errors": self.cv_errors_,
            "low": self._low.tolist(),
            "reach": self._reach.tolist(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        with atomic_path(path.with_suffix(".json")) as partial:
            partial.write_text(to_text(header, indent=1))

    @classmethod
    def load(cls, path: Path) -> Regressor:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if a file is damaged or something else."""
        path = Path(path)
        with reading(path, "a regressor"):
            header = json.loads(path.with_suffix(".json").read_text())
            if header["format"] != FORMAT or header["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
                raise CorruptSurrogateError(f"Expected {path} and its JSON to be of one save. Got others; fit again.")
            params = header["params"]
            if not isinstance(params["architecture"], str):
                params["architecture"] = Architecture.from_json(params["architecture"])
            one = cls(**{**params, "candidates": tuple(params["candidates"])})
            one.surrogate_ = (CoKriging if header["kind"] == PROCESS else DeepEnsemble).load(path)
            one.chosen_, one.cv_errors_ = header["chosen"], header["cv_errors"]
            one._low, one._reach = np.array(header["low"]), np.array(header["reach"])
            one.architecture_, one.n_features_in_ = _key(one.surrogate_), int(one._low.size)
        return one

    def __sklearn_tags__(self) -> Any:
        """Several outputs are one fit."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked(self, X: Any, y: Any) -> tuple[Array, Array]:
        y_is_plain = np.asarray(y).ndim <= 2 and not np.iscomplexobj(np.asarray(y))
        if np.asarray(X).ndim == 3:
            x = check_array(X, dtype=np.float64, allow_nd=True)
            self.n_features_in_ = int(np.prod(x.shape[1:]))
            target = y
        elif y_is_plain:
            x, target = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        else:
            x, target = validate_data(self, X, dtype=np.float64), y
        target = np.asarray(target)
        check_consistent_length(x, target)
        if len(x) < 5:
            raise ValueError(f"Expected 5 samples at least: some are held out to calibrate. Got n_samples = {len(x)}.")
        return x, target

    def _scaled(self, x: Array) -> Array:
        return (x - self._low) / self._reach

    def _errors(self, data: LevelData) -> dict[str, float]:
        """Cross-validated error of each candidate, with two networks where it is an ensemble."""
        n_groups = len(np.unique(data.groups))
        folds = min(self.cv, n_groups)
        if folds < 2:
            raise ValueError(f"Expected two groups and cv of at least 2 to cross-validate. Got {n_groups}, {self.cv}.")
        if n_groups == len(data):
            cuts = list(KFold(folds, shuffle=True, random_state=self.random_state).split(data.designs))
        else:
            cuts = list(GroupKFold(folds).split(data.designs, groups=data.groups))
        names = [name for name in self.candidates if name != PROCESS or len(data) <= self.max_samples]
        if not names:
            raise ValueError(
                f"Expected a candidate for {len(data)} samples. Got {tuple(self.candidates)} with max_samples "
                f"{self.max_samples}; raise it or add a family."
            )
        unit = np.maximum(_flat(data.responses["y"]).std(axis=0), 1e-300)
        errors: dict[str, float] = {}
        for name in names:
            squares = []
            for train, test in cuts:
                surrogate = self._made(name, data.design_shape, 2)
                surrogate.fit(Dataset({0: data.take(train)}), seed=self.random_state)
                mean, _ = _answers(surrogate, data.designs[test])
                squares.append(((_flat(mean) - _flat(data.responses["y"][test])) / unit) ** 2)
            errors[name] = float(np.sqrt(np.concatenate(squares).mean()))
        return errors

    def _made(self, architecture: str | Architecture, shape: tuple[int, ...], members: int) -> Fitted:
        if architecture == PROCESS:
            resolution = shape[0] if len(shape) == 1 else 8
            relevance = len(shape) == 1 and shape[0] <= _RELEVANCE
            return CoKriging(resolution, held_out=self.held_out, max_samples=self.max_samples, relevance=relevance)
        if isinstance(architecture, str):
            if architecture not in FAMILIES:
                known = ", ".join((AUTO, PROCESS, *FAMILIES))
                raise ValueError(f"Expected an architecture among {known}, or an Architecture. Got {architecture!r}.")
            architecture = baseline(architecture)
            if len(shape) == 1:
                # Neighbouring columns of a table have nothing in common: none are averaged.
                architecture = replace(architecture, resolution=shape[0])
        config = TrainingConfig(epochs=self.epochs, monitor="value")
        return DeepEnsemble(architecture, members, config, self.held_out)


def _key(surrogate: Fitted) -> str:
    return PROCESS if isinstance(surrogate, CoKriging) else surrogate.architecture.key


def _answers(surrogate: Fitted, x: Array) -> tuple[Array, Array]:
    """Means and standard deviations, in batches, on the CPU."""
    means, spreads = [], []
    with torch.no_grad():
        for part in torch.from_numpy(np.array(x)).split(_BATCH):
            prediction = surrogate.predict(part, 0)
            means.append(prediction.mean["y"].cpu().numpy())
            spreads.append(prediction.std["y"].cpu().numpy())
    return np.concatenate(means), np.concatenate(spreads)


def _flat(y: Array) -> Array:
    """``n x k`` real numbers."""
    flat = y.reshape(len(y), -1)
    return np.concatenate([flat.real, flat.imag], axis=1) if np.iscomplexobj(flat) else flat
