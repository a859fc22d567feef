"""R2 of failure strain and strength of MoS2 kirigami patterns, learned from few and from many labels.

    python -m benchmarks.kirigami_regression [--quick] [--subsets N]

A fifth of the mirror orbits is held out, once for all: a pattern's image must not be on the other side. Training labels
are drawn by orbit, too. Everything learns the logarithms of both labels; R2 is of the labels themselves, and of the
strain's logarithm. The ceiling is 1 - var(d) / 2 / var(y), with d the difference of mirrored pairs: two runs of one
piece of physics. Ours is, with few labels, the mean of a Gaussian process and a network ensemble on pairs of rows and
linear-elastic features; with many, the perceptron. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from benchmarks.mos2_linear import LinearElastic, all_sheets, sheet_features
from benchmarks.mos2_problem import STRAIN, STRESS, Mos2
from benchmarks.regression_nets import Perceptron, PlainCnn, ResNet, predict, train
from invdesign.spaces.discrete import one_hot
from invdesign.strategies import GaussianProcess, Networks
from invdesign.strategies.bayesian_inputs import Inputs, standardised, tokens_of

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
HELD_OUT, FEW, PROCESS_LABELS = 0.2, 5_000, 400


@dataclass(frozen=True, eq=False)
class Data:
    """The table as regression inputs; rows are the table's."""

    table: Mos2
    steps: int

    @cached_property
    def labels(self) -> Real:
        """Failure strain and strength, `(n, 2)`."""
        responses = self.table.table.responses
        return np.stack([responses[STRAIN], responses[STRESS]], axis=1)

    @cached_property
    def inputs(self) -> Inputs:
        """Tokens of rows and pairs of rows, and linear-elastic features."""
        codes = self.table.codes
        linear = LinearElastic()
        solved, rows = all_sheets(linear.sheet)
        place = {tuple(code): row for row, code in enumerate(solved.tolist())}
        place |= {code[::-1]: row for code, row in place.items()}
        mine = rows[[place[tuple(code)] for code in codes.tolist()]]
        return Inputs(tokens_of(self.table.rows, codes, True), standardised(sheet_features(mine)))

    @cached_property
    def hot(self) -> Real:
        """One-hot rows `(n, 52)`."""
        return one_hot(self.table.codes, self.table.rows.options)

    @cached_property
    def sheets(self) -> Real:
        """Densities `(n, 4, 40)`."""
        return self.table.table.designs.astype(np.float64)

    def split(self) -> tuple[Rows, Rows]:
        """Training and held-out rows, whole orbits each."""
        orbits = np.random.default_rng(0).permutation(self.table.orbit.max() + 1)
        held = np.isin(self.table.orbit, orbits[: round(HELD_OUT * len(orbits))])
        return np.flatnonzero(~held), np.flatnonzero(held)

    def mirrored(self, x: Real) -> Real:
        """The same inputs with the order of the rows reversed."""
        if x.ndim == 3:
            return x[:, ::-1]
        return x.reshape(len(x), self.table.rows.rows, -1)[:, ::-1].reshape(len(x), -1)


