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
- coverage and width: of the 90 % interval, the width in the units of the error;
- ms: CPU time of the gradient of one design, all members of an ensemble.

Networks are deep ensembles; their learning rates are tuned, at each number of labels, on held-out runs among those.
The found network comes from a search by successive halving on runs of all labels, whose CPU time is printed, unless
one is given: a family's name, the key of a network of the search space, or the JSON of any.

Levels of fidelity are compared at each number of labels: the found network and the Gaussian process on the reference
alone; transfer and co-kriging, composite networks and level embedding with the low-fidelity labels; discrepancy and
PEDS around the coarse solver itself, which each of their answers asks. The networks among them have an advantage over
the processes at fewer labels than all: their architecture was searched on all.

All of it takes about 45 minutes of CPU time, --quick less than one. With --folder labels, trials of search and tuning,
and figures of each fit are kept there, under all that decides them, and a run that was stopped goes on. The last line
is one JSON object; its cpu_seconds are this run's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_problems import PROBLEMS
from benchmarks.surrogate_figures import COARSE, COLUMNS, FINE, Bench, Solved, latency_ms
from benchmarks.surrogate_study import (
    COMPOSITE,
    DISCREPANCY,
    EMBEDDING,
    FOUND,
    MEAN,
    NEAREST,
    PEDS,
    PROCESS,
    QUICK,
    SOLVER,
    Size,
    Study,
)
from surrogates import Architecture
from surrogates.families import FAMILIES, baseline
from surrogates.runtime import torch_threads

KEYS = ("response_error", "gradient_cosine", "gain")
FIDELITIES: dict[str, tuple[str, dict[str, Any]]] = {
    FOUND: ("", {"name": FOUND}),
    PROCESS: ("", {"name": PROCESS}),
    "transfer": ("labels", {"name": FOUND, "coarse": True}),
    "co-kriging": ("labels", {"name": PROCESS, "coarse": True}),
    COMPOSITE: ("labels", {"name": COMPOSITE, "coarse": True}),
    EMBEDDING: ("labels", {"name": EMBEDDING, "coarse": True}),
    DISCREPANCY: ("solver", {"name": DISCREPANCY, "gradients": False}),
    PEDS: ("solver", {"name": PEDS, "gradients": False}),
}
"""Row -> what it has of the low fidelity, and the arguments of its figures."""


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
    labels, bench = study.size.most, study.bench
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


def gradient_training(study: Study) -> dict[str, Any]:
    """Each network from all reference labels with and without their gradients."""
    labels = study.size.most
    print(f"\ngradient training, {labels} labels: error, cosine and gain\n  {'':18s}{'without':>26}{'with':>26}")
    result: dict[str, Any] = {}
    for name in study.nets:
        cells = ""
        for word, gradients in (("without", False), ("with", True)):
            found = study.figures(name, labels, gradients=gradients)
            reach = study.reach(name, labels, gradients=gradients)
            cells += "  " + "".join(f"{shown(found[key]):>8}" for key in KEYS)
            result.setdefault(name, {}).setdefault(str(labels), {})[word] = picked(found, reach, KEYS)
        print(f"  {name:18s}{cells}", flush=True)
    return result


def fidelities(study: Study) -> dict[str, Any]:
    """Everything that may use the low fidelity, and what does without, at each number of reference labels."""
    size, keys = study.size, (*KEYS, "latency_ms")
    print(
        f"\nlow fidelity: {len(study.bench.coarse)} labels, or the coarse solver itself; +- half the range over "
        f"{size.seeds} seeds, {size.members} members each\n"
        f"  Networks have the architecture of {FOUND!r}, given or searched on {size.most} labels, also where a row\n"
        "  has fewer; rates are tuned at each number of labels on the reference alone, for a network by itself.\n"
        "  Processes know nothing but the labels of their row. What asks the solver learns from values only;\n"
        f"  {PEDS} takes {size.solver_share:.0%} of the others' steps, as each asks the solver; {COMPOSITE} and\n"
        f"  {EMBEDDING} half of them, as each is on both levels.\n  {'':18s}{'low':>8}{'labels':>7}"
        + "".join(f"{COLUMNS[key]:>17}" for key in keys)
    )
    result: dict[str, Any] = {}
    for row, (means, arguments) in FIDELITIES.items():
        for labels in size.labels:
            found, reach = study.figures(labels=labels, **arguments), study.reach(labels=labels, **arguments)
            cells = "".join(f"{shown(found[key]) + ' +-' + shown(reach[key]):>17}" for key in keys)
            print(f"  {row:18s}{means or '-':>8}{labels:7d}{cells}", flush=True)
            result.setdefault(row, {})[str(labels)] = picked(found, reach, keys)
    return result


def picked(found: dict[str, float], reach: dict[str, float], keys: Sequence[str]) -> dict[str, Any]:
    """Some figures for JSON."""
    return {key: rounded(found[key]) for key in keys} | {"half_range": {key: rounded(reach[key]) for key in keys}}


def benchmark(size: Size, given: Architecture | None = None, folder: Path | None = None) -> dict[str, Any]:
    """Measures and prints."""
    began, most = time.process_time(), size.most
    bench = Bench.made(most, size.coarse_runs, size.test_runs, folder)
    late = bench.test.designs[bench.late[:1]]
    solving = [latency_ms(Solved(bench.device, level), late) for level in (COARSE, FINE)]
    print(
        f"waveguide bend: {len(bench.fine)} reference labels ({solving[FINE]:.1f} CPU ms each, with gradient), "
        f"{len(bench.coarse)} of low fidelity ({solving[COARSE]:.1f} ms), {len(bench.test)} to test; "
        f"{time.process_time() - began:.1f} CPU s"
    )
    study = Study(bench, size, folder)
    architecture, spent = (given, 0.0) if given is not None else study.search()
    how = "given" if given is not None else f"found by successive halving of {size.networks} networks"
    print(f"{FOUND}: {architecture.key}, {how}, {spent:.1f} CPU s")
    study.nets = {FOUND: architecture} | {name: baseline(name) for name in size.nets}
    for name in study.nets:
        rate, error, cost = study.tuned(name, most)
        print(f"  {name:18s} learning rate {rate:g}, held-out error {error:.3f}, {cost:.1f} CPU s to tune", flush=True)
    table = main_table(study)
    trained = gradient_training(study)
    levels = fidelities(study)
    print(f"\n{time.process_time() - began:.0f} CPU s in this run; {study.replayed} fits' figures were read")
    return {
        "benchmark": "surrogate_quality",
        **{key: {name: rounded(one[key]) for name, one in table.items()} for key in COLUMNS},
        "half_range": {name: {k: rounded(v) for k, v in study.reach(name, most).items()} for name in table},
        "gradient_training": trained,
        "low_fidelity": levels,
        "labels": most,
        "low_fidelity_labels": len(bench.coarse),
        "seeds": size.seeds,
        "members": size.members,
        "adjoint_gain": round(bench.adjoint_gain, 5),
        "found": architecture.to_json(),
        "learning_rates": {str(labels): study.tuned(FOUND, labels)[0] for labels in size.labels},
        "search_cpu_seconds": round(spent, 2),
        "tuning_cpu_seconds": {name: round(study.tuned(name, most)[2], 2) for name in study.nets},
        "solver_ms": {"coarse": round(solving[COARSE], 2), "fine": round(solving[FINE], 2)},
        "replayed": study.replayed,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 labels, two nets, few epochs")
    parser.add_argument("--architecture", metavar="JSON|KEY", help="in place of a search")
    parser.add_argument("--folder", type=Path, help="keep labels, trials and figures there, and go on")
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
