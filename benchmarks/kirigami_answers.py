"""What each method of `kirigami_networks` says of the held-out sheets, from a subset of the labels."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.kirigami_regression import Data, ours, process
from surrogates import Architecture, Dataset, LevelData, TrainingConfig
from surrogates.families import FAMILIES
from surrogates.files import atomic_path
from surrogates.nas.lab import Found, Method, Rung, search_with
from surrogates.nas.learner import Learner
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import Darts, FixedNets, RandomSearch, SuccessiveHalving
from surrogates.nas.methods.darts import darts
from surrogates.nas.space import ArchitectureSpace
from surrogates.networks import SurrogateNetwork
from surrogates.states import load_state
from surrogates.symmetry import augment

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
VALIDATION = 0.2
RATES = (4e-3, 2e-3, 8e-3, 1e-3)
FIXED = ("resnet", "unet", "fno", "mlp")
RANDOM, HALVING, HALF = "random search", "halving", "half of halving"
SEARCHED = {RANDOM: RandomSearch(), HALVING: SuccessiveHalving(), HALF: SuccessiveHalving()}
CONTINUOUS, PRUNED, DISCRETE = "DARTS continuous", "DARTS pruned", "DARTS discrete"
PROCESS, FEATURES, OURS = "process", "features", "ours"
MIXED = (HALF, PROCESS, FEATURES)
NAMES = (CONTINUOUS, PRUNED, DISCRETE, RANDOM, HALVING, *FIXED, PROCESS, FEATURES, OURS)


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        labels: of the subsets.
        search_cpu_seconds: of a search, at each number of labels.
        epochs: of a trial at the last rung, at each number of labels; the final training's are ``longer`` times as
            many.
        mixed_epochs: of the supernet, as many as a search has time for.
        subsets, seeds: of labels, and of networks on each.
    """

    labels: tuple[int, ...] = (300, 1_000, 3_000)
    search_cpu_seconds: dict[int, float] = field(default_factory=lambda: {300: 30.0, 1_000: 45.0, 3_000: 75.0})
    epochs: dict[int, int] = field(default_factory=lambda: {300: 24, 1_000: 9, 3_000: 4})
    mixed_epochs: dict[int, int] = field(default_factory=lambda: {300: 24, 1_000: 14, 3_000: 8})
    longer: int = 3
    members: int = 2
    subsets: int = 3
    seeds: int = 2


QUICK = Size((300,), {300: 4.0}, {300: 4}, {300: 2}, 1, 1, 1, 1)


def space() -> ArchitectureSpace:
    """Of all searches."""
    return ArchitectureSpace(widths=(12,), resolutions=(40,))


def family(name: str) -> Architecture:
    """A fixed net's first guess, at the sheets' resolution."""
    one = FAMILIES[name]
    return one.make(**{**one.baseline, "resolution": 40})


