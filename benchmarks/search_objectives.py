"""Does a search for gradients find another and better designer than one for responses, or for fields?

    python -m benchmarks.search_objectives [--quick] [--draws N] [--seeds N] [--folder F]

For each draw of labels along ascents of a waveguide bend's transmission, networks of the bend's space are tried in one
random order, under each objective for the same CPU seconds:

- response: the error of the S-parameters on held-out ascents, later half;
- gradient: 1 - cosine of the adjoint gradient with the network's there, both in the latent variables, behind filter
  and projection; trained alike, so these two judge one training;
- field: the relative error of the field in the design window, by the same blocks trained on fields;
- none: the first network of the order, at no cost.

Each pick then designs the bend: `surrogate(fixed(pick))`, all CPU seconds counted, the same for each, several seeds.
Its figure is the transmission of the best design that the solver verified. Intervals are 90 % t-intervals over draws,
seeds averaged, of the mean and of the mean difference to the search for responses. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.paired import against
from benchmarks.search_problems import PROBLEMS, STEPS, ascents, late_latent
from invdesign import Border, Budget, DensitySpace, Problem, Target, run
from invdesign.strategies import Surrogate
from physics.devices import PortDevice, waveguide_bend
from surrogates import Architecture, Dataset, LevelData, TrainingConfig, fixed
from surrogates.fields import FieldData, FieldEnsemble, FieldTraining, GridField
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Rung
from surrogates.nas.live import LiveLab, Task
from surrogates.runtime import torch_threads

FOLDER = Path.home() / ".cache" / "invdesign" / "search_objectives"
RESPONSE, GRADIENT, FIELD, NONE = "response", "gradient", "field", "none"
MEASURES = {RESPONSE: "value_error", GRADIENT: "latent_cosine", FIELD: "field_error"}


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        paths: ascents a draw, a fifth of them held out.
        search_cpu_seconds: of each search.
        design_cpu_seconds: of each design.
        epochs: of a trial.
        members, config: of the designing ensembles.
        designs: random ones that a design begins with.
        draws, seeds: of labels, and of designs on each.
    """

    paths: int = 40
    search_cpu_seconds: float = 60.0
    design_cpu_seconds: float = 60.0
    epochs: int = 27
    members: int = 3
    config: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=24))
    designs: int = 96
    draws: int = 3
    seeds: int = 2


QUICK = Size(10, 4.0, 6.0, 4, 2, TrainingConfig(epochs=4), 24, 1, 1)


def device() -> PortDevice:
    """The bend, at one fidelity."""
    return waveguide_bend(1.55, design_um=1.0, pixel_um=0.05, cells_um=0.05, threads=1)


def bend_problem(simulator: PortDevice) -> Problem:
    """To transmit all."""
    space = DensitySpace(
        simulator.design_shape, pixel_um=simulator.pixel_um, filter_radius_um=0.1, border=Border.of(simulator)
    )
    return Problem(space, simulator, [Target("transmission", at={"port": "out"}, lower=0.99)])


@dataclass(frozen=True, eq=False)
class Draw:
    """Labels, and what the objectives say of networks.

    Args:
        number: of the draw.
        size: how much.
        simulator: the bend.
        folder: of trials.
    """

    number: int
    size: Size
    simulator: PortDevice
    folder: Path

    @cached_property
    def labels(self) -> LevelData:
        """Along ascents."""
        return ascents(self.simulator, 0, self.size.paths, np.random.default_rng([2, self.number]))

    @property
    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """To train on, and to judge by."""
        held = self.labels.groups >= self.size.paths - self.size.paths // 5
        late = np.arange(len(self.labels)) % STEPS >= STEPS // 2
        return np.flatnonzero(~held), np.flatnonzero(held & late)

    @cached_property
    def lab(self) -> LiveLab:
        """Of responses and gradients."""
        train, check = (self.labels.take(rows) for rows in self._rows)
        task = Task(Dataset({0: train}), check, TrainingConfig(), (Rung(self.size.epochs),), late_latent())
        return LiveLab(PROBLEMS["bend"].space, task, cache=TrialCache(self.folder / f"draw-{self.number}"))

    @cached_property
    def field_data(self) -> tuple[FieldData, FieldData]:
        """To train on, and to judge by: fields in the design window, on the pixels' grid."""
        half = self.simulator.design_shape[0] * self.simulator.pixel_um / 2
        found = []
        for design in self.labels.designs:
            solved = self.simulator.fields(design, 0)
            window = np.ix_(np.abs(solved.x_um) < half, np.abs(solved.y_um) < half)
            found.append(next(iter(solved.values.values()))[0][window])
        fields = np.stack(found)
        train, check = (FieldData(self.labels.designs[r], fields[r], self.labels.groups[r]) for r in self._rows)
        return train, check

    @cached_property
    def order(self) -> list[Architecture]:
        """Of trying."""
        everything = self.lab.space.everything()
        return [everything[k] for k in np.random.default_rng([3, self.number]).permutation(len(everything))]

    def field_error(self, architecture: Architecture) -> float:
        """Relative, on the held-out ascents."""
        train, check = self.field_data
        ensemble = FieldEnsemble(GridField(architecture), 1, FieldTraining(epochs=self.size.epochs), held_out=0.1)
        ensemble.fit(train, seed=0)
        return ensemble.score(check).relative_error

    def tried(self) -> dict[Architecture, dict[str, float]]:
        """Networks in order, with what the objectives that came as far say of each."""
        found: dict[Architecture, dict[str, float]] = {}
        spent = 0.0
        for architecture in self.order:
            if spent >= self.size.search_cpu_seconds:
                break
            trial = self.lab.ask(architecture)
            spent += trial.cpu_seconds
            found[architecture] = dict(trial.measures)
        spent = 0.0
        for architecture in self.order:
            if spent >= self.size.search_cpu_seconds:
                break
            started = time.process_time()
            found.setdefault(architecture, {})["field_error"] = self.field_error(architecture)
            spent += time.process_time() - started
        return found

    def picks(self, tried: dict[Architecture, dict[str, float]]) -> dict[str, Architecture]:
        """Of each objective."""
        best = {}
        for objective, measure in MEASURES.items():
            sign = -1 if objective == GRADIENT else 1
            known = {a: sign * m[measure] for a, m in tried.items() if np.isfinite(m.get(measure, np.nan))}
            best[objective] = min(known, key=known.__getitem__)
        return best | {NONE: self.order[0]}


