"""Searches for an architecture, replayed on tables of trained networks: CPU seconds until the best is nearly found.

    python -m benchmarks.search_methods [--quick] [--seeds N] [--method WORD...] [--table PATH...]

A network's final error is its mean over the table's seeds at the last rung. The figure of a method is the CPU seconds
after which the network that it would give (the least error it has seen at the highest rung it has reached) has a final
error within 1 % of the least one of the table; a replay that has not come there when the budget, a fixed share of the
cost of training everything, is spent counts as infinite, and a median that is infinite is null. Intervals are 90 %
bootstrap intervals over replays; a replay has its own seed, and begins with another of the table's trainings of each
network. The anytime curve is the mean, over replays, of the final error of that network above the least one, in units
of what the median network has. The last line is one JSON object.

Tables are made by `python -m benchmarks.search_tables`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search_problems import PROBLEMS
from benchmarks.search_tables import TABLES
from surrogates.architecture import Architecture
from surrogates.families import FAMILIES
from surrogates.nas.fidelity import from_table
from surrogates.nas.lab import Found, Method, search_with
from surrogates.nas.methods import (
    AsynchronousHalving,
    Bananas,
    CoDeepNeat,
    Evolution,
    FixedNets,
    FreezeThaw,
    GaussianProcess,
    Hyperband,
    LocalSearch,
    Parameters,
    ProxyRanking,
    RandomSearch,
    SuccessiveHalving,
    TopK,
    TpeHyperband,
)
from surrogates.nas.methods.proxies import Flops
from surrogates.nas.space import ArchitectureSpace
from surrogates.nas.table import SearchTable, TableLab

WITHIN, BUDGET_SHARE, QUICK_SHARE = 0.01, 0.4, 0.15
SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.4)


def fixed_nets(space: ArchitectureSpace) -> tuple[Architecture, ...]:
    """The families' first guesses, of a space's first width and resolution; those that it holds."""
    own = {"width": space.widths[0], "resolution": space.resolutions[0]}
    guesses = (family.make(**{**family.baseline, **own}) for family in FAMILIES.values())
    return tuple(architecture for architecture in guesses if architecture in space)


def methods(space: ArchitectureSpace) -> list[Method]:
    """All that can be replayed, with random search and one-epoch top-K, the baselines, first."""
    return [
        RandomSearch(),
        TopK(),
        FixedNets(fixed_nets(space)),
        ProxyRanking(Parameters()),
        ProxyRanking(Flops()),
        LocalSearch(),
        Evolution(),
        CoDeepNeat(),
        SuccessiveHalving(),
        Hyperband(),
        AsynchronousHalving(),
        SuccessiveHalving(sampler="tpe", name="halving, TPE"),
        TpeHyperband(),
        GaussianProcess("wl"),
        GaussianProcess("edit"),
        GaussianProcess("paths"),
        Bananas(),
        FreezeThaw(),
    ]


def reached(found: Found, table: SearchTable, within: float = WITHIN) -> float:
    """CPU seconds of a replay until the network it would give is within that of the best; infinite if never."""
    wanted = (1 + within) * table.final.min()
    return next((spent for spent, a in found.incumbents if table.final[table.number[a]] <= wanted), float("inf"))


def curve(found: Found, table: SearchTable, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Final error above the least, in units of the median network's, at some CPU seconds; 1 before any is found."""
    least, middle = table.final.min(), np.median(table.final)
    values = np.ones(len(at))
    for spent, architecture in found.incumbents:
        values[at >= spent] = (table.final[table.number[architecture]] - least) / (middle - least)
    return values


def bootstrap(values: NDArray[np.float64], resamples: int = 2000) -> tuple[float, float]:
    """90 % interval of the median; infinite values are kept as such."""
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    ranks = np.sort(_medians(values, draws))
    return float(ranks[round(0.05 * (resamples - 1))]), float(ranks[round(0.95 * (resamples - 1))])


def _medians(values: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lower median of each draw, which is never between a finite value and infinity."""
    return np.sort(values[draws], axis=1)[:, (draws.shape[1] - 1) // 2]


def replayed(method: Method, table: SearchTable, seeds: int, budget: float) -> list[Found]:
    """One replay a seed."""
    return [search_with(method, TableLab(table, budget, shift=seed), seed) for seed in range(seeds)]


def compare(table: SearchTable, chosen: Sequence[Method], seeds: int, share: float) -> dict[str, Any]:
    """All methods on one table, printed as they come."""
    everything = float(table.cpu_seconds[:, :, 0].sum())
    budget = share * everything
    at = np.array([s for s in SHARES if s <= share]) * everything
    print(f"\n{table.name}: {len(table.architectures)} networks, {everything:.0f} CPU s for all, budget {budget:.0f}")
    for report in from_table(table):
        low, high = report.interval
        print(
            f"  rung {report.rung.key:>6}: {report.cpu_seconds:7.2f} CPU s a network, rank correlation with the last "
            f"{report.correlation:.3f} [{low:.3f}, {high:.3f}], {'admitted' if report.admitted else 'not admitted'}"
        )
    print("  CPU s to within 1 % of the best (median, 90 % interval), replays that came there, anytime regret at")
    print(f"  {'':24s} {'median':>9} {'interval':>19} {'found':>6}  " + " ".join(f"{x:7.0f}" for x in at))
    result: dict[str, Any] = {"cpu": {}, "interval": {}, "anytime": {}}
    for method in chosen:
        started = time.process_time()
        found = replayed(method, table, seeds, budget)
        spent = np.array([reached(one, table) for one in found])
        middle, (low, high) = float(_medians(spent, np.arange(len(spent))[None])[0]), bootstrap(spent)
        mean = np.mean([curve(one, table, at) for one in found], axis=0)
        print(
            f"  {method.name:24s} {middle:9.0f} [{low:8.0f}, {high:8.0f}] {np.isfinite(spent).mean():6.0%}  "
            + " ".join(f"{value:7.3f}" for value in mean)
            + f"   ({time.process_time() - started:.0f} s)",
            flush=True,
        )
        result["cpu"][method.name] = _finite(middle)
        result["interval"][method.name] = [_finite(low), _finite(high)]
        result["anytime"][method.name] = [round(float(value), 4) for value in mean]
    return result


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 seeds and a smaller budget")
    parser.add_argument("--seeds", type=int, help="replays of each method")
    parser.add_argument("--method", nargs="+", default=[], help="only those whose name has one of these words")
    parser.add_argument("--table", nargs="+", type=Path, help="files, each named after its problem")
    options = parser.parse_args(arguments)
    seeds = options.seeds or (50 if options.quick else 200)
    paths = options.table or sorted(TABLES.glob("*.npz"))
    report: dict[str, Any] = {"cpu_to_within_1pct": {}, "interval": {}, "anytime": {}, "seeds": seeds}
    if not paths:
        print(f"There is no table of trained networks in {TABLES}: nothing to replay on.")
        print("Make them with `python -m benchmarks.search_tables`; it takes hours, and may be stopped at any time.")
    for path in paths:
        if path.stem not in PROBLEMS:
            raise SystemExit(f"Expected tables named after one of {', '.join(PROBLEMS)}. Got {path}.")
        table = SearchTable.load(path, PROBLEMS[path.stem].space)
        known = methods(table.space)
        chosen = [m for m in known if not options.method or any(word in m.name for word in options.method)]
        one = compare(table, chosen, seeds, QUICK_SHARE if options.quick else BUDGET_SHARE)
        report["cpu_to_within_1pct"][path.stem] = one["cpu"]
        report["interval"][path.stem] = one["interval"]
        report["anytime"][path.stem] = one["anytime"]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
