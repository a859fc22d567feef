"""What DARTS loses when its supernet is cut down to one network, and how far its weights have come to a choice by then.

    python -m benchmarks.darts_gap [--quick] [--problem bend|kirigami] [--draws N] [--folder F]

Three variants, softmax, sparsemax with a falling temperature, and choice by perturbation, each on several draws of
training samples of the problems of `search_live`:

- supernet: the error of all operations mixed, as trained;
- pruned: of the chosen operations alone, with the supernet's weights; the gap is pruned less supernet;
- retrained: of that network trained from scratch, at the last rung;
- spread: the entropy of the weights of a block over that of equal weights, mean over blocks, after the first and the
  last epoch: 1 for no choice at all, 0 for one operation.

Errors are those that a search would see, on held-out groups; intervals are 90 % t-intervals over draws of the gap, and
of what training from scratch gains against pruning. $INVDESIGN_DATA is needed for kirigami. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import interval, rounded
from benchmarks.search_live import FOLDER, LIVE
from benchmarks.search_problems import PROBLEMS, SearchProblem, of_each
from surrogates.nas.lab import Rung
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import Darts
from surrogates.nas.methods.darts import darts

VARIANTS = tuple(method for method in LIVE if isinstance(method, Darts))
FIGURES = ("supernet", "pruned", "retrained", "first spread", "last spread", "cpu_seconds")


def figures(method: Darts, problem: SearchProblem, draw: int, folder: Path, rungs: tuple[Rung, ...]) -> list[float]:
    """``FIGURES`` of one run."""
    task = problem.task(folder, draw)
    lab = LiveLab(problem.space, replace(task, rungs=rungs or task.rungs))
    result = darts(method, lab, np.random.default_rng(draw))
    spread = result.entropy.mean(axis=1) / np.log(len(result.operations))
    errors = result.supernet_error, result.pruned_error, result.retrained_error
    return [*errors, float(spread[0]), float(spread[-1]), lab.spent]


def compare(problem: SearchProblem, draws: int, folder: Path, epochs: int | None, rungs: tuple[Rung, ...]) -> Any:
    """All variants on all draws of one problem."""
    print(f"\n{problem.name}: {problem.about}; {draws} draws")
    head = f"{'supernet':>9}{'pruned':>9}{'gap':>9}{'interval':>20}{'retrained':>11}{'spread':>15}{'CPU s':>8}"
    print(f"  {'':26s}{head}")
    told: dict[str, Any] = {}
    for variant in VARIANTS:
        method = variant if epochs is None else replace(variant, epochs=epochs, tuning=1)
        each = np.array([figures(method, problem, draw, folder, rungs) for draw in range(1, draws + 1)])
        gap, gain = each[:, 1] - each[:, 0], each[:, 1] - each[:, 2]
        supernet, pruned, retrained, first, last, seconds = each.mean(axis=0)
        low, high = interval(gap)
        print(
            f"  {variant.name:26s}{supernet:9.3f}{pruned:9.3f}{gap.mean():9.3f}  [{low:7.3f}, {high:7.3f}]"
            f"{retrained:11.3f}{first:8.2f} ->{last:5.2f}{seconds:8.1f}",
            flush=True,
        )
        told[variant.name] = {
            **{name: rounded(float(value)) for name, value in zip(FIGURES, each.mean(axis=0), strict=True)},
            "gap": rounded(float(gap.mean())),
            "gap_interval": [rounded(low), rounded(high)],
            "retraining_gains": rounded(float(gain.mean())),
            "retraining_gains_interval": [rounded(one) for one in interval(gain)],
        }
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the bend, one draw, an epoch or two")
    parser.add_argument("--problem", choices=list(PROBLEMS), action="append")
    parser.add_argument("--draws", type=int, help="3, or 1 if quick")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    draws, epochs = options.draws or (1 if options.quick else 3), 1 if options.quick else None
    rungs = (Rung(1),) if options.quick else ()
    began = time.process_time()
    report: dict[str, Any] = {"benchmark": "darts_gap", "draws": draws}
    problems = [PROBLEMS[name] for name in options.problem or (["bend"] if options.quick else PROBLEMS)]
    report |= of_each(problems, lambda problem: compare(problem, draws, options.folder, epochs, rungs))
    report["cpu_seconds"] = round(time.process_time() - began, 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
