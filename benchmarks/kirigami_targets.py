"""Molecular-dynamics calls until an MoS2 kirigami pattern has a wanted failure strain and strength.

    python -m benchmarks.kirigami_targets [--quick] [--targets N] [--methods ...]

Targets are the (strain, stress) of patterns drawn at random from the table, so each can be met; met means within 5 %
of both. Confirmed targets are the means of a pattern and its mirror image, and are met by the mean of two such runs. In
the confirmed contest every method measures the image of what beats its best pair so far; single runs repeat within 5 %
of both for fewer than half of the patterns. Random search is read off the table. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.kirigami_search import median, quartiles, shown
from benchmarks.mos2_linear import LinearElastic
from benchmarks.mos2_problem import STRAIN, STRESS, Judge, Mos2, both_images, calls_until, confirming, random_calls
from invdesign import Store, Target
from invdesign.run import Strategy
from invdesign.strategies import Bayesian, Evolution, GaussianProcess

WITHIN = 0.05
MOST_CALLS = {"evolution": 600, "gaussian process": 120, "multi-fidelity": 120}


def methods() -> dict[str, Strategy]:
    """Method -> strategy, beside random search; evolution as tuned for `kirigami_search`."""
    process = GaussianProcess()
    return {
        "evolution": Evolution(20, 10),
        "gaussian process": Bayesian(process, logarithm=True, initial=10, batch=2),
        "multi-fidelity": Bayesian(process, logarithm=True, initial=6, batch=2, features=LinearElastic()),
    }


def near(wanted: tuple[float, float], strain: Any, stress: Any) -> Any:
    """Whether strains and stresses are within 5 % of both."""
    return (np.abs(strain / wanted[0] - 1) <= WITHIN) & (np.abs(stress / wanted[1] - 1) <= WITHIN)


def bands(wanted: tuple[float, float]) -> list[Target]:
    """The target as two bands, whose losses are relative."""
    return [
        Target(name, lower=(1 - WITHIN) * v, upper=(1 + WITHIN) * v, softness=WITHIN * v / 5, weight=1 / v)
        for name, v in zip((STRAIN, STRESS), wanted, strict=True)
    ]


def wanted_of(table: Mos2, count: int, pairs: bool) -> list[tuple[float, float]]:
    """`count` targets from the table, the same for all methods."""
    rng = np.random.default_rng(17 + pairs)
    labels = table.table.responses
    if pairs:
        values = np.stack([table.means(STRAIN)[1], table.means(STRESS)[1]], axis=1)
    else:
        values = np.stack([labels[STRAIN], labels[STRESS]], axis=1)
    return [(float(a), float(b)) for a, b in values[rng.choice(len(values), count, replace=False)]]


def random_search(table: Mos2, wanted: tuple[float, float], seed: int) -> tuple[float, float]:
    """Calls of a random search, found and confirmed."""
    strain, stress = table.table.responses[STRAIN], table.table.responses[STRESS]
    pair = [(values + values[table.image]) / 2 for values in (strain, stress)]
    miss = np.abs(strain / wanted[0] - 1) + np.abs(stress / wanted[1] - 1)
    return random_calls(table, near(wanted, strain, stress), near(wanted, *pair), miss, seed)


def tell(method: str, calls: list[float], cost: str = "") -> None:
    """One line of the table."""
    print(f"{method:20} {shown(calls):>22} {np.mean(np.array(calls) <= 100):6.0%} {cost}", flush=True)


def contest(table: Mos2, count: int, pairs: bool, chosen: Sequence[str] | None) -> dict[str, list[float]]:
    """Calls of every method for every target; told as they come."""
    targets = wanted_of(table, count, pairs)
    calls = {"random": [random_search(table, wanted, seed)[pairs] for seed, wanted in enumerate(targets)]}
    tell("random", calls["random"])
    for method, strategy in methods().items():
        if chosen is not None and method not in ("evolution", *chosen):
            continue
        began = time.process_time()
        calls[method] = []
        with Store(":memory:") as store:
            for seed, wanted in enumerate(targets):

                def good(strain: float, stress: float, wanted: tuple[float, float] = wanted) -> bool:
                    return bool(near(wanted, strain, stress))

                judge: Judge = lambda c, good=good: good(float(c.response[STRAIN]), float(c.response[STRESS]))  # noqa: E731
                calls[method].append(
                    calls_until(
                        table.problem(bands(wanted)),
                        confirming(strategy) if pairs else strategy,
                        both_images(table, good) if pairs else judge,
                        seed=seed,
                        most=MOST_CALLS[method],
                        store=store,
                    )
                )
        tell(method, calls[method], f"{(time.process_time() - began) / count:6.1f} CPU s a target")
    return calls


def benchmark(quick: bool, count: int, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """Both contests, with their tables."""
    table, answer = Mos2(), {"benchmark": "kirigami_targets", "quick": quick, "targets": count}
    for kind, pairs in (("calls", False), ("calls_confirmed", True)):
        print(f"{kind}: {count} targets within {WITHIN:.0%} of strain and stress; median (quartiles), share within 100")
        calls = contest(table, count, pairs, chosen)
        answer |= {
            f"median_{kind}": {m: v if np.isfinite(v := median(each)) else None for m, each in calls.items()},
            f"quartiles_{kind}": {m: quartiles(each) for m, each in calls.items()},
            f"within_100_{kind}": {m: float(np.mean(np.array(each) <= 100)) for m, each in calls.items()},
            kind: {m: [v if np.isfinite(v) else None for v in each] for m, each in calls.items()},
        }
    return answer


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="6 targets instead of 20")
    parser.add_argument("--targets", type=int, default=None)
    parser.add_argument("--methods", nargs="*", default=None, help="only these; random and evolution always")
    arguments = parser.parse_args()
    if not os.environ.get("INVDESIGN_DATA"):
        parser.error("set INVDESIGN_DATA to the folder of kirigami_mos2_md.csv")
    count = arguments.targets or (6 if arguments.quick else 20)
    print(json.dumps(benchmark(arguments.quick, count, arguments.methods)))


if __name__ == "__main__":
    main()