def agreement(tried: dict[Architecture, dict[str, float]], first: str, second: str) -> tuple[float, int]:
    """Rank correlation of two measures over the networks that have both, and how many these are; errors count down."""
    names, cosine = (MEASURES[first], MEASURES[second]), MEASURES[GRADIENT]
    rows = [[m[n] if n == cosine else -m[n] for n in names] for m in tried.values() if set(names) <= set(m)]
    if len(rows) < 3:
        return float("nan"), len(rows)
    return float(spearmanr(np.array(rows)).statistic), len(rows)


def designed(pick: Architecture, problem: Problem, size: Size, seed: int, store: Path | str = ":memory:") -> float:
    """Transmission of the best verified design; 0 if none was. With a store, a run that was killed goes on."""
    strategy = Surrogate(fixed(pick, members=size.members, config=size.config), designs=(size.designs,))
    best = run(problem, strategy, budget=Budget(cpu_seconds=size.design_cpu_seconds), seed=seed, store=store).best
    if best is None:
        return 0.0
    return float(np.abs(best.response["s"][-1, 0]) ** 2)


def benchmark(size: Size, folder: Path) -> dict[str, Any]:
    """Measures and prints."""
    began = time.process_time()
    simulator = device()
    problem = bend_problem(simulator)
    found: dict[str, list[list[float]]] = {name: [] for name in (*MEASURES, NONE)}
    pairs = ((RESPONSE, GRADIENT), (RESPONSE, FIELD), (GRADIENT, FIELD))
    ranks: dict[str, list[float]] = {f"{a}, {b}": [] for a, b in pairs}
    differ = 0
    for number in range(size.draws):
        draw = Draw(number, size, simulator, folder)
        tried = draw.tried()
        picks = draw.picks(tried)
        differ += picks[GRADIENT] != picks[RESPONSE]
        print(f"draw {number}: {len(draw.labels)} labels, {len(tried)} networks tried")
        for a, b in pairs:
            rank, count = agreement(tried, a, b)
            ranks[f"{a}, {b}"].append(rank)
            print(f"  rank correlation of {a} and {b}: {rank:.2f} over {count} networks")
        done: dict[tuple[Architecture, int], float] = {}
        for name, pick in picks.items():
            figures = "".join(f"  {m} {tried[pick].get(m, np.nan):.3f}" for m in MEASURES.values())
            own = []
            for seed in range(size.seeds):
                # One network designs once, whoever picked it.
                if (pick, seed) not in done:
                    done[pick, seed] = designed(pick, problem, size, seed)
                own.append(done[pick, seed])
            found[name].append(own)
            print(f"  {name:10s}{figures}  designs {', '.join(f'{v:.4f}' for v in own)}  {pick.key}", flush=True)
    result = against(found, RESPONSE, "transmission")
    print(answer(differ, size.draws, result))
    correlation = {name: [None if np.isnan(v) else round(v, 3) for v in values] for name, values in ranks.items()}
    return {
        "benchmark": "search_objectives",
        "designs": result,
        "rank_correlation": correlation,
        "other_network": differ,
        "draws": size.draws,
        "seeds": size.seeds,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def answer(differ: int, draws: int, result: dict[str, Any]) -> str:
    """In words."""
    text = [f"The search for gradients picks another network than that for responses in {differ} of {draws} draws."]
    for name in (GRADIENT, FIELD):
        low, high = result[name]["difference_interval"]
        if low is None:
            text.append(f"Too few designs to say how those of the search for {name} compare.")
            continue
        how = "better" if low > 0 else "worse" if high < 0 else "neither better nor worse within the interval"
        text.append(f"Designs on the pick of the search for {name} are {how}, against that for responses.")
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one draw, little of everything")
    parser.add_argument("--draws", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else Size()
    size = replace(size, draws=options.draws or size.draws, seeds=options.seeds or size.seeds)
    with torch_threads(1):
        print(json.dumps(benchmark(size, options.folder / ("quick" if options.quick else "full"))))


if __name__ == "__main__":
    main()
