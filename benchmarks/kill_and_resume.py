"""Kills a short run of the real bend at random moments and compares what it leaves with an uninterrupted run.

    python -m benchmarks.kill_and_resume [--quick] [--kills N]

The run solves in a pool, trains and searches, and commits to its store; SIGKILL goes to the whole process group, so it
may hit any of these. After each kill the same command is run again, and killed again; the last one is left to finish.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from invdesign.arrays import content_key
from invdesign.store import Store

EXPERIMENT = """
from invdesign import Budget, DensitySpace, Problem, Target, hybrid, search
from physics.devices import waveguide_bend
from surrogates import TrainingConfig

simulator = waveguide_bend(wavelength_um=(1.53, 1.57), design_um=1.2, width_um=0.4, cells_um=(0.05, 0.04))
problem = Problem(
    DensitySpace(simulator.design_shape, symmetry="diagonal"),
    simulator,
    [Target("transmission", at={"port": "out"}, lower=0.97)],
)
small = search(
    trials=4, epochs=6, pretraining_epochs=3, members=2, config=TrainingConfig(epochs=12, pretraining_epochs=6)
)
strategies = {"hybrid": hybrid(small, designs=(16, 8), path=6, steps=6, retrain=8)}
budget = Budget(solves=SOLVES)
"""


def command(folder: Path, workers: int) -> list[str]:
    """The command line of the run in a folder that holds `bend.py`."""
    pool = ["--workers", str(workers)] if workers else []
    run = ["run", str(folder / "bend.py"), "--out", str(folder / "out"), "--quiet", "--no-report"]
    return [sys.executable, "-m", "invdesign", *run, *pool]


def prepare(folder: Path, solves: int) -> Path:
    """Writes the experiment; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bend.py").write_text(EXPERIMENT.replace("SOLVES", str(solves)))
    return folder


def fingerprint(folder: Path) -> dict[str, object]:
    """Everything in the store of a run but times: evaluations, gradients, artefacts, journal, candidates."""
    with Store(folder / "out" / "store.db") as store:
        runs = store.runs()
        return {
            "evaluations": {key: content_key(*answers(store, key)) for key in store.evaluation_keys()},
            "artefacts": [(kind, key, content_key(untimed(store, key))) for kind, key in store.artefact_keys()],
            "journal": {r["run"]: [(s, *row[:2]) for s, row in sorted(store.journal(r["run"]).items())] for r in runs},
            "best": {r["run"]: (r["best"]["label"], r["best"]["loss"], r["best"]["distance"]) for r in runs},
        }


def answers(store: Store, key: str) -> list[object]:
    """Response, error and gradients of an evaluation."""
    evaluation = store.evaluation(key)
    gradients = [[g.cotangents, g.gradient] for g in store.gradients(key)]
    return [evaluation and [evaluation.design, evaluation.response, evaluation.error], gradients]


def untimed(store: Store, key: str) -> object:
    """Payload of an artefact but for the times it holds."""
    artefact = store.artefact(key)
    times = ("cpu_seconds", "latency_ms")
    return artefact and {name: array for name, array in artefact[0].items() if name not in times}


def moment(folder: Path) -> str:
    """What the run was at when it was last killed, from the last line of its journal."""
    try:
        with Store(folder / "out" / "store.db") as store:
            rows = [row for run in store.runs() for row in sorted(store.journal(run["run"]).items())]
            return rows[-1][1][0] if rows else "before the first request"
    except Exception as error:  # noqa: BLE001 - a store that will not open is what this looks for
        return f"store unreadable: {error}"


def finish(folder: Path, workers: int) -> float:
    """Runs the command to its end; gives the wall seconds.

    Raises:
        RuntimeError: with what it printed, if it fails.
    """
    start = time.perf_counter()
    done = subprocess.run(command(folder, workers), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"The run ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def kill_after(folder: Path, seconds: float, workers: int) -> bool:
    """Starts the command and kills its process group after so long; False if it had ended before."""
    with subprocess.Popen(
        command(folder, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 kills instead of 20")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = arguments.kills or (3 if arguments.quick else 20)
    solves = 90 if arguments.quick else 200
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole = prepare(Path(scratch) / "whole", solves)
        seconds = finish(whole, arguments.workers)
        expected = fingerprint(whole)
        print(f"uninterrupted: {seconds:.1f} s, {len(expected['evaluations'])} evaluations")  # type: ignore[arg-type]
        moments: Counter[str] = Counter()
        done = same = trials = 0
        while done < kills:
            trials += 1
            cut = prepare(Path(scratch) / f"cut{trials}", solves)
            # Some runs are killed several times over before they may finish.
            for _ in range(min(1 + (trials % 3), kills - done)):
                wait = rng.uniform(0.3, 1.0) * seconds
                if kill_after(cut, wait, arguments.workers):
                    done += 1
                    moments[moment(cut)] += 1
                    print(f"kill {done:2d} after {wait:5.1f} s, last finished: {moment(cut)}", flush=True)
            finish(cut, arguments.workers)
            equal = fingerprint(cut) == expected
            same += equal
            print(f"run {trials}: final record set {'equal' if equal else 'DIFFERS'}", flush=True)
        verdict = {
            "kills": done,
            "runs": trials,
            "runs_equal": same,
            "all_equal": same == trials,
            "last_finished_before_kill": dict(moments),
            "uninterrupted_seconds": seconds,
        }
        print(json.dumps(verdict))


if __name__ == "__main__":
    main()
