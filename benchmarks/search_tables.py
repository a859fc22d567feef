"""Trains every network of a small space at every rung with two seeds, for searches to be replayed on.

    python -m benchmarks.search_tables [--problem bend|kirigami] [--limit-cpu-seconds S] [--pilot N] [--folder F]

Each finished training is a file in the folder; killed or stopped at the limit, the same command goes on where it was.
Several runs may share the folder, one a problem, say. A finished table is written to `benchmarks/tables/<problem>.npz`.
`--pilot N` trains N networks spread over the space instead and says what the whole table will take; they count for it.
Kirigami needs $INVDESIGN_DATA. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.search_problems import PROBLEMS, SearchProblem, of_each
from surrogates.architecture import Architecture
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Trial
from surrogates.nas.live import LiveLab
from surrogates.nas.table import SearchTable, tabulated

TABLES = Path(__file__).parent / "tables"
FOLDER = Path.home() / ".cache" / "invdesign" / "search_tables"
SEEDS = 2


class Paused(Exception):
    """The CPU seconds of this run are spent."""


@dataclass(eq=False)
class WatchedLab(LiveLab):
    """A lab that prints its progress and stops at a limit of its own CPU time.

    Args:
        limit_cpu_seconds: of this process.
        total: trainings, all rungs of one counted as one.
    """

    limit_cpu_seconds: float = float("inf")
    total: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.started = time.process_time()

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial:
        """See ``LiveLab.ask``; ``Paused`` beyond the limit."""
        used = time.process_time() - self.started
        if used >= self.limit_cpu_seconds and self.cache.entry(self.task.key(architecture, rung, seed)) is None:
            raise Paused(f"{used:.0f} CPU s are spent")
        trial = super().ask(architecture, rung, seed)
        if trial.rung == len(self.rungs) - 1:
            done = sum(t.rung == trial.rung for t in self.trials)
            print(
                f"{done:4d} of {self.total}  {self.spent:8.0f} CPU s  error {trial.error:.4f}  {architecture.key}, "
                f"seed {seed}",
                flush=True,
            )
        return trial


def pilot(lab: WatchedLab, count: int) -> dict[str, float]:
    """Trains some networks of the space once; what that says of all."""
    everything = lab.space.everything()
    chosen = np.unique(np.linspace(0, len(everything) - 1, count).round().astype(int))
    costs = []
    for number in chosen:
        before = lab.spent
        for rung in range(len(lab.rungs)):
            lab.ask(everything[number], rung)
        costs.append(lab.spent - before)
    total = float(np.mean(costs)) * len(everything) * SEEDS
    return {"networks": len(everything), "cpu_seconds_each": float(np.mean(costs)), "estimated_cpu_hours": total / 3600}


def make(problem: SearchProblem, folder: Path, limit: float, piloted: int) -> dict[str, object]:
    """One problem's table, as far as it comes."""
    lab = WatchedLab(
        problem.space,
        problem.task(folder, 0),
        cache=TrialCache(folder / problem.name),
        limit_cpu_seconds=limit,
        total=piloted or SEEDS * len(problem.space.everything()),
    )
    if piloted:
        return dict(pilot(lab, piloted))
    notes = {
        "problem": problem.about,
        "samples": len(lab.task.train.levels[0]),
        "held_out": len(lab.task.held_out),
        "config": lab.task.config.to_json(),
        "data": lab.task.train.key,
        "command": "python -m benchmarks.search_tables",
    }
    try:
        table: SearchTable = tabulated(lab, problem.name, SEEDS, notes)
    except Paused as pause:
        done = sum(trial.rung == len(lab.rungs) - 1 for trial in lab.trials)
        print(f"{problem.name}: {pause}; {done} of {lab.total} trainings are done. Run the command again to go on.")
        return {"done": done, "of": lab.total, "cpu_seconds": lab.spent}
    table.save(TABLES / f"{problem.name}.npz")
    return {"done": lab.total, "of": lab.total, "cpu_seconds": lab.spent}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", choices=list(PROBLEMS), action="append")
    parser.add_argument("--limit-cpu-seconds", type=float, default=float("inf"), help="of this run, for each problem")
    parser.add_argument("--pilot", type=int, default=0, metavar="N")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)

    def figures(problem: SearchProblem) -> dict[str, object]:
        print(f"{problem.name}: {problem.about}")
        return make(problem, options.folder, options.limit_cpu_seconds, options.pilot)

    print(json.dumps(of_each([PROBLEMS[name] for name in options.problem or PROBLEMS], figures)))


if __name__ == "__main__":
    main()