def forest(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Random forest on one-hot rows."""
    trees = RandomForestRegressor(100, min_samples_leaf=1, random_state=seed)
    x = np.concatenate([data.hot[rows], data.mirrored(data.hot[rows])])
    return np.asarray(trees.fit(x, np.tile(y, (2, 1))).predict(data.hot[test]))


def net_on(
    data: Data, x: Real, make: Callable[[], torch.nn.Module], rows: Rows, y: Real, test: Rows, seed: int
) -> Real:
    """A network on inputs of the table, trained on both images and asked for both."""
    torch.manual_seed(seed)
    net = make()
    both = np.concatenate([x[rows], data.mirrored(x[rows])])
    train(net, both, np.tile(y, (2, 1)), steps=data.steps, seed=seed)
    return (predict(net, x[test]) + predict(net, np.ascontiguousarray(data.mirrored(x[test])))) / 2


def mlp(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Perceptron on one-hot rows."""
    return net_on(data, data.hot, lambda: Perceptron(data.hot.shape[1], 2), rows, y, test, seed)


def cnn(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Plain convolutions of the sheet."""
    return net_on(data, data.sheets, lambda: PlainCnn(4, 40, 2), rows, y, test, seed)


def resnet(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Residual convolutions of the sheet."""
    return net_on(data, data.sheets, lambda: ResNet(4, 40, 2), rows, y, test, seed)


def process(data: Data, rows: Rows, y: Real, test: Rows, seed: int, linear: bool = False) -> Real:
    """Gaussian process; hyperparameters from `PROCESS_LABELS` of the labels, conditioned on up to `FEW`."""
    inputs = data.inputs if linear else Inputs(data.inputs.tokens, np.zeros((len(data.labels), 0)))
    some, most = rows[:PROCESS_LABELS], rows[:FEW]
    fitted = GaussianProcess().fit(inputs.take(some), y[:PROCESS_LABELS])
    fitted = fitted.conditioned(inputs.take(most), y[:FEW])
    parts = np.array_split(test, max(1, len(test) * len(most) // 4_000_000))
    return np.concatenate([fitted.predict(inputs.take(part))[0] for part in parts])


def ours(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Few labels: process and network ensemble with linear-elastic features. Many: the perceptron."""
    if len(rows) > FEW:
        return mlp(data, rows, y, test, seed)
    nets = Networks(members=8, width=128, steps=300, decay=0.3).fit(data.inputs.take(rows), y, seed)
    return (process(data, rows, y, test, seed, linear=True) + nets.predict(data.inputs.take(test))[0]) / 2


METHODS = {"random forest": forest, "cnn": cnn, "resnet": resnet, "gp": process, "mlp": mlp, "ours": ours}


def r2(true: Real, found: Real) -> Real:
    """Of each column."""
    return np.asarray(1 - ((true - found) ** 2).mean(0) / true.var(0))


def scores(data: Data, method: str, count: int, seed: int) -> Real:
    """R2 of strain, of its logarithm, and of stress, on the held-out orbits."""
    pool, test = data.split()
    orbits = np.random.default_rng(100 + seed).permutation(np.unique(data.table.orbit[pool]))
    rank = np.empty(data.table.orbit.max() + 1, dtype=np.int64)
    rank[orbits] = np.arange(len(orbits))
    rows = pool[np.argsort(rank[data.table.orbit[pool]], kind="stable")][:count]
    logs = np.log(data.labels)
    centre, spread = logs[rows].mean(0), logs[rows].std(0)
    found = METHODS[method](data, rows, (logs[rows] - centre) / spread, test, seed) * spread + centre
    strain, stress = r2(data.labels[test], np.exp(found))
    return np.array([strain, r2(logs[test], found)[0], stress])


def ceilings(data: Data) -> dict[str, float]:
    """From mirrored pairs of the whole table."""
    rows = np.flatnonzero(data.table.image > np.arange(len(data.labels)))
    found = {}
    values = {"strain": data.labels[:, 0], "log strain": np.log(data.labels[:, 0]), "stress": data.labels[:, 1]}
    for name, y in values.items():
        found[name] = float(1 - (y[rows] - y[data.table.image[rows]]).var() / 2 / y.var())
    return found


def benchmark(quick: bool, subsets: int) -> dict[str, Any]:
    """All methods at all numbers of labels."""
    torch.set_num_threads(1)
    data = Data(Mos2(), 1200 if quick else 12_000)
    everything = len(data.split()[0])
    top = ceilings(data)
    print("ceiling from mirrored pairs: " + ", ".join(f"{name} {value:.3f}" for name, value in top.items()))
    print(f"{'method':14} {'labels':>7} {'strain':>14} {'log strain':>14} {'stress':>14} {'CPU s':>7}")
    answer: dict[str, dict[str, dict[str, float]]] = {"r2_strain": {}, "r2_log_strain": {}, "r2_stress": {}}
    for count in (100, 300, 1_000, 3_000, 10_000, everything):
        for method in METHODS:
            repeats = subsets if count <= FEW else 1
            began = time.process_time()
            each = np.array([scores(data, method, count, seed) for seed in range(repeats)])
            spent = (time.process_time() - began) / repeats
            columns = [f"{m:6.3f} +- {s:.3f}" for m, s in zip(each.mean(0), each.std(0), strict=True)]
            print(f"{method:14} {count:7d} " + " ".join(f"{c:>14}" for c in columns) + f" {spent:7.1f}", flush=True)
            for key, value in zip(answer, each.mean(0), strict=True):
                answer[key].setdefault(method, {})[str(count)] = float(value)
    return {"benchmark": "kirigami_regression", "quick": quick, "subsets": subsets, **answer, "ceiling": top}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one subset, short training")
    parser.add_argument("--subsets", type=int, default=None)
    arguments = parser.parse_args()
    if not os.environ.get("INVDESIGN_DATA"):
        parser.error("set INVDESIGN_DATA to the folder of kirigami_mos2_md.csv")
    print(json.dumps(benchmark(arguments.quick, arguments.subsets or (1 if arguments.quick else 5))))


if __name__ == "__main__":
    main()
