"""The MoS2 table as a search problem, and calls counted until a search has found what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from invdesign import Budget, Evaluator, Problem, Store, run
from invdesign.budget import BudgetSpent
from invdesign.records import Candidate
from invdesign.run import Strategy
from invdesign.spaces.discrete import Codes
from invdesign.spaces.listed import Listed
from invdesign.spaces.row_cuts import RowCuts, mos2_row_cuts
from invdesign.targets import AnyTarget
from physics.tables import TableSimulator, mos2_codes, mos2_table

STRAIN, STRESS = "failure_strain", "max_stress_GPa"
TOP_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class Mos2:
    """The table with its codes, orbits of mirror images, and what the best of it are."""

    table: TableSimulator = field(default_factory=mos2_table)
    rows: RowCuts = field(default_factory=mos2_row_cuts)

    @cached_property
    def codes(self) -> Codes:
        """Of the table's rows, `(n, 4)`."""
        return mos2_codes(self.table)

    @cached_property
    def space(self) -> Listed:
        """The patterns of the table."""
        return Listed(self.rows, self.codes)

    @cached_property
    def orbit(self) -> NDArray[np.int64]:
        """Number of every pattern's orbit, `(n,)`."""
        return np.unique(self.rows.canonical(self.codes), axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def image(self) -> NDArray[np.int64]:
        """Row of every pattern's mirror image, `(n,)`."""
        place = {tuple(code): row for row, code in enumerate(self.codes.tolist())}
        return np.array([place[tuple(code[::-1])] for code in self.codes.tolist()])

    def means(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Orbits of two patterns, and the mean of a label over each."""
        counts = np.bincount(self.orbit)
        sums = np.bincount(self.orbit, self.table.responses[name])
        pairs = np.flatnonzero(counts == 2)
        return pairs, sums[pairs] / 2

    @cached_property
    def top(self) -> tuple[float, int]:
        """Least failure strain of the top 0.1 % of patterns, and how many these are."""
        return _top(self.table.responses[STRAIN])

    @cached_property
    def top_mean(self) -> tuple[float, int]:
        """Least mean of the two mirror images among the top 0.1 % of orbits, and how many these are."""
        return _top(self.means(STRAIN)[1])

    def problem(self, targets: Sequence[AnyTarget]) -> Problem:
        """The table's patterns with some targets."""
        return Problem(self.space, self.table, targets)

    def orbit_of(self, candidate: Candidate) -> tuple[int, ...]:
        """The canonical codes of a verified design."""
        return tuple(self.rows.canonical(self.rows.coded(candidate.design[None]))[0].tolist())


def _top(values: NDArray[np.float64]) -> tuple[float, int]:
    count = round(TOP_SHARE * len(values))
    return float(np.sort(values)[-count]), count


Judge = Callable[[Candidate], bool]


def reached(table: Mos2) -> Judge:
    """Whether a design lies in the top 0.1 % of patterns."""
    least = table.top[0]
    return lambda candidate: float(candidate.response[STRAIN]) >= least - 1e-9


def confirmed(table: Mos2) -> Judge:
    """Whether a design and its mirror image, both seen by this judge, have a mean in the top 0.1 % of orbits."""
    least = table.top_mean[0]
    return both_images(table, lambda strain, stress: strain >= least - 1e-9)


def both_images(table: Mos2, good: Callable[[float, float], bool]) -> Judge:
    """Whether the means of strain and stress over both mirror images, as seen by this judge so far, are good."""
    seen: dict[tuple[int, ...], list[tuple[float, float]]] = {}

    def judge(candidate: Candidate) -> bool:
        response = candidate.response
        values = seen.setdefault(table.orbit_of(candidate), [])
        values.append((float(response[STRAIN]), float(response[STRESS])))
        strain, stress = np.mean(values, axis=0)
        return len(values) == 2 and good(float(strain), float(stress))

    return judge


def calls_until(
    problem: Problem,
    strategy: Strategy,
    done: Judge,
    *,
    seed: int,
    most: int,
    store: Store,
) -> float:
    """Reference calls until `done` says so of one, each being shown to it in turn; infinite beyond `most`."""
    found: list[int] = []
    looked = 0

    def watch(evaluator: Evaluator) -> None:
        nonlocal looked
        while looked < len(evaluator.candidates) and not found:
            looked += 1
            if done(evaluator.candidates[looked - 1]):
                found.append(looked)
                raise BudgetSpent("found")

    # Failures would not be counted as candidates; the table's own patterns never fail.
    run(problem, strategy, budget=Budget(reference_solves=most), store=store, seed=seed, observer=watch)
    return found[0] if found else np.inf


def random_calls(
    table: Mos2, good: NDArray[np.bool_], good_pair: NDArray[np.bool_], loss: NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Calls of a random search, found and confirmed, by the rules of `RandomCodes`, read off the table at once.

    Args:
        table: with n patterns.
        good, good_pair: whether each pattern, and the mean of each with its image, is what is wanted, `(n,)`.
        loss: of each pattern, `(n,)`; images of what is better than the best pair so far are measured next.
        seed: of the order.
    """
    order = np.random.default_rng(seed).permutation(len(good))
    hits = np.flatnonzero(good[order])
    found = float(hits[0]) + 1 if len(hits) else np.inf
    measured, count, best = np.zeros(len(good), dtype=bool), 0, np.inf
    for row in order:
        if measured[row]:
            continue
        image = table.image[row]
        measured[row], count = True, count + 1
        if image != row and not measured[image] and loss[row] < best:
            measured[image], count = True, count + 1
            best = min(best, (loss[row] + loss[image]) / 2)
        if image != row and measured[image] and good_pair[row]:
            return found, float(count)
    return found, np.inf


def confirming(strategy: Strategy) -> Strategy:
    """The same strategy, measuring mirror images of what looks best."""
    return replace(strategy, confirm=True)  # type: ignore[type-var]
