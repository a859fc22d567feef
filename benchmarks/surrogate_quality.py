"""What surrogates of a waveguide bend are worth to its design: errors, gradients, steps, intervals, time.

    python -m benchmarks.surrogate_quality [--quick] [--architecture JSON|KEY] [--folder F]

Labels are designs along ascents of the transmission, with adjoint gradients, solved on fine cells; further ascents on
coarse cells are the low fidelity. The surrogates are judged on the later half of ascents that none of them has seen:

- error: of the response, root mean square, in units of its standard deviation there; 1 is what the mean would give;
- cosine: of the gradient of its transmission with the adjoint, in the latent variables (before filter and projection);
  the same in the density; of J^T v with the true cotangent v, which a phase that is off spoils (latent variables); and
  the first again, on the random designs that the ascents begin with;
- gain: actual improvement of a step along the surrogate's own gradient, over that of the same step along the adjoint;
- actual/predicted: of that improvement, the median over the designs where the surrogate predicts one; null where it
  predicts none at most designs, as nearest neighbours do;
- coverage: of the 90 % interval;
- ms: CPU time of the gradient of one design, all members of an ensemble.

Networks are deep ensembles; their learning rates are tuned on held-out runs among the labels. The found network comes
from a search by successive halving on the same runs, whose CPU time is printed, unless one is given: a family's name,
the key of a network of the search space, or the JSON of any. All of it takes about an hour of CPU time, --quick less
than a minute. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_problems import PROBLEMS
from benchmarks.surrogate_figures import (
    COARSE,
    COLUMNS,
    FINE,
    HELD_OUT,
    Answers,
    Bench,
    Learned,
    Solved,
    Trivial,
    judge,
    latency_ms,
)
from surrogates import Architecture, Dataset, DeepEnsemble, TrainingConfig, split
from surrogates.baselines import MeanGradient, NearestNeighbour
from surrogates.families import FAMILIES, baseline
from surrogates.fidelity import CoKriging
from surrogates.nas.lab import Rung, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import FixedNets, SuccessiveHalving
from surrogates.runtime import torch_threads

FOUND, PROCESS, MEAN, NEAREST, SOLVER = (
    "found", "gaussian process", "mean gradient", "nearest neighbour", "coarse solver",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        labels: of the reference, ascending, multiples of an ascent's steps; the most are what networks are tuned on.
        coarse_runs, test_runs: ascents.
        nets: families.
        rates: learning rates tried for each network.
        rungs: of tuning and search.
        networks: the search begins with.
        config: of the ensembles, but for the rate; its epochs are those at the most labels, at fewer as many steps.
        members: of each ensemble.
        seeds: of every fit; figures are means over them.
    """

    labels: tuple[int, ...] = (50, 100, 400)
    coarse_runs: int = 100
    test_runs: int = 30
    nets: tuple[str, ...] = tuple(FAMILIES)
    rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3)
    rungs: tuple[Rung, ...] = (Rung(3), Rung(9), Rung(27))
    networks: int = 27
    config: TrainingConfig = field(default_factory=TrainingConfig)
    members: int = 3
    seeds: int = 3


QUICK = Size(
    labels=(50,),
    coarse_runs=20,
    test_runs=10,
    nets=("mlp", "resnet"),
    rates=(4e-3, 8e-3),
    rungs=(Rung(6), Rung(18)),
    networks=6,
    config=TrainingConfig(epochs=40, pretraining_epochs=8),
    members=2,
    seeds=1,
)


