"""Searches for an architecture, replayed on tables of trained networks: CPU seconds until the best is nearly found.

    python -m benchmarks.search_methods [--quick] [--seeds N] [--method WORD...] [--table PATH...] [--workers N]

A network's final error is its mean over the table's seeds at the last rung. What a search would give at some time is
the network of the least error it has seen at the highest rung it has reached. The figures of a method are

- the CPU seconds after which that network has a final error within 1 %, and within 5 %, of the least one of the table.
  A replay that has not come there when the budget, a fixed share of the cost of training everything, is spent counts as
  infinite; a median that is infinite is null;
- its regret, the final error of that network above the least one, in units of what the median network has: at the end
  of the budget, and on the way (the anytime curve), as means over replays. It tells methods apart where one training is
  too noisy to find the best by, so that hardly any search comes within 1 % but by chance; how many networks are that
  good, and how well two trainings of the same networks agree on their order, is printed above the methods.

Intervals are 90 % bootstrap intervals over replays; a replay has its own seed, and begins with another of the table's
trainings of each network. Replays run in several processes of one thread each, and do not depend on their number, but
for the CPU seconds that a method itself takes, which are measured and charged to it. What is remembered of networks
from one replay to the next, such as their neighbours, is not charged again. The last line is one JSON object.

Tables are made by `python -m benchmarks.search_tables`.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray

from benchmarks.search_problems import PROBLEMS
from benchmarks.search_tables import TABLES
from surrogates.architecture import Architecture
from surrogates.families import FAMILIES
from surrogates.nas.fidelity import from_table, spearman
from surrogates.nas.lab import Found, Method, search_with
from surrogates.nas.methods import (
    AsynchronousHalving,
    Bananas,
    CoDeepNeat,
    Confirmed,
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
from surrogates.runtime import torch_threads

WITHIN, BUDGET_SHARE, QUICK_SHARE = (0.01, 0.05), 0.4, 0.12
NAMES, INTERVALS = ("1pct", "5pct"), ("interval", "interval_5pct")
FIGURES = (*(f"cpu_to_within_{name}" for name in NAMES), *INTERVALS, "regret", "regret_interval", "anytime")
SEEDS_A_JOB = 10
CONFIRMED = ("random", "one-epoch top-K", "flops", "Gaussian process (wl)")
SHARES = (0.01, 0.02, 0.05, 0.1, 0.12, 0.2, 0.4)


def fixed_nets(space: ArchitectureSpace) -> tuple[Architecture, ...]:
    """The families' first guesses, of a space's first width and resolution; those that it holds."""
    own = {"width": space.widths[0], "resolution": space.resolutions[0]}
    guesses = (family.make(**{**family.baseline, **own}) for family in FAMILIES.values())
    return tuple(architecture for architecture in guesses if architecture in space)


def methods(space: ArchitectureSpace) -> list[Method]:
    """All that can be replayed, with random search and one-epoch top-K, the baselines, first."""
    once: list[Method] = [
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
    return once + [Confirmed(method) for method in once if method.name in CONFIRMED]


def reached(found: Found, table: SearchTable, within: float = WITHIN[0]) -> float:
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
    ranks = np.sort(_medians(values, _draws(len(values), resamples)))
    return float(ranks[round(0.05 * (resamples - 1))]), float(ranks[round(0.95 * (resamples - 1))])


def bootstrap_mean(values: NDArray[np.float64], resamples: int = 2000) -> tuple[float, float]:
    """90 % interval of the mean of finite values."""
    low, high = np.quantile(values[_draws(len(values), resamples)].mean(axis=1), [0.05, 0.95])
    return float(low), float(high)


def _draws(n: int, resamples: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(n, size=(resamples, n))


def _medians(values: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lower median of each draw, which is never between a finite value and infinity."""
    return np.sort(values[draws], axis=1)[:, (draws.shape[1] - 1) // 2]


@dataclass(frozen=True)
class Job:
    """Some replays of one method.

    Args:
        path: of the table.
        method: that is replayed.
        seeds: one a replay.
        share: of the cost of training everything, the budget.
    """

    path: Path
    method: Method
    seeds: range
    share: float


@dataclass(frozen=True, eq=False)
class Replays:
    """What came of some replays.

    Args:
        spent: ``len(WITHIN) x replays``, see ``reached``.
        regret: ``replays x shares``, see ``curve``; the last at the whole budget.
        cpu_seconds: that replaying took.
    """

    spent: NDArray[np.float64]
    regret: NDArray[np.float64]
    cpu_seconds: float


def replayed(job: Job) -> Replays:
    """One replay a seed."""
    started = time.process_time()
    table = loaded(job.path)
    everything = training_seconds(table)
    budget, at = job.share * everything, np.array([*shares(job.share), job.share]) * everything
    found = [search_with(job.method, TableLab(table, budget, shift=seed), seed) for seed in job.seeds]
    spent = np.array([[reached(one, table, within) for one in found] for within in WITHIN])
    regret = np.array([curve(one, table, at) for one in found])
    return Replays(spent, regret, time.process_time() - started)


@functools.lru_cache(maxsize=4)
def loaded(path: Path) -> SearchTable:
    """The table of the problem that a file is named after.

    Raises:
        SystemExit: where there is no such problem.
    """
    if path.stem not in PROBLEMS:
        raise SystemExit(f"Expected tables named after one of {', '.join(PROBLEMS)}. Got {path}.")
    return SearchTable.load(path, PROBLEMS[path.stem].space)


def training_seconds(table: SearchTable) -> float:
    """CPU seconds of training everything once."""
    return float(table.cpu_seconds[:, :, 0].sum())


def shares(most: float) -> tuple[float, ...]:
    """Where anytime curves are shown."""
    return tuple(share for share in SHARES if share <= most)


def one_thread() -> None:
    """Of this process."""
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
    import_first()


def import_first() -> None:
    """What torch imports before it counts products for the first time, some seconds of it, is no method's own time."""
    importlib.import_module("torch._dynamo")


@contextmanager
def processes(count: int) -> Iterator[Callable[[Sequence[Job]], Iterator[Replays]]]:
    """Runs jobs in that many processes, and gives what comes of them in order; one process is this one."""
    if count == 1:
        import_first()
        with torch_threads(1), threadpoolctl.threadpool_limits(1):
            yield lambda jobs: map(replayed, jobs)
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=one_thread) as pool:
        try:
            yield lambda jobs: pool.map(replayed, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


def about(table: SearchTable) -> dict[str, Any]:
    """How many networks are nearly the best, and the rank correlation of two seeds at the last rung, None for one."""
    counts = [int((table.final <= (1 + within) * table.final.min()).sum()) for within in WITHIN]
    last = table.error[:, -1]
    agreement = round(spearman(last[:, 0], last[:, 1]), 3) if table.seeds > 1 else None
    return {
        "networks": len(table.architectures),
        **{f"within_{name}": count for name, count in zip(NAMES, counts, strict=True)},
        "correlation_of_seeds": agreement,
    }


def describe(table: SearchTable, share: float) -> None:
    """Prints the table, its rungs and how hard it is, and the head of the methods' figures."""
    everything, facts = training_seconds(table), about(table)
    print(
        f"\n{table.name}: {facts['networks']} networks, {everything:.0f} CPU s for all, budget {share * everything:.0f}"
    )
    for report in from_table(table):
        low, high = report.interval
        print(
            f"  rung {report.rung.key:>6}: {report.cpu_seconds:7.2f} CPU s a network, rank correlation with the last "
            f"{report.correlation:.3f} [{low:.3f}, {high:.3f}], {'admitted' if report.admitted else 'not admitted'}"
        )
    print(
        f"  {facts['within_1pct']} networks are within 1 % of the best, {facts['within_5pct']} within 5 %; rank "
        f"correlation of two seeds at the last rung: {facts['correlation_of_seeds']}"
    )
    print(
        "  CPU s to within 1 % and 5 % of the best (median, 90 % interval, replays that came there), regret at the end"
    )
    print("  of the budget (mean, 90 % interval), anytime regret at CPU s, (CPU s of all replays)")
    rest = f"{'interval':>17} {'found':>5}"
    heads = " ".join(f"{x * everything:6.0f}" for x in shares(share))
    print(f"  {'':24s} {'1 %':>7} {rest}  {'5 %':>7} {rest}  {'regret':>6} {'interval':>14}  {heads}", flush=True)


def figures(name: str, parts: Sequence[Replays]) -> dict[str, Any]:
    """Of one method, printed as one line."""
    spent = np.concatenate([part.spent for part in parts], axis=1)
    regret = np.concatenate([part.regret for part in parts])
    line, result = f"  {name:24s}", dict[str, Any]()
    for key, interval, times in zip(NAMES, INTERVALS, spent, strict=True):
        middle, (low, high) = float(_medians(times, np.arange(len(times))[None])[0]), bootstrap(times)
        line += f" {middle:7.0f} [{low:7.0f},{high:7.0f}] {np.isfinite(times).mean():5.0%} "
        result[f"cpu_to_within_{key}"] = _finite(middle)
        result[interval] = [_finite(low), _finite(high)]
    mean, (low, high) = regret.mean(axis=0), bootstrap_mean(regret[:, -1])
    line += f" {mean[-1]:6.3f} [{low:5.3f}, {high:5.3f}]  " + " ".join(f"{value:6.3f}" for value in mean[:-1])
    print(f"{line}   ({sum(part.cpu_seconds for part in parts):.1f})", flush=True)
    result["regret"] = round(float(mean[-1]), 4)
    result["regret_interval"] = [round(low, 4), round(high, 4)]
    result["anytime"] = [round(float(value), 4) for value in mean[:-1]]
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
    parser.add_argument("--workers", type=int, help="processes; as many as there are cores")
    options = parser.parse_args(arguments)
    seeds = options.seeds or (50 if options.quick else 200)
    share = QUICK_SHARE if options.quick else BUDGET_SHARE
    paths = options.table or sorted(TABLES.glob("*.npz"))
    report: dict[str, Any] = {figure: {} for figure in FIGURES}
    report |= {"tables": {}, "seeds": seeds}
    if not paths:
        print(f"There is no table of trained networks in {TABLES}: nothing to replay on.")
        print("Make them with `python -m benchmarks.search_tables`; it takes hours, and may be stopped at any time.")
    words = options.method
    chosen = {
        path: [m for m in methods(loaded(path).space) if not words or any(word in m.name for word in words)]
        for path in paths
    }
    pieces = [range(seeds)[k : k + SEEDS_A_JOB] for k in range(0, seeds, SEEDS_A_JOB)]
    jobs = [Job(path, method, piece, share) for path in paths for method in chosen[path] for piece in pieces]
    with processes(max(min(options.workers or os.cpu_count() or 1, len(jobs)), 1)) as run:
        results = run(jobs)
        for path in paths:
            table = loaded(path)
            describe(table, share)
            report["tables"][path.stem] = about(table)
            for method in chosen[path]:
                of_method = figures(method.name, list(itertools.islice(results, len(pieces))))
                for figure, value in of_method.items():
                    report[figure].setdefault(path.stem, {})[method.name] = value
    print(json.dumps(report))


if __name__ == "__main__":
    main()
