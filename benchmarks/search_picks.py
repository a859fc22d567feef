"""Does the network that is best by the gradient design better than the one that is best by the response?

    python -m benchmarks.search_picks [--quick] [--seeds N] [--table PATH] [--folder F]

`search_objectives` searches briefly, so that chance has its share in what is picked. Here every objective has seen all
networks of the bend's table, as if its search had trained each of them with two seeds, and picks the best one of the
last rung, by means over seeds:

- response: the error of the S-parameters on held-out ascents, later half;
- gradient: 1 - cosine of the adjoint gradient with the network's there, in the density, as the table has it;
- none: a network at random, another one with each seed.

Each pick then designs the bend as in `search_objectives`, with the same CPU seconds, over several seeds of everything:
first designs, training, start. Its figure is the transmission of the best design that the solver verified. Intervals
are 90 % t-intervals over seeds of the mean and of the mean difference to the pick by the response. Finished designs are
kept in the folder, and the same command goes on. --quick takes one seed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.paired import against
from benchmarks.search_objectives import GRADIENT, NONE, QUICK, RESPONSE, Size, bend_problem, designed, device
from benchmarks.search_problems import PROBLEMS
from benchmarks.search_tables import TABLES
from surrogates import Architecture
from surrogates.nas.table import SearchTable
from surrogates.runtime import torch_threads

FOLDER = Path.home() / ".cache" / "invdesign" / "search_picks"
PICKED_BY = {RESPONSE: "value_error", GRADIENT: "gradient_cosine"}
SEEDS = 8


def picks(table: SearchTable, seed: int) -> dict[str, Architecture]:
    """What each objective takes of the table, and a network at random."""
    found = {}
    for objective, measure in PICKED_BY.items():
        values = table.measures[measure][:, -1].mean(axis=1)
        place = np.nanargmax(values) if objective == GRADIENT else np.nanargmin(values)
        found[objective] = table.architectures[place]
    return found | {NONE: table.architectures[np.random.default_rng([4, seed]).integers(len(table.architectures))]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, little of everything")
    parser.add_argument("--seeds", type=int, help=f"{SEEDS}, or 1 if quick")
    parser.add_argument("--table", type=Path, default=TABLES / "bend.npz")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    size, seeds = (QUICK, options.seeds or 1) if options.quick else (Size(), options.seeds or SEEDS)
    table = SearchTable.load(options.table, PROBLEMS["bend"].space)
    folder = options.folder / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    began, problem = time.process_time(), bend_problem(device())
    found: dict[str, list[float]] = {}
    with torch_threads(1):
        for seed in range(seeds):
            for objective, pick in picks(table, seed).items():
                row = table.number[pick]
                told = "  ".join(f"{name} {table.measures[name][row, -1].mean():.3f}" for name in PICKED_BY.values())
                transmission = designed(pick, problem, size, seed, folder / f"{pick.key}-{seed}.db")
                found.setdefault(objective, []).append(transmission)
                print(f"seed {seed}  {objective:10s}{transmission:8.4f}  {told}  {pick.key}", flush=True)
    report = {
        "benchmark": "search_picks",
        "designs": against(found, RESPONSE, "transmission"),
        "picks": {objective: pick.key for objective, pick in picks(table, 0).items() if objective != NONE},
        "seeds": seeds,
        "cpu_seconds": round(time.process_time() - began, 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