@dataclass(eq=False)
class Study:
    """Fits and judges; nothing twice.

    Args:
        bench: data.
        size: how much.
    """

    bench: Bench
    size: Size
    nets: dict[str, Architecture] = field(default_factory=dict)
    _figures: dict[tuple[object, ...], dict[str, float]] = field(default_factory=dict)
    _reach: dict[tuple[object, ...], dict[str, float]] = field(default_factory=dict)
    _tuned: dict[tuple[str, bool], tuple[float, float, float]] = field(default_factory=dict)

    def lab(self, gradients: bool = True) -> LiveLab:
        """Trains on some runs of the labels and judges on the others, all labels together."""
        train, check = split(self.bench.data(max(self.size.labels), gradients=gradients), HELD_OUT, 0)
        config = replace(self.size.config, epochs=self.size.rungs[-1].epochs)
        return LiveLab(PROBLEMS["bend"].space, Task(train, check.levels[FINE], config, self.size.rungs))

    def search(self) -> tuple[Architecture, float]:
        """The network of one bracket of successive halving, and its CPU seconds."""
        found = search_with(SuccessiveHalving(networks=self.size.networks, brackets=1), self.lab(), 0)
        return found.best, found.spent

    def tuned(self, name: str, gradients: bool = True) -> tuple[float, float, float]:
        """Best learning rate of a network, its error on the labels' held-out runs, CPU seconds of finding it."""
        if (name, gradients) not in self._tuned:
            lab = self.lab(gradients)
            trial = search_with(FixedNets((self.nets[name],), self.size.rates), lab, 0).trials[-1]
            self._tuned[name, gradients] = trial.measures["learning_rate"], trial.error, trial.cpu_seconds
        return self._tuned[name, gradients]

    def fitted(self, name: str, data: Dataset, gradients: bool, seed: int) -> Answers:
        """A surrogate by its name."""
        if name == SOLVER:
            return Solved(self.bench.device, COARSE)
        if name in (MEAN, NEAREST):
            return Trivial(MeanGradient if name == MEAN else NearestNeighbour, data, seed)
        surrogate: DeepEnsemble | CoKriging = CoKriging(held_out=HELD_OUT)
        if name != PROCESS:
            epochs = round(self.size.config.epochs * max(self.size.labels) / len(data.levels[FINE]))
            config = replace(self.size.config, learning_rate=self.tuned(name, gradients)[0], epochs=epochs)
            surrogate = DeepEnsemble(self.nets[name], self.size.members, config, HELD_OUT)
        surrogate.fit(data, seed=seed)
        return Learned(surrogate)

    def figures(self, name: str, labels: int, coarse: bool = False, gradients: bool = True) -> dict[str, float]:
        """Means over the seeds."""
        key = (name, labels, coarse, gradients)
        if key not in self._figures:
            data = self.bench.data(labels, coarse, gradients)
            seeds = range(1 if name == SOLVER else self.size.seeds)
            found = [judge(self.fitted(name, data, gradients, seed), self.bench) for seed in seeds]
            self._figures[key] = {k: float(np.mean([one[k] for one in found])) for k in COLUMNS}
            self._reach[key] = {k: float(np.ptp([one[k] for one in found])) / 2 for k in COLUMNS}
        return self._figures[key]

    def reach(self, name: str, labels: int, coarse: bool = False, gradients: bool = True) -> dict[str, float]:
        """Half of the range over the seeds."""
        self.figures(name, labels, coarse, gradients)
        return self._reach[name, labels, coarse, gradients]


def architecture_of(text: str) -> Architecture:
    """From a family's name, a key of the search space, or JSON.

    Raises:
        ValueError: for anything else.
    """
    if text in FAMILIES:
        return baseline(text)
    known = {one.key: one for one in PROBLEMS["bend"].space.everything()}
    if text in known:
        return known[text]
    try:
        return Architecture.from_json(json.loads(text))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected a family ({', '.join(FAMILIES)}), a key such as {next(iter(known))}, or the JSON of a network. "
            f"Got {text!r}."
        ) from error


def shown(value: float) -> str:
    """For a table."""
    return f"{value:.3f}" if np.isfinite(value) else "-"


def rounded(value: float) -> float | None:
    """For JSON."""
    return round(value, 4) if np.isfinite(value) else None


def main_table(study: Study) -> dict[str, dict[str, float]]:
    """Every surrogate from all reference labels."""
    labels, bench = max(study.size.labels), study.bench
    print(f"\n{labels} reference labels, no low-fidelity ones; judged on {len(bench.late)} late designs")
    print(f"  means over {study.size.seeds} seeds of each fit, +- half the range")
    print(f"  a step along the adjoint gains {bench.adjoint_gain:.4f} of transmission there on average")
    print(f"  {'':18s}" + "".join(f"{title:>14}" for title in COLUMNS.values()))
    table = {}
    for name in (*study.nets, PROCESS, MEAN, NEAREST, SOLVER):
        table[name] = study.figures(name, labels)
        print(f"  {name:18s}" + "".join(f"{shown(table[name][key]):>14}" for key in COLUMNS), flush=True)
        reach = study.reach(name, labels)
        if study.size.seeds > 1:
            print(f"  {'':18s}" + "".join(f"{'+- ' + shown(reach[key]):>14}" for key in COLUMNS), flush=True)
    return table


