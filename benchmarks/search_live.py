"""Searches for an architecture, live: methods train networks themselves, at equal CPU time, and are tested.

    python -m benchmarks.search_live [--quick] [--problem bend|kirigami] [--budget CPU_SECONDS] [--draws N]
        [--method WORD...] [--folder F]

The problems are those of the tables, the space is larger (three widths for one), and every draw has training samples of
its own, so that nothing is known from the tables. Each method searches each draw for the same CPU seconds, its own
computing included; what one has trained another takes from a cache and is charged for alike. The network that it gives,
as trained by the search, is judged on samples that no search sees. Intervals are 90 % t-intervals over draws of
the mean, and of the mean difference to random search on the same draw; below 0 the method is better. By default
methods are random search, one-epoch top-K and those that the tables say are best; those that no table can replay,
because they train networks in ways of their own, are to be named. Finished trials are kept in the folder, and the same
command goes on. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import against
from benchmarks.search_methods import methods
from benchmarks.search_problems import PROBLEMS, SearchProblem, of_each
from surrogates.data import LevelData
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Found, Method, Rung, search_with
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import Darts, EvoNorm, Morphisms, Neat, RandomSearch

FOLDER = Path.home() / ".cache" / "invdesign" / "search_live"
BEST = ("Gaussian process (wl), confirmed", "Gaussian process (wl)", "Gaussian process (edit)", "one-epoch top-K")
BASELINE = RandomSearch().name
# What needs a lab that trains, so that no table can replay it.
LIVE = (
    Darts(),
    Darts(gate="sparsemax", temperatures=(1.0, 0.1)),
    Darts(selection="perturbation"),
    Morphisms(),
    EvoNorm(),
    Neat(),
)


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        budget_cpu_seconds: of a search.
        draws: of training samples.
        widths: of the space.
        rungs: in place of the problem's own; none for those.
    """

    budget_cpu_seconds: float = 240.0
    draws: int = 5
    widths: tuple[int, ...] = (8, 12, 16)
    rungs: tuple[Rung, ...] = ()


QUICK = Size(6.0, 1, (8,), (Rung(1), Rung(2)))


def searched(
    problem: SearchProblem, method: Method, draw: int, size: Size, folder: Path, test: LevelData
) -> tuple[Found, float]:
    """What a method finds on a draw, and its error on the test samples as the search would judge it."""
    space = replace(problem.space, widths=size.widths)
    task = problem.task(folder, draw)
    task = replace(task, rungs=size.rungs or task.rungs)
    lab = LiveLab(space, task, size.budget_cpu_seconds, TrialCache(folder / problem.name))
    found = search_with(method, lab, draw)
    best = lab if found.learning_rate is None else lab.at_rate(found.learning_rate)
    measures = best.judged(found.best, test)
    cosine = measures["gradient_cosine"]
    error = measures["value_error"]
    return found, error if np.isnan(cosine) else (error + 1 - cosine) / 2


def compare(problem: SearchProblem, chosen: Sequence[Method], size: Size, folder: Path) -> dict[str, Any]:
    """All methods on all draws of one problem; random search first."""
    test = problem.test(folder)
    print(f"\n{problem.name}: {problem.about}; {size.budget_cpu_seconds:.0f} CPU s a search, {len(test)} test samples")
    print(f"  {'':24s}{'draw':>5}{'trials':>8}{'CPU s':>8}{'searched':>10}{'test':>8}  network")
    errors: dict[str, list[float]] = {}
    for method in chosen:
        own = []
        for draw in range(1, size.draws + 1):
            found, error = searched(problem, method, draw, size, folder, test)
            own.append(error)
            print(
                f"  {method.name:24s}{draw:5d}{len(found.trials):8d}{found.spent:8.0f}{found.error:10.4f}{error:8.4f}"
                f"  {found.best.key}",
                flush=True,
            )
        errors[method.name] = own
    return against(errors, BASELINE, "test error")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the bend, little of it")
    parser.add_argument("--problem", choices=list(PROBLEMS), action="append")
    parser.add_argument("--budget", type=float, help="CPU seconds of a search; 240, or 6 if quick")
    parser.add_argument("--draws", type=int, help="5, or 1 if quick")
    parser.add_argument("--method", nargs="+", default=list(BEST), metavar="NAME", help="beside random search")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else Size()
    size = replace(
        size, budget_cpu_seconds=options.budget or size.budget_cpu_seconds, draws=options.draws or size.draws
    )
    began = time.process_time()
    report: dict[str, Any] = {
        "benchmark": "search_live",
        "budget_cpu_seconds": size.budget_cpu_seconds,
        "draws": size.draws,
    }

    def figures(problem: SearchProblem) -> dict[str, Any]:
        known = {method.name: method for method in (*methods(problem.space), *LIVE)}
        unknown = sorted(set(options.method) - set(known))
        if unknown:
            parser.error(f"expected methods among {', '.join(known)}; got {', '.join(unknown)}")
        chosen = [known[word] for word in dict.fromkeys((BASELINE, *options.method))]
        return compare(problem, chosen, size, options.folder)

    problems = [PROBLEMS[name] for name in options.problem or (["bend"] if options.quick else PROBLEMS)]
    report |= of_each(problems, figures)
    report["cpu_seconds"] = round(time.process_time() - began, 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
