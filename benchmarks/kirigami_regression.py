"""R2 of failure strain and strength of MoS2 kirigami patterns, learned from few and from many labels.

    python -m benchmarks.kirigami_regression [--quick] [--subsets N] [--labels N ...] [--methods ...] [--validation]

A fifth of the mirror orbits is held out, once for all: a pattern's image must not be on the other side. Training labels
are drawn by orbit, too. Everything learns the logarithms of both labels; R2 is of the labels themselves, and of the
strain's logarithm. The ceiling is 1 - var(d) / 2 / var(y), with d the difference of mirrored pairs: two runs of one
piece of physics. Ours is, with few labels, the mean of a Gaussian process and of networks that read a sheet row by row
(`RowNets`), both with linear-elastic features and load paths; with many, the perceptron. It was chosen on a fifth of
the other orbits (`--validation`, which leaves the held-out ones alone). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from benchmarks.mos2_linear import LinearElastic, all_sheets, sheet_features
from benchmarks.mos2_paths import LoadPaths, load_paths
from benchmarks.mos2_problem import STRAIN, STRESS, Mos2
from benchmarks.regression_nets import Perceptron, PlainCnn, ResNet, predict, train
from benchmarks.row_nets import RowNets
from invdesign.spaces.discrete import one_hot
from invdesign.strategies import GaussianProcess
from invdesign.strategies.bayesian_inputs import Inputs, standardised, tokens_of
from physics.tables import mos2_sheet

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
HELD_OUT, FEW, PROCESS_LABELS = 0.2, 5_000, 400
LABELS = (100, 300, 1_000, 3_000, 10_000)
QUICK_LABELS = (100, 1_000, 10_000)


@dataclass(frozen=True, eq=False)
class Data:
    """The table as regression inputs; rows are the table's.

    Args:
        table: the table.
        steps: of the perceptron's and the convolutions' training.
        trees: of the forest.
        process_most: labels on which a process is conditioned at most.
        validation: whether to judge on a part of the training orbits.
    """

    table: Mos2
    steps: int = 12_000
    trees: int = 100
    process_most: int = FEW
    validation: bool = False

    @cached_property
    def labels(self) -> Real:
        """Failure strain and strength, `(n, 2)`."""
        responses = self.table.table.responses
        return np.stack([responses[STRAIN], responses[STRESS]], axis=1)

    @cached_property
    def solved(self) -> Real:
        """What each row of each sheet bears, `(n, 4, 5)`."""
        codes = self.table.codes
        solved, rows = all_sheets(LinearElastic().sheet)
        place = {tuple(code): (number, 1) for number, code in enumerate(solved.tolist())}
        for code, (number, _) in list(place.items()):
            place.setdefault(code[::-1], (number, -1))
        mine = [place[tuple(code)] for code in codes.tolist()]
        return np.stack([rows[number, ::order] for number, order in mine])

    @cached_property
    def paths(self) -> LoadPaths:
        """Load paths of the sheets."""
        return load_paths(mos2_sheet(), self.table.codes)

    @cached_property
    def inputs(self) -> Inputs:
        """Tokens of rows and pairs of rows; linear-elastic features and load paths."""
        cheap = np.concatenate([standardised(sheet_features(self.solved)), standardised(self.paths.whole)], axis=1)
        return Inputs(tokens_of(self.table.rows, self.table.codes, True), cheap)

    @cached_property
    def features_cpu_seconds(self) -> float:
        """What the linear-elastic features and load paths of all sheets take, once."""
        began = time.process_time()
        _ = self.inputs, self.by_row
        return time.process_time() - began

    @cached_property
    def by_row(self) -> Real:
        """Numbers of each row of the sheets and of their mirror images, `(2, n, 4, 26)`."""
        # Rows without cuts have neither shear nor compression.
        stresses = np.log(self.solved + 1e-3 * self.solved.mean((0, 1)))
        plain = [_level(each) for each in (stresses, self.paths.rows)]
        pairs = _level(self.paths.pairs)
        hot = self.hot.reshape(len(self.labels), 4, -1)
        empty = np.zeros_like(pairs[:, :1])

        def image(order: int) -> Real:
            between = pairs[:, ::order]
            parts = [hot[:, ::order], *[each[:, ::order] for each in plain]]
            parts += [np.concatenate([between, empty], axis=1), np.concatenate([empty, between], axis=1)]
            return np.concatenate(parts, axis=2)

        return np.stack([image(1), image(-1)])

    @cached_property
    def hot(self) -> Real:
        """One-hot rows `(n, 52)`."""
        return one_hot(self.table.codes, self.table.rows.options)

    @cached_property
    def sheets(self) -> Real:
        """Densities `(n, 4, 40)`."""
        return self.table.table.designs.astype(np.float64)

    def split(self) -> tuple[Rows, Rows]:
        """Training and held-out rows, whole orbits each; for validation, of the training rows alone."""
        orbits = np.random.default_rng(0).permutation(self.table.orbit.max() + 1)
        count = round(HELD_OUT * len(orbits))
        if self.validation:
            orbits = orbits[count:]
        held, kept = orbits[:count], orbits[count:]
        return tuple(np.flatnonzero(np.isin(self.table.orbit, part)) for part in (kept, held))  # type: ignore[return-value]

    def subset(self, count: int, seed: int) -> Rows:
        """So many training rows, drawn by orbit: mirror images stay together as far as the count allows."""
        pool = self.split()[0]
        orbits = np.random.default_rng(100 + seed).permutation(np.unique(self.table.orbit[pool]))
        rank = np.empty(self.table.orbit.max() + 1, dtype=np.int64)
        rank[orbits] = np.arange(len(orbits))
        return pool[np.argsort(rank[self.table.orbit[pool]], kind="stable")][:count]

    def mirrored(self, x: Real) -> Real:
        """The same inputs with the order of the rows reversed."""
        if x.ndim == 3:
            return x[:, ::-1]
        return x.reshape(len(x), self.table.rows.rows, -1)[:, ::-1].reshape(len(x), -1)


def forest(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Random forest on one-hot rows."""
    trees = RandomForestRegressor(data.trees, random_state=seed)
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
    """Gaussian process; hyperparameters from `PROCESS_LABELS` of the labels, conditioned on up to `process_most`."""
    inputs = data.inputs if linear else Inputs(data.inputs.tokens, np.zeros((len(data.labels), 0)))
    some, most = rows[:PROCESS_LABELS], rows[: data.process_most]
    fitted = GaussianProcess().fit(inputs.take(some), y[:PROCESS_LABELS])
    fitted = fitted.conditioned(inputs.take(most), y[: data.process_most])
    parts = np.array_split(test, max(1, len(test) * len(most) // 4_000_000))
    return np.concatenate([fitted.predict(inputs.take(part))[0] for part in parts])


def rows_net(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Networks that read a sheet row by row."""
    whole = data.inputs.cheap
    return RowNets().answers(data.by_row[:, rows], whole[rows], y, data.by_row[:, test], whole[test], seed)


def ours(data: Data, rows: Rows, y: Real, test: Rows, seed: int) -> Real:
    """Few labels: process and row networks with cheap features. Many: the perceptron."""
    if len(rows) > FEW:
        return mlp(data, rows, y, test, seed)
    return (process(data, rows, y, test, seed, linear=True) + rows_net(data, rows, y, test, seed)) / 2


def _level(values: Real) -> Real:
    """The last axis' columns with mean 0 and spread 1 over all rows."""
    return (values - values.mean((0, 1))) / values.std((0, 1))


METHODS = {"random forest": forest, "cnn": cnn, "resnet": resnet, "gp": process, "mlp": mlp, "ours": ours}


def r2(true: Real, found: Real) -> Real:
    """Of each column."""
    return np.asarray(1 - ((true - found) ** 2).mean(0) / true.var(0))


def scores(data: Data, method: str, count: int, seed: int) -> Real:
    """R2 of strain, of its logarithm, and of stress, on the held-out orbits."""
    test = data.split()[1]
    rows = data.subset(count, seed)
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


def benchmark(data: Data, quick: bool, subsets: int, labels: Sequence[int], methods: Sequence[str]) -> dict[str, Any]:
    """Some methods at some numbers of labels."""
    torch.set_num_threads(1)
    top = ceilings(data)
    print("ceiling from mirrored pairs: " + ", ".join(f"{name} {value:.3f}" for name, value in top.items()))
    print(f"{'method':14} {'labels':>7} {'strain':>14} {'log strain':>14} {'stress':>14} {'CPU s':>7}")
    answer: dict[str, dict[str, dict[str, float]]] = {"r2_strain": {}, "r2_log_strain": {}, "r2_stress": {}}
    for count in labels:
        for method in methods:
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
    parser.add_argument("--quick", action="store_true", help="one subset, fewer numbers of labels, short training")
    parser.add_argument("--subsets", type=int, default=None, help="5, or 1 if quick; one of more than 5,000 labels")
    parser.add_argument("--labels", type=int, nargs="*", default=None, help="numbers of labels")
    parser.add_argument("--methods", nargs="*", default=None, choices=list(METHODS))
    parser.add_argument("--validation", action="store_true", help="judge on a part of the training orbits")
    arguments = parser.parse_args()
    if not os.environ.get("INVDESIGN_DATA"):
        parser.error("set INVDESIGN_DATA to the folder of kirigami_mos2_md.csv")
    quick = arguments.quick
    data = Data(Mos2(), *((600, 30, 2_000) if quick else ()), validation=arguments.validation)
    labels = arguments.labels
    if labels is None:
        labels = [*(QUICK_LABELS if quick else LABELS), len(data.split()[0])]
    subsets = arguments.subsets or (1 if quick else 5)
    print(json.dumps(benchmark(data, quick, subsets, labels, arguments.methods or list(METHODS))))


if __name__ == "__main__":
    main()