def sweep(study: Study, title: str, rows: Sequence[tuple[str, int]], change: str) -> dict[str, Any]:
    """Error, cosine and gain with and without one thing, a line for each surrogate and number of labels."""
    print(f"\n{title}: error, cosine and gain\n  {'':18s}{'labels':>7}{'without':>26}{'with':>26}")
    keys = ("response_error", "gradient_cosine", "gain")
    result: dict[str, Any] = {}
    for name, labels in rows:
        both = {word: study.figures(name, labels, **{change: word == "with"}) for word in ("without", "with")}
        cells = "".join("  " + "".join(f"{shown(one[key]):>8}" for key in keys) for one in both.values())
        print(f"  {name:18s}{labels:7d}{cells}", flush=True)
        picked: dict[str, Any] = {word: {key: rounded(one[key]) for key in keys} for word, one in both.items()}
        for word in both:
            reach = study.reach(name, labels, **{change: word == "with"})
            picked[word]["half_range"] = {key: rounded(reach[key]) for key in keys}
        result.setdefault(name, {})[str(labels)] = picked
    return result


def benchmark(size: Size, given: Architecture | None = None, folder: Path | None = None) -> dict[str, Any]:
    """Measures and prints."""
    began = time.process_time()
    bench = Bench.made(max(size.labels), size.coarse_runs, size.test_runs, folder)
    late = bench.test.designs[bench.late[:1]]
    solving = [latency_ms(Solved(bench.device, level), late) for level in (COARSE, FINE)]
    print(
        f"waveguide bend: {len(bench.fine)} reference labels ({solving[FINE]:.1f} CPU ms each, with gradient), "
        f"{len(bench.coarse)} of low fidelity ({solving[COARSE]:.1f} ms), {len(bench.test)} to test; "
        f"{time.process_time() - began:.1f} CPU s"
    )
    study = Study(bench, size)
    architecture, spent = (given, 0.0) if given is not None else study.search()
    how = "given" if given is not None else f"found by successive halving of {size.networks} networks"
    print(f"{FOUND}: {architecture.key}, {how}, {spent:.1f} CPU s")
    study.nets = {FOUND: architecture} | {name: baseline(name) for name in size.nets}
    for name in study.nets:
        rate, error, cost = study.tuned(name)
        print(f"  {name:18s} learning rate {rate:g}, held-out error {error:.3f}, {cost:.1f} CPU s to tune", flush=True)
    most = max(size.labels)
    table = main_table(study)
    trained = sweep(study, "gradient training", [(name, most) for name in study.nets], "gradients")
    best = min(size.nets, key=lambda name: study.tuned(name)[1])
    lines = [(name, labels) for name in (FOUND, best, PROCESS) for labels in size.labels]
    coarse = sweep(study, f"{len(bench.coarse)} low-fidelity labels", lines, "coarse")
    print(f"\n{time.process_time() - began:.0f} CPU s in all")
    return {
        "benchmark": "surrogate_quality",
        **{key: {name: rounded(one[key]) for name, one in table.items()} for key in COLUMNS},
        "half_range": {name: {k: rounded(v) for k, v in study.reach(name, most).items()} for name in table},
        "gradient_training": trained,
        "low_fidelity": coarse,
        "labels": most,
        "low_fidelity_labels": len(bench.coarse),
        "seeds": size.seeds,
        "adjoint_gain": round(bench.adjoint_gain, 5),
        "found": architecture.to_json(),
        "search_cpu_seconds": round(spent, 2),
        "tuning_cpu_seconds": {name: round(study.tuned(name)[2], 2) for name in study.nets},
        "solver_ms": {"coarse": round(solving[COARSE], 2), "fine": round(solving[FINE], 2)},
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 labels, two nets, few epochs")
    parser.add_argument("--architecture", metavar="JSON|KEY", help="in place of a search")
    parser.add_argument("--folder", type=Path, help="keep the labels there")
    options = parser.parse_args(arguments)
    given = None
    if options.architecture is not None:
        try:
            given = architecture_of(options.architecture)
        except ValueError as error:
            parser.error(str(error))
    with torch_threads(1):
        print(json.dumps(benchmark(QUICK if options.quick else Size(), given, options.folder)))


if __name__ == "__main__":
    main()
