"""What each method of `kirigami_networks` says of the held-out sheets, from a subset of the labels."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.kirigami_regression import Data, process, rows_net
from benchmarks.kirigami_training import Final, asked, settle
from surrogates import Architecture, Dataset, LevelData, TrainingConfig
from surrogates.families import FAMILIES
from surrogates.files import atomic_path
from surrogates.nas.lab import Method, Rung, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import Darts, FixedNets, RandomSearch, SuccessiveHalving
from surrogates.nas.methods.darts import darts
from surrogates.nas.space import ArchitectureSpace
from surrogates.states import load_state
from surrogates.symmetry import augment

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
VERSION = 2  # of the answers that a folder keeps
VALIDATION = 0.2
RATES = (4e-3, 2e-3, 8e-3, 1e-3)
BATCH = 32
FIXED = ("resnet", "unet", "fno", "mlp")
RANDOM, HALVING = "random search", "halving"
SEARCHED: dict[str, Method] = {RANDOM: RandomSearch(), HALVING: SuccessiveHalving()}
CONTINUOUS, PRUNED, DISCRETE = "DARTS continuous", "DARTS pruned", "DARTS discrete"
PROCESS, FEATURES, OURS = "process", "features", "ours"
NAMES = (CONTINUOUS, PRUNED, DISCRETE, RANDOM, HALVING, *FIXED, PROCESS, FEATURES, OURS)
# Labels up to which features leave no time for anything else, and are ours alone.
FEW = 1_000


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        labels: of the subsets.
        cpu_seconds: of each answer, at each number of labels: half for the search, the rest for the final training.
        epochs: of a trial at the last rung, at each number of labels; the final training's are ``longer`` times as
            many.
        mixed_epochs: of the supernet, as many as a search has time for.
        members: of the final training, at most, as the CPU seconds allow.
        subsets, seeds: of labels, and of networks on each.
    """

    labels: tuple[int, ...] = (300, 1_000, 3_000)
    cpu_seconds: dict[int, float] = field(default_factory=lambda: {300: 30.0, 1_000: 35.0, 3_000: 45.0})
    epochs: dict[int, int] = field(default_factory=lambda: {300: 24, 1_000: 9, 3_000: 4})
    mixed_epochs: dict[int, int] = field(default_factory=lambda: {300: 24, 1_000: 14, 3_000: 8})
    longer: int = 3
    members: int = 12
    subsets: int = 3
    seeds: int = 2