@dataclass(frozen=True, eq=False)
class Subset:
    """Some labels, the fifth of them that validates, and the held-out sheets.

    Args:
        data: the table.
        count: labels.
        number: of the subset.
    """

    data: Data
    count: int
    number: int

    @cached_property
    def rows(self) -> Rows:
        """Drawn by orbit."""
        return self.data.subset(self.count, self.number)

    @cached_property
    def test(self) -> Rows:
        """Held out once for all."""
        return self.data.split()[1]

    @cached_property
    def parts(self) -> tuple[Rows, Rows]:
        """To train on and to validate on; whole orbits."""
        own = np.unique(self.data.table.orbit[self.rows])
        chosen = np.random.default_rng(self.number).permutation(own)[: round(VALIDATION * len(own))]
        held = np.isin(self.data.table.orbit[self.rows], chosen)
        return self.rows[~held], self.rows[held]

    def samples(self, rows: Rows) -> LevelData:
        """Sheets with the logarithms of their labels, and their mirror images."""
        labels = np.log(self.data.labels[rows])
        responses = {"strain": labels[:, 0], "strength": labels[:, 1]}
        plain = LevelData.values_only(self.data.sheets[rows], responses, self.data.table.orbit[rows])
        return augment(plain, [lambda design: design[::-1]])

    def lab(self, epochs: int, budget: float) -> LiveLab:
        """Trains on four fifths, judges on the rest."""
        rungs = tuple(Rung(e) for e in sorted({max(epochs // 9, 1), max(epochs // 3, 1), epochs}))
        train, check = (self.samples(rows) for rows in self.parts)
        task = Task(Dataset({0: train}), check, TrainingConfig(batch_size=32), rungs)
        return LiveLab(space(), task, budget)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of the held-out sheets.

    Args:
        values: logarithms of strain and strength, ``n x 2``.
        cpu_seconds: all that it cost.
        held: the same of the validation orbits, by what was trained without them; none if it was not asked.
    """

    values: Real
    cpu_seconds: float
    held: Real = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(eq=False)
class Cell:
    """One subset and one seed; nothing is done twice.

    Args:
        subset, seed, size: which, and how much.
        folder: where answers are kept; None to keep none.
    """

    subset: Subset
    seed: int
    size: Size
    folder: Path | None = None
    _done: dict[str, Answer] = field(default_factory=dict)

    def answer(self, name: str) -> Answer:
        """Of a method."""
        if name not in self._done and (kept := self._kept(name)) is not None:
            self._done[name] = kept
        if name not in self._done:
            before = set(self._done)
            if name in (CONTINUOUS, PRUNED, DISCRETE):
                self._done |= self._darts()
            elif name == OURS:
                self._done[name] = self._mixed()
            elif name in (PROCESS, FEATURES):
                self._done[name] = self._plain(name)
            else:
                self._done[name] = self._searched(name)
            for new in self._done.keys() - before:
                self._keep(new)
        return self._done[name]

    def _file(self, name: str) -> Path | None:
        """One for all that decides an answer but the code."""
        if self.folder is None:
            return None
        size = replace(self.size, labels=(), subsets=0, seeds=0)
        about = hashlib.sha256(repr((size, torch.__version__)).encode()).hexdigest()[:8]
        part = f"{self.subset.count}-{self.subset.number}-{self.seed}-{name.replace(' ', '_')}"
        return self.folder / f"{part}-{about}.npz"

    def _kept(self, name: str) -> Answer | None:
        file = self._file(name)
        if file is None or not file.exists():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            return Answer(arrays["values"], float(arrays["cpu_seconds"]), arrays["held"])

    def _keep(self, name: str) -> None:
        file, one = self._file(name), self._done[name]
        if file is not None:
            with atomic_path(file) as partial, partial.open("wb") as stream:
                np.savez(stream, values=one.values, cpu_seconds=one.cpu_seconds, held=one.held)

    @property
    def epochs(self) -> int:
        """Of a trial."""
        return self.size.epochs[self.subset.count]

    @property
    def budget(self) -> float:
        """CPU seconds of a search."""
        return self.size.search_cpu_seconds[self.subset.count]

    def _searched(self, name: str) -> Answer:
        method: Method = SEARCHED.get(name) or FixedNets((family(name),), RATES)
        lab = self.subset.lab(self.epochs, self.budget * (0.5 if name == HALF else 1.0))
        found = search_with(method, lab, self.seed)
        return self._trained(found.best, lab, found)

    def _trained(self, architecture: Architecture, lab: LiveLab, found: Found) -> Answer:
        """Networks of one architecture on all labels of the subset."""
        began = time.process_time()
        rate = found.learning_rate or lab.task.config.learning_rate
        values = final(architecture, rate, self.subset, self.size, self.epochs, self.seed)
        spent = found.spent + time.process_time() - began
        return Answer(values, spent, self._held(architecture, lab.at_rate(rate)))

    def _held(self, architecture: Architecture, lab: LiveLab) -> Real:
        """What the network that the search had trained says of the validation orbits."""
        network = architecture.build(lab.task.train.design_shape, lab.task.codec.n_outputs)
        load_state(network, lab.weights(architecture))
        codec = lab.task.codec
        return asked(network, self.subset.data.sheets[self.subset.parts[1]], codec.mean, codec.scale)

    def _darts(self) -> dict[str, Answer]:
        lab = self.subset.lab(self.epochs, self.budget)
        result = darts(Darts(epochs=self.size.mixed_epochs[self.subset.count]), lab, np.random.default_rng(self.seed))
        began = time.process_time()
        rate = lab.task.config.learning_rate
        values = final(result.architecture, rate, self.subset, self.size, self.epochs, self.seed)
        last = time.process_time() - began
        sheets = self.subset.data.sheets[self.subset.test]
        mixed, pruned = (
            asked(network, sheets, lab.task.codec.mean, lab.task.codec.scale)
            for network in (result.supernet, result.pruned)
        )
        return {
            CONTINUOUS: Answer(mixed, result.cpu_seconds),
            PRUNED: Answer(pruned, result.cpu_seconds),
            DISCRETE: Answer(values, lab.spent + last),
        }

    def _plain(self, name: str) -> Answer:
        """On all labels."""
        began = time.process_time()
        values = self._fit(name, self.subset.rows, self.subset.test)
        return Answer(values, time.process_time() - began)

    def _fit(self, name: str, rows: Rows, test: Rows) -> Real:
        data = self.subset.data
        logs = np.log(data.labels[rows])
        centre, spread = logs.mean(0), logs.std(0)
        method: Callable[..., Real] = process if name == PROCESS else ours
        return np.asarray(method(data, rows, (logs - centre) / spread, test, self.seed) * spread + centre)

    def _mixed(self) -> Answer:
        train, check = self.subset.parts
        total, held = 0.0, []
        for name in MIXED:
            one = self.answer(name)
            total += one.cpu_seconds
            began = time.process_time()
            held.append(one.held if len(one.held) else self._fit(name, train, check))
            total += time.process_time() - began
        weights = shares(np.stack(held), np.log(self.subset.data.labels[check]))
        values = [share * self.answer(name).values for share, name in zip(weights, MIXED, strict=True)]
        return Answer(np.sum(values, axis=0), total)


def shares(answers: Real, true: Real) -> Real:
    """Of each answer in the mean of least squared error: none negative, sum 1.

    Args:
        answers: ``k x n x 2``.
        true: ``n x 2``; its spread is the unit of each column.
    """
    spread = true.std(0)
    rows = ((answers - true) / spread).reshape(len(answers), -1)
    certain = 1e3 * np.abs(rows).max()  # makes the sum 1
    weights, _ = nnls(
        np.column_stack([rows, np.full(len(rows), certain)]).T, np.append(np.zeros(rows.shape[1]), certain)
    )
    return np.asarray(weights / weights.sum())


def final(architecture: Architecture, rate: float, subset: Subset, size: Size, epochs: int, seed: int) -> Real:
    """Mean of the answers of some networks trained on the whole subset, ``n x 2``."""
    config = TrainingConfig(batch_size=32, learning_rate=rate)
    samples = subset.samples(subset.rows)
    task = Task(Dataset({0: samples}), samples, config, (Rung(size.longer * epochs),))
    answers = []
    for member in range(size.members):
        learner = Learner(architecture, config, samples, task.codec, size.longer * epochs, 100 * seed + member)
        few = learner.prepared(samples.take(np.arange(2)))
        for _ in range(size.longer * epochs):
            learner.advance(few, "value")
        learner.network.load_state_dict(learner.average)
        sheets = subset.data.sheets[subset.test]
        answers.append(asked(learner.network, sheets, task.codec.mean, task.codec.scale))
    return np.asarray(np.mean(answers, axis=0))


def asked(network: SurrogateNetwork, sheets: Real, mean: Real, scale: Real) -> Real:
    """Mean of the answers for the sheets and their images, ``n x 2``."""
    network.eval()
    total = np.zeros((len(sheets), 2))
    with torch.no_grad():
        for images in (sheets, sheets[:, ::-1]):
            parts = torch.from_numpy(np.ascontiguousarray(images)).float().split(1024)
            total += torch.cat([network(part) for part in parts]).double().numpy()
    return np.asarray(total / 2 * scale + mean)
