"""The figures of a surrogate of a waveguide bend: data along ascents, and what is measured on unseen ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.search_problems import (
    FILTER_PIXELS,
    STEPS,
    ascent_step,
    ascents,
    latent_gradient,
    steepness,
    transmission_cotangent,
)
from physics.devices import PortDevice, waveguide_bend
from surrogates import Dataset, LevelData, Surrogate, split
from surrogates.baselines import MeanGradient, NearestNeighbour, flat_arrays
from surrogates.calibration import conformal_quantile
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import mean_cosine, value_error
from surrogates.fidelity import Solver, solver_from_arrays

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Rows = NDArray[np.int64]
COARSE, FINE = 0, 1
HELD_OUT = 0.2
COLUMNS = {
    "response_error": "error",
    "gradient_cosine": "cosine",
    "gradient_cosine_density": "in density",
    "gradient_cosine_cotangent": "J^T v",
    "gradient_cosine_first": "first designs",
    "gain": "gain",
    "actual_over_predicted": "actual/pred.",
    "coverage_90": "coverage",
    "width_90": "width",
    "latency_ms": "ms",
}


class Answers(Protocol):
    """A fitted surrogate, whatever it is, on ``n x h x w`` designs.

    ``vjp`` gives ``s`` (n x ports x wavelengths) and the gradient for the cotangents; for None, for those of the
    transmission that it predicts itself. ``interval`` gives the two ends, or None if it has none.
    """

    def vjp(self, designs: Real, cotangents: Complex | None = None) -> tuple[Complex, Real]: ...
    def interval(self, designs: Real) -> tuple[Complex, Complex] | None: ...


@dataclass(frozen=True, eq=False)
class Learned:
    """Of a surrogate that gives predictions."""

    surrogate: Surrogate

    def vjp(self, designs: Real, cotangents: Complex | None = None) -> tuple[Complex, Real]:
        """By automatic differentiation."""
        x = torch.from_numpy(designs.copy()).requires_grad_(True)
        s = self.surrogate.predict(x, FINE).mean["s"]
        known = s.detach().numpy().astype(np.complex128)
        v = torch.from_numpy(transmission_cotangent(known) if cotangents is None else cotangents.copy())
        (gradient,) = torch.autograd.grad((v.conj() * s).real.sum(), x)
        return known, gradient.numpy()

    def interval(self, designs: Real) -> tuple[Complex, Complex]:
        """The prediction's own."""
        with torch.no_grad():
            lower, upper = self.surrogate.predict(torch.from_numpy(designs.copy()), FINE).interval()
        return lower["s"].numpy(), upper["s"].numpy()


class Trivial:
    """Of a baseline; its interval has one width, the split-conformal one of the held-out runs among its labels."""

    def __init__(self, kind: type[MeanGradient] | type[NearestNeighbour], data: Dataset, seed: int) -> None:
        train, held_out = (part.levels[FINE] for part in split(data, HELD_OUT, seed))
        self.codec = ResponseCodec.fit(train.responses)
        self.model = kind(*flat_arrays(train, self.codec))
        x, y, *_ = flat_arrays(held_out, self.codec)
        self.reach = conformal_quantile(np.abs(self.model.values(x) - y))

    def vjp(self, designs: Real, cotangents: Complex | None = None) -> tuple[Complex, Real]:
        """What the baseline has."""
        x = designs.reshape(len(designs), -1)
        s = self._decoded(self.model.values(x))
        v = transmission_cotangent(s) if cotangents is None else cotangents
        flat = self.codec.pull_back({"s": torch.from_numpy(v.copy())}).numpy()
        size = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
        return s, (size * self.model.gradients(x, flat / size)).reshape(designs.shape)

    def interval(self, designs: Real) -> tuple[Complex, Complex]:
        """See the class."""
        middle = self.model.values(designs.reshape(len(designs), -1))
        return self._decoded(middle - self.reach), self._decoded(middle + self.reach)

    def _decoded(self, values: Real) -> Complex:
        return np.asarray(self.codec.decode(torch.from_numpy(np.array(values)))["s"].numpy())