QUICK = Size((300,), {300: 6.0}, {300: 4}, {300: 2}, 1, 2, 1, 1)


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

    def task(self, epochs: int) -> Task:
        """To train on four fifths and judge on the rest."""
        rungs = tuple(Rung(e) for e in sorted({max(epochs // 9, 1), max(epochs // 3, 1), epochs}))
        train, check = (self.samples(rows) for rows in self.parts)
        return Task(Dataset({0: train}), check, TrainingConfig(batch_size=BATCH), rungs)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of the held-out sheets.

    Args:
        values: logarithms of strain and strength, ``n x 2``.
        cpu_seconds: all that it cost.
        members: networks of the final training.
    """

    values: Real
    cpu_seconds: float
    members: int = 0


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
            new = self._darts() if name in (CONTINUOUS, PRUNED, DISCRETE) else {name: self._made(name)}
            self._done |= new
            for one in new:
                self._keep(one)
        return self._done[name]

    def _made(self, name: str) -> Answer:
        if name == PROCESS:
            began = time.process_time()
            values = self._fit(PROCESS, self.subset.rows, self.subset.test)
            return Answer(values, time.process_time() - began)
        if name == FEATURES:
            return self._features()
        if name == OURS:
            return self.answer(FEATURES) if self.subset.count <= FEW else self._mixed()
        return self._searched(name, self.budget)[0]

    def _file(self, name: str) -> Path | None:
        """One for all that decides an answer but the code; that has a version."""
        if self.folder is None:
            return None
        count, size = self.subset.count, self.size
        times = size.cpu_seconds[count], size.epochs[count], size.mixed_epochs[count], size.longer, size.members
        sheets = hashlib.sha256(self.subset.data.labels.tobytes() + self.subset.rows.tobytes()).hexdigest()
        decides = (times, sheets, RATES, VALIDATION, BATCH, space(), VERSION, torch.__version__)
        about = hashlib.sha256(repr(decides).encode()).hexdigest()[:8]
        part = f"{self.subset.count}-{self.subset.number}-{self.seed}-{name.replace(' ', '_')}"
        return self.folder / f"{part}-{about}.npz"

    def _kept(self, name: str) -> Answer | None:
        file = self._file(name)
        if file is None or not file.exists():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            return Answer(arrays["values"], float(arrays["cpu_seconds"]), int(arrays["members"]))

    def _keep(self, name: str) -> None:
        file, one = self._file(name), self._done[name]
        if file is not None:
            with atomic_path(file) as partial, partial.open("wb") as stream:
                np.savez(stream, values=one.values, cpu_seconds=one.cpu_seconds, members=one.members)

    @property
    def epochs(self) -> int:
        """Of a trial."""
        return self.size.epochs[self.subset.count]

    @property
    def budget(self) -> float:
        """CPU seconds of an answer."""
        return self.size.cpu_seconds[self.subset.count]

    def _searched(self, name: str, budget: float) -> tuple[Answer, Real]:
        """An answer, and what the network that the search trained says of the validation orbits."""
        method: Method = SEARCHED.get(name) or FixedNets((family(name),), RATES)
        lab = LiveLab(space(), self.subset.task(self.epochs), budget / 2)
        found = search_with(method, lab, self.seed)
        rate = found.learning_rate or lab.task.config.learning_rate
        began = time.process_time()
        held = self._held(found.best, lab.at_rate(rate)) if budget < self.budget else np.zeros((0, 2))
        spent = found.spent + time.process_time() - began
        return self._trained(found.best, rate, spent, budget), held

    def _held(self, architecture: Architecture, lab: LiveLab) -> Real:
        network = architecture.build(lab.task.train.design_shape, lab.task.codec.n_outputs)
        load_state(network, lab.weights(architecture))
        codec = lab.task.codec
        return asked(network, self.subset.data.sheets[self.subset.parts[1]], codec.mean, codec.scale)

    def _trained(self, architecture: Architecture, rate: float, spent: float, budget: float) -> Answer:
        """Networks of one architecture on all labels of the subset, for the CPU seconds that are left."""
        began = time.process_time()
        subset = self.subset
        config = TrainingConfig(batch_size=BATCH, learning_rate=rate)
        epochs = self.size.longer * self.epochs
        final = Final(architecture, config, subset.samples(subset.rows), epochs, self.size.members)
        values, members = final.answers(subset.data.sheets[subset.test], self.seed, budget - spent)
        return Answer(values, spent + time.process_time() - began, members)

    def _darts(self) -> dict[str, Answer]:
        """All three; the supernet and the network chosen have the same CPU seconds beyond the search."""
        subset = self.subset
        lab = LiveLab(space(), subset.task(self.epochs), self.budget / 2)
        result = darts(Darts(epochs=self.size.mixed_epochs[subset.count]), lab, np.random.default_rng(self.seed))
        sheets, config, codec = subset.data.sheets[subset.test], lab.task.config, lab.task.codec
        pruned = Answer(asked(result.pruned, sheets, codec.mean, codec.scale), lab.spent)
        began = time.process_time()
        epochs, left = self.size.longer * self.epochs, self.budget - lab.spent
        settle(result.supernet, codec, subset.samples(subset.rows), config, epochs, left, self.seed)
        mixed = asked(result.supernet, sheets, codec.mean, codec.scale)
        continuous = Answer(mixed, lab.spent + time.process_time() - began, 1)
        discrete = self._trained(result.architecture, config.learning_rate, lab.spent, self.budget)
        return {CONTINUOUS: continuous, PRUNED: pruned, DISCRETE: discrete}

    def _fit(self, name: str, rows: Rows, test: Rows, seed: int = 0) -> Real:
        """A process, without features or with them, or row networks with them."""
        data = self.subset.data
        logs = np.log(data.labels[rows])
        centre, spread = logs.mean(0), logs.std(0)
        given = data, rows, (logs - centre) / spread, test, seed
        values = rows_net(*given) if name == "rows" else process(*given, linear=name == "linear")
        return np.asarray(values * spread + centre)

    def _features(self) -> Answer:
        """Mean of the process with features and of row networks, as many of these as there is time for."""
        began = time.process_time() - self.subset.data.features_cpu_seconds
        rows, test = self.subset.rows, self.subset.test
        plain = self._fit("linear", rows, test)
        nets, longest, last = list[Real](), 0.0, time.process_time()
        while not nets or (last + longest < began + self.budget and len(nets) < self.size.members):
            nets.append(self._fit("rows", rows, test, 100 * self.seed + len(nets)))
            longest, last = max(longest, time.process_time() - last), time.process_time()
        return Answer((plain + np.mean(nets, axis=0)) / 2, time.process_time() - began, len(nets))

    def _mixed(self) -> Answer:
        """Row networks with features and a searched network, in the shares that suit the validation orbits."""
        train, check = self.subset.parts
        began = time.process_time() - self.subset.data.features_cpu_seconds
        held = self._fit("rows", train, check, 100 * self.seed)
        values = self._fit("rows", self.subset.rows, self.subset.test, 100 * self.seed)
        spent = time.process_time() - began
        other, other_held = self._searched(HALVING, self.budget - spent)
        weights = shares(np.stack([held, other_held]), np.log(self.subset.data.labels[check]))
        return Answer(weights[0] * values + weights[1] * other.values, spent + other.cpu_seconds, other.members)


def shares(answers: Real, true: Real) -> Real:
    """Of each answer in the mean of least squared error: none negative, sum 1.

    Args:
        answers: ``k x n x 2``.
        true: ``n x 2``; its spread is the unit of each column.
    """
    spread = true.std(0)
    rows = ((answers - true) / spread).reshape(len(answers), -1)
    certain = 1e3 * np.abs(rows).max()  # makes the sum 1
    left = np.column_stack([rows, np.full(len(rows), certain)]).T
    weights, _ = nnls(left, np.append(np.zeros(rows.shape[1]), certain))
    return np.asarray(weights / weights.sum())
