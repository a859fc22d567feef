"""A surrogate behind scikit-learn's interface, for tables and images alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from surrogates.architecture import Architecture
from surrogates.candidates import Borrowed, Candidate, Candidates, check_own, flat, folds, is_own, named, sized, spreads
from surrogates.data import Array, Dataset, LevelData
from surrogates.ensemble import DeepEnsemble
from surrogates.evaluation import TrainingReport
from surrogates.families import FAMILIES
from surrogates.fidelity.cokriging import CoKriging
from surrogates.files import atomic_path
from surrogates.persistence import CorruptSurrogateError, reading, to_text
from surrogates.seeds import seed_from
from surrogates.training import TrainingConfig, TrainingDiverged

PROCESS = "gp"
AUTO = "auto"
CANDIDATES: tuple[str, ...] = (PROCESS, "mlp", "resnet", "fno")
RATES = (1e-3, 3e-3, 1e-2)
FORMAT = 1
_KNOWN = (PROCESS, *FAMILIES)
_BATCH = 1024
_RELEVANCE = 64
"""Columns up to which the process learns a length for each."""
Own = DeepEnsemble | CoKriging
Fitted = Own | Borrowed


class Regressor(RegressorMixin, BaseEstimator):
    """``fit``, ``predict``, ``score``, ``save`` and ``load``, in scikit-learn's conventions.

    Inputs are ``n x d`` tables or ``n x h x w`` images of any range; outputs ``n`` or ``n x ...`` numbers, real or
    complex (real ones only where scikit-learn's own tools score).

    Args:
        architecture: ``gp`` (a Gaussian process), a family's name (``mlp``, ``resnet``, ``fno``, ...), an
            ``Architecture``, or ``auto``: the candidate of the least cross-validated error. For a table a resolution
            below its columns is raised to their number: averages of columns mean nothing.
        candidates: that ``auto`` picks among, all there is: names as above, ``Architecture``s and pairs
            ``("forest", RandomForestRegressor())``. A mapping ``{"forest": RandomForestRegressor()}`` adds to the usual
            ones. Yours are names, ``Architecture``s, estimators with ``fit(X, y)`` and ``predict(X)``, copied for each
            fit, or callables that make one. Estimators get X as an ``n x d`` table (images row by row) in your units,
            and y as ``n`` or ``n x k`` real numbers (complex ones: all real parts, then all imaginary ones).
        learning_rates: that ``auto`` tries for each network, on the training samples of the first fold, by the error on
            those that the network itself holds out; none for the usual one alone. It costs one more fit a rate but one.
        members: networks of the ensemble.
        epochs: passes over the data.
        cv: folds of ``auto``, by groups where there are any.
        held_out: share of the samples that calibrates the spread (and picks each network's best epoch).
        max_samples: above it the Gaussian process is no candidate.
        random_state: seed of everything, or the ``RandomState``, ``Generator`` or (None) numpy's that draws one a fit.

    Attributes:
        architecture_: what was fitted: ``gp``, the ``Architecture``'s key, or the name of an estimator of yours.
        chosen_: the name among the candidates, or what was asked for.
        cv_errors_: candidate -> root mean square error over the folds, outputs in units of their spread, infinite where
            training diverged; ``auto`` only.
        learning_rates_: network among the candidates -> its learning rate; ``auto`` only.
        report_: the :class:`TrainingReport` of the fit; None for an estimator of yours.
        seed_: ``random_state``, or what was drawn of it.
        n_features_in_: numbers a sample has.
    """

    def __init__(
        self,
        architecture: str | Architecture = AUTO,
        *,
        candidates: Candidates = CANDIDATES,
        learning_rates: Sequence[float] = RATES,
        members: int = 4,
        epochs: int = 60,
        cv: int = 3,
        held_out: float = 0.2,
        max_samples: int = 2000,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
    ) -> None:
        self.architecture = architecture
        self.candidates = candidates
        self.learning_rates = learning_rates
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
            ValueError: for shapes that do not agree, values that are not finite, too few samples, or a candidate that
                predicts something else.
            TypeError: for an architecture, a candidate or a ``random_state`` that is none.
        """
        check_own(self.architecture, (AUTO, *_KNOWN))
        self.seed_ = seed_from(self.random_state)
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
        self.learning_rates_: dict[str, float] = {}
        own: Candidate = self.architecture
        spread: Array = np.zeros(0)
        if self.chosen_ == AUTO:
            offered = self._offered(len(x))
            missed = self._missed(offered, data, x)
            self.chosen_ = min(self.cv_errors_, key=self.cv_errors_.__getitem__)
            own, spread = offered[self.chosen_], np.sqrt((missed[self.chosen_] ** 2).mean(axis=0))
        self.surrogate_: Fitted
        self.report_: TrainingReport | None
        if is_own(own):
            surrogate = self._made(own, data.design_shape, self.members, self.learning_rates_.get(self.chosen_))
            self.report_ = surrogate.fit(Dataset({0: data}), seed=self.seed_)
            self.surrogate_ = surrogate
        else:
            self.surrogate_, self.report_ = Borrowed(self.chosen_, own).fit(x, target), None
            self.surrogate_.spread = spread
        self.architecture_ = _key(self.surrogate_)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """``n`` or ``n x ...`` like the ``y`` of ``fit``; with ``return_std`` also standard deviations.

        They are calibrated; those of an estimator of yours are its root mean square errors over the folds, the same for
        all samples.
        """
        check_is_fitted(self, "surrogate_")
        if np.asarray(X).ndim == 3:
            x = check_array(X, dtype=np.float64, allow_nd=True)
        else:
            x = validate_data(self, X, dtype=np.float64, reset=False)
        if x.shape[1:] != self.surrogate_.design_shape:
            raise ValueError(f"Expected samples of shape {self.surrogate_.design_shape}. Got {x.shape[1:]}.")
        if isinstance(self.surrogate_, Borrowed):
            mean, std = self.surrogate_.answers(x)
        else:
            mean, std = _answers(self.surrogate_, self._scaled(x))
        dtype = np.complex128 if np.iscomplexobj(mean) else np.float64
        return (mean.astype(dtype), std.astype(np.float64)) if return_std else mean.astype(dtype)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2, averaged over outputs; real and imaginary parts are outputs of their own."""
        predicted, true = (flat(np.asarray(value)) for value in (self.predict(X), y))
        return float(r2_score(true, predicted, sample_weight=sample_weight))

    def save(self, path: Path) -> None:
        """Write ``path`` (safetensors: weights, scales, calibration) and, beside it, JSON: the rest.

        The JSON of ``a.safetensors`` is ``a.json``; any other path gets ``.json`` appended. Of the candidates the names
        of this package's own are written, and ``seed_`` in place of a random state.

        Raises:
            ValueError: where an estimator of yours won: nobody but its own library can read it back.
        """
        check_is_fitted(self, "surrogate_")
        path = Path(path)
        if path.suffix == ".json":
            raise ValueError(f"Expected a path for safetensors, beside which the JSON goes. Got {path}.")
        self.surrogate_.save(path)
        architecture = self.architecture if isinstance(self.architecture, str) else self.architecture.to_json()
        header = {
            "format": FORMAT,
            "params": {**self.get_params(), "architecture": architecture, **self._plain()},
            "kind": PROCESS if isinstance(self.surrogate_, CoKriging) else "ensemble",
            "chosen": self.chosen_,
            "cv_errors": {k: v if np.isfinite(v) else None for k, v in self.cv_errors_.items()},
            "learning_rates": self.learning_rates_,
            "seed": self.seed_,
            "low": self._low.tolist(),
            "reach": self._reach.tolist(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        with atomic_path(_beside(path)) as partial:
            partial.write_text(to_text(header, indent=1))

    @classmethod
    def load(cls, path: Path) -> Regressor:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if a file is damaged or something else."""
        path = Path(path)
        with reading(path, "a regressor"):
            header = json.loads(_beside(path).read_text())
            if header["format"] != FORMAT or header["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
                raise CorruptSurrogateError(f"Expected {path} and its JSON to be of one save. Got others; fit again.")
            params = header["params"]
            if not isinstance(params["architecture"], str):
                params["architecture"] = Architecture.from_json(params["architecture"])
            for name in ("candidates", "learning_rates"):
                if name in params:
                    params[name] = tuple(params[name])
            one = cls(**params)
            one.surrogate_ = (CoKriging if header["kind"] == PROCESS else DeepEnsemble).load(path)
            one.chosen_, one.learning_rates_ = header["chosen"], header.get("learning_rates", {})
            one.seed_ = header.get("seed", one.random_state)
            one.cv_errors_ = {k: float("inf") if v is None else v for k, v in header["cv_errors"].items()}
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

    def _plain(self) -> dict[str, Any]:
        """Parameters that are not JSON, as such."""
        pairs = named(self.candidates, CANDIDATES, _KNOWN).items()
        return {
            "candidates": [name for name, candidate in pairs if name == candidate],
            "learning_rates": list(self.learning_rates),
            "random_state": None if self.random_state is None else self.seed_,
        }

    def _offered(self, count: int) -> dict[str, Candidate]:
        """Candidates for so many samples."""
        every = named(self.candidates, CANDIDATES, _KNOWN)
        offered = {n: c for n, c in every.items() if c != PROCESS or count <= self.max_samples}
        if not offered:
            raise ValueError(
                f"Expected a candidate for {count} samples. Got {tuple(every)} with max_samples "
                f"{self.max_samples}; raise it or add a family."
            )
        return offered

    def _missed(self, offered: Mapping[str, Candidate], data: LevelData, x: Array) -> dict[str, Array]:
        """Candidate -> ``n x k`` errors on the folds, of two networks where it is an ensemble; sets ``cv_errors_``."""
        cuts = folds(data.groups, self.cv, self.seed_)
        y = data.responses["y"]
        true = flat(y)
        missed = {name: np.full(true.shape, np.inf) for name in offered}
        for name, candidate in offered.items():
            try:
                for train, test in cuts:
                    if is_own(candidate):
                        surrogate = self._tuned(name, candidate, data.take(train))
                        found = flat(_answers(surrogate, data.designs[test])[0])
                    else:
                        found = Borrowed(name, candidate).fit(x[train], y[train]).flat(x[test])
                    missed[name][test] = found - true[test]
            except TrainingDiverged:
                missed[name][:] = np.inf
            self.cv_errors_[name] = float(np.sqrt(((missed[name] / spreads(true)) ** 2).mean()))
        if not np.isfinite(min(self.cv_errors_.values())):
            raise ValueError(
                f"Expected a candidate that trains to a finite error. Got none of {tuple(offered)}; lower the "
                "learning_rates or add a candidate."
            )
        return missed

    def _tuned(self, name: str, candidate: str | Architecture, samples: LevelData) -> Own:
        """Two networks fitted at the candidate's learning rate, which is found where it is not known yet."""
        one = Dataset({0: samples})
        rates: list[float | None] = list(self.learning_rates)
        if name in self.learning_rates_:
            rates = [self.learning_rates_[name]]
        if candidate == PROCESS or not rates:
            rates = [None]
        best: tuple[float, Own, float | None] | None = None
        for rate in rates:
            surrogate = self._made(candidate, samples.design_shape, 2, rate)
            try:
                error = surrogate.fit(one, seed=self.seed_).reference.value_error
            except TrainingDiverged:
                continue
            if best is None or error < best[0]:
                best = error, surrogate, rate
        if best is None:
            raise TrainingDiverged(f"Expected {name} to train at a rate among {rates}. Got none.")
        if best[2] is not None:
            self.learning_rates_[name] = best[2]
        return best[1]

    def _made(
        self, architecture: str | Architecture, shape: tuple[int, ...], members: int, rate: float | None = None
    ) -> Own:
        if architecture == PROCESS:
            resolution = shape[0] if len(shape) == 1 else 8
            relevance = len(shape) == 1 and shape[0] <= _RELEVANCE
            return CoKriging(resolution, held_out=self.held_out, max_samples=self.max_samples, relevance=relevance)
        config = TrainingConfig(epochs=self.epochs, monitor="value")
        config = config if rate is None else replace(config, learning_rate=rate)
        return DeepEnsemble(sized(architecture, shape), members, config, self.held_out)


def _beside(path: Path) -> Path:
    """Where the JSON goes; what else looks like a suffix (``run_0.5``) tells models apart."""
    return path.with_suffix(".json") if path.suffix == ".safetensors" else path.with_name(f"{path.name}.json")


def _key(surrogate: Fitted) -> str:
    if isinstance(surrogate, Borrowed):
        return surrogate.name
    return PROCESS if isinstance(surrogate, CoKriging) else surrogate.architecture.key


def _answers(surrogate: Own, x: Array) -> tuple[Array, Array]:
    """Means and standard deviations, in batches, on the CPU."""
    means, spreads = [], []
    with torch.no_grad():
        for part in torch.from_numpy(np.array(x)).split(_BATCH):
            prediction = surrogate.predict(part, 0)
            means.append(prediction.mean["y"].cpu().numpy())
            spreads.append(prediction.std["y"].cpu().numpy())
    return np.concatenate(means), np.concatenate(spreads)