@dataclass(frozen=True)
class Solved:
    """Of the solver at one level."""

    device: PortDevice
    level: int

    def vjp(self, designs: Real, cotangents: Complex | None = None) -> tuple[Complex, Real]:
        """Design by design."""
        found = [
            self.device.vjp(
                design,
                self.level,
                (lambda r: {"s": transmission_cotangent(r["s"])}) if cotangents is None else {"s": cotangents[number]},
            )
            for number, design in enumerate(designs)
        ]
        return np.stack([response["s"] for response, _ in found]), np.stack([gradient for _, gradient in found])

    def interval(self, designs: Real) -> None:
        """It has none."""


def coarse_solver(device: PortDevice) -> Solver:
    """The coarse level as a function that networks may be built around; one for all of them, as it remembers."""
    return solver_from_arrays(
        f"{device.identity}-{COARSE}",
        lambda design: {"s": device.simulate(design, COARSE)["s"]},
        lambda design, cotangents: device.vjp(design, COARSE, cotangents),
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """The device and its labels; runs have numbers of their own, so that no level is trained on another's test.

    Args:
        device: with a coarse and a fine level.
        fine, coarse: to learn from.
        test: fine, frozen: whole runs of another seed.
    """

    device: PortDevice
    fine: LevelData
    coarse: LevelData
    test: LevelData

    @classmethod
    def made(cls, labels: int, coarse_runs: int, test_runs: int, folder: Path | None = None) -> Bench:
        """Solved, or read from the folder.

        Args:
            labels: of the reference, to learn from; a multiple of an ascent's steps.
            coarse_runs, test_runs: ascents.
            folder: where labels are kept; None to make them anew.
        """
        device = waveguide_bend(1.55, design_um=1.0, pixel_um=0.05, cells_um=(0.05, 0.025), threads=1)
        if labels % STEPS or labels < 2 * STEPS:
            raise ValueError(f"Expected a number of labels that is 2 or more times {STEPS}. Got {labels}.")

        def block(seed: int, level: int, runs: int) -> LevelData:
            file = folder / f"{device.identity[:16]}-{level}-{seed}-{runs}.npz" if folder is not None else None
            if file is not None and file.exists():
                return Dataset.load(file).levels[0]
            data = ascents(device, level, runs, np.random.default_rng([17, seed]))
            data = replace(data, groups=data.groups + 10_000 * seed)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                Dataset({0: data}).save(file)
            return data

        return cls(device, block(1, FINE, labels // STEPS), block(2, COARSE, coarse_runs), block(3, FINE, test_runs))

    def data(self, labels: int, coarse: bool = False, gradients: bool = True) -> Dataset:
        """What a surrogate learns from; fewer labels are the first runs of more."""
        levels = {FINE: self.fine.take(np.arange(labels))} | ({COARSE: self.coarse} if coarse else {})
        if not gradients:
            levels = {k: LevelData.values_only(one.designs, one.responses, one.groups) for k, one in levels.items()}
        return Dataset(levels)

    @cached_property
    def steps(self) -> Rows:
        """Of the test designs, within their run."""
        return np.arange(len(self.test)) % STEPS

    @cached_property
    def late(self) -> Rows:
        """Rows of the test designs that judge."""
        return np.flatnonzero(self.steps >= STEPS // 2)

    def latent(self, gradients: Real, rows: Rows) -> Real:
        """Gradients in the test designs of these rows, from the density to the latent variables."""
        steep = [steepness(step) for step in self.steps[rows]]
        return np.stack([latent_gradient(*one) for one in zip(gradients, self.test.designs[rows], steep, strict=True)])

    def stepped(self, gradients: Real) -> Real:
        """The late designs after the ascents' step along these gradients."""
        moved = []
        for row, gradient in zip(self.late, gradients, strict=True):
            design, steep = self.test.designs[row], steepness(self.steps[row])
            step = ascent_step(gradient, design, steep)
            # The projection is a logistic function, which a change of its argument moves along itself.
            change = steep * gaussian_filter(step, FILTER_PIXELS, mode="constant")
            moved.append(design / (design + (1 - design) * np.exp(-np.clip(change, -30, 30))))
        return np.stack(moved)

    def gains(self, stepped: Real) -> Real:
        """Transmission after the step less that before, by the solver."""
        s = np.stack([self.device.simulate(design, FINE)["s"] for design in stepped])
        return transmission(s) - transmission(self.test.responses["s"][self.late])

    @cached_property
    def adjoint_gain(self) -> float:
        """Mean of a step along the adjoint gradient."""
        return float(self.gains(self.stepped(self.test.gradients[self.late])).mean())


def transmission(s: Complex) -> Real:
    """Power at the last port: one number a design."""
    return (np.abs(s[:, -1]) ** 2).sum(axis=-1)


def judge(answers: Answers, bench: Bench) -> dict[str, float]:
    """Everything in ``COLUMNS``; NaN for what the surrogate has no opinion on."""
    test, late, first = bench.test, bench.late, np.flatnonzero(bench.steps == 0)
    designs, true = test.designs[late], test.responses["s"][late]
    adjoint, adjoint_latent = test.gradients[late], bench.latent(test.gradients[late], late)
    s, own = answers.vjp(designs)
    _, pulled = answers.vjp(designs, test.cotangents["s"][late])
    _, own_first = answers.vjp(test.designs[first])
    codec = ResponseCodec.fit({"s": true})
    predicted, wanted = (codec.encode({"s": torch.from_numpy(np.array(value))}).numpy() for value in (s, true))
    stepped = bench.stepped(own)
    actual, promised = bench.gains(stepped), transmission(answers.vjp(stepped)[0]) - transmission(s)
    hopeful = promised > 1e-9
    ratios = actual[hopeful] / promised[hopeful]
    ends = answers.interval(designs)
    return {
        "response_error": value_error(predicted, wanted),
        "gradient_cosine": mean_cosine(bench.latent(own, late), adjoint_latent),
        "gradient_cosine_density": mean_cosine(own, adjoint),
        "gradient_cosine_cotangent": mean_cosine(bench.latent(pulled, late), adjoint_latent),
        "gradient_cosine_first": mean_cosine(
            bench.latent(own_first, first), bench.latent(test.gradients[first], first)
        ),
        "gain": float(actual.mean()) / bench.adjoint_gain,
        "actual_over_predicted": float(np.median(ratios)) if hopeful.mean() >= 0.5 else float("nan"),
        "coverage_90": covered(true, *ends) if ends is not None else float("nan"),
        "width_90": width(codec, *ends) if ends is not None else float("nan"),
        "latency_ms": latency_ms(answers, designs[:1]),
    }


def covered(true: Complex, lower: Complex, upper: Complex) -> float:
    """Share of real and imaginary parts inside the interval."""
    middle, low, high = (np.stack([value.real, value.imag]) for value in (true, lower, upper))
    return float(((low <= middle) & (middle <= high)).mean())


def width(codec: ResponseCodec, lower: Complex, upper: Complex) -> float:
    """Mean width of the interval of real and imaginary parts, in the codec's units."""
    low, high = (codec.encode({"s": torch.from_numpy(np.array(value))}).numpy() for value in (lower, upper))
    return float((high - low).mean())


def latency_ms(answers: Answers, design: Real, repeats: int = 7) -> float:
    """CPU time of one gradient of its own transmission, median over designs hardly paler, as solvers remember."""
    seconds = []
    for number in range(1, repeats + 1):
        paler = design * (1 - 1e-4 * number)
        started = time.process_time()
        answers.vjp(paler)
        seconds.append(time.process_time() - started)
    return 1000 * float(np.median(seconds))
