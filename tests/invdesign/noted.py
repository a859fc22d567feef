"""A toy with fields and ports, and results with every kind of note, for reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from invdesign.budget import Budget
from invdesign.problem import Problem, Scenario
from invdesign.records import Note
from invdesign.result import Result
from invdesign.run import run
from invdesign.spaces.space import DensitySpace
from invdesign.strategies import Adjoint, Drawn, Random
from invdesign.targets import Target
from physics.base import Array, Fields
from tests.invdesign.toy import Toy


@dataclass(frozen=True)
class Port:
    name: str
    side: str
    centre_um: float = 0.0


@dataclass(frozen=True)
class ToyWithFields(Toy):
    """A toy that shows a field and says where its ports are."""

    source: str = "in"

    @property
    def size_um(self) -> tuple[float, float]:
        return (1.2, 1.2)

    @property
    def ports(self) -> tuple[Port, ...]:
        return (Port("in", "west"), Port("out", "south", 0.1))

    def refined(self) -> ToyWithFields:
        return replace(self, bias=self.bias / 100, levels=1)

    def fields(self, design: Array, level: int) -> Fields:
        x = np.linspace(-1, 1, 40)
        inside = np.pad(np.kron(design, np.ones((2, 2))), 8)
        wave = np.exp(8j * x)[:, None] * np.exp(-4 * x**2)[None, :]
        return Fields(x, x, np.array([1.5, 1.6]), 1 + 11 * inside, {"Ez": np.stack([wave, 0.5 * wave])})


def toy_problem(simulator: Toy | None = None, **changes: Any) -> Problem:
    """A problem with a band, a corner and a complex quantity."""
    band, magnitude = Target("transmission", at={"port": "out"}, lower=0.12), Target("s", {"port": "in"}, upper=0.9)
    targets = changes.pop("targets", [band, magnitude])
    space = DensitySpace((12, 12), pixel_um=0.1, filter_radius_um=0.2)
    return Problem(space, simulator or ToyWithFields(), targets, **changes)


def some_results(store: str = ":memory:") -> list[Result]:
    """Short runs of three strategies, without notes of networks."""
    problem = toy_problem(scenarios=[Scenario("eroded", erosion=0.1)])
    strategies = (Adjoint(starts=1, evaluations=6), Drawn(np.ones((12, 12))), Random())
    return [run(problem, s, budget=Budget(solves=60), store=store) for s in strategies]


def with_notes(result: Result) -> Result:
    """The result with the notes that strategies with networks leave."""
    rng = np.random.default_rng(0)
    trials = [
        {
            "number": n,
            "family": ("fno", "unet", "resnet")[n % 3],
            "describe": f"width {16 + n}, 3 layers",
            "parameters": 12_000 * (n + 1),
            "state": "pruned" if n % 4 == 3 else ("failed" if n == 7 else "complete"),
            "value": None if n == 7 else 0.3 / (n + 1) + 0.05,
            "curve": [] if n == 7 else list(0.6 / np.arange(1, 4 if n % 4 == 3 else 10) + 0.02 * n + 0.05),
            "cpu_seconds": 3.0,
        }
        for n in range(10)
    ]
    for trial in trials:
        epochs = len(trial["curve"])
        trial["levels"] = [0] * min(epochs, 4) + [1] * max(0, epochs - 4)
    training = {
        "level": "toy-1", "samples": 64, "gradients": 32, "value_error": 0.11, "r2": 0.93, "gradient_cosine": 0.71,
        "coverage_90": 0.87, "interval_width": 0.06, "cpu_seconds": 5.2,
        "baselines": {
            "mean": {"value_error": 1.0, "gradient_cosine": None},
            "nearest": {"value_error": 0.6, "gradient_cosine": 0.3},
            "mean_gradient": {"gradient_cosine": 0.29},
        },
    }  # fmt: skip
    notes = [Note("search", 3.0, {"trials": trials, "best": 9, "objective": "both"})]
    notes += [Note("surrogate", 5.0, training), Note("surrogate", 6.0, {"level": "toy-1", "samples": 96})]
    for step in range(12):
        predicted = float(rng.uniform(0.01, 0.1))
        content = {
            "model": ("surrogate", "low_fidelity", "mean_gradient")[step % 3],
            "predicted": predicted,
            "actual": predicted * float(rng.uniform(0.2, 1.1)),
            "radius": 0.1,
            "accepted": step % 5 != 0,
            "cpu_seconds": 0.5,
            "cosines": {"surrogate": 0.7, "low_fidelity": float(rng.uniform(0.6, 0.95)), "mean_gradient": 0.3},
        }
        notes.append(Note("step", 7.0 + step, content))
    notes += [Note("step", 20.0, {}), Note("gain", 21.0, {"solves_saved": 12, "factor": 1.7}), Note("gain", 22.0, {})]
    return replace(result, notes=(*result.notes, *notes))
