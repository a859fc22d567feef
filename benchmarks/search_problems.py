"""The two problems on which searches for an architecture are compared: spaces, data, and how networks are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.mos2_problem import STRAIN, STRESS, Mos2
from physics.base import Response
from physics.devices import PortDevice, waveguide_bend
from surrogates import DataError, Dataset, LevelData, TrainingConfig
from surrogates.evaluation import PullBack
from surrogates.nas.lab import Rung
from surrogates.nas.live import Task
from surrogates.nas.space import ArchitectureSpace

BEND_RUNGS = (Rung(1), Rung(3), Rung(9))
KIRIGAMI_RUNGS = (Rung(2), Rung(6), Rung(18))
PATHS, STEPS, HELD_OUT_PATHS, TEST_PATHS = 150, 10, 30, 40
FILTER_PIXELS = 2.5
LABELS, HELD_OUT_LABELS = 1_000, 500


@dataclass(frozen=True)
class SearchProblem:
    """One of them.

    Args:
        name: of its table.
        space: of the networks.
        task: the data, made or read from a folder, and how networks are trained on them; by the number of the draw,
            0 being that of the table.
        test: samples that no draw trains on or searches by.
        about: in a sentence.
    """

    name: str
    space: ArchitectureSpace
    task: Callable[[Path, int], Task]
    test: Callable[[Path], LevelData]
    about: str


def bend_task(folder: Path, draw: int = 0) -> Task:
    """S-parameters of a waveguide bend along ascents of its transmission, with adjoint gradients.

    Whole ascents are held out, of which the later half judges.
    """
    name, source = ("bend_data", np.random.default_rng(0)) if draw == 0 else (f"bend_data-{draw}", _further(draw))
    data = _bends(folder / f"{name}.npz", PATHS, source)
    held = data.groups >= PATHS - HELD_OUT_PATHS
    train, check = data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held & _late(data)))
    return Task(Dataset({0: train}), check, TrainingConfig(batch_size=32), BEND_RUNGS)


def bend_test(folder: Path) -> LevelData:
    """The later half of ascents of their own."""
    data = _bends(folder / "bend_test.npz", TEST_PATHS, np.random.default_rng([1, 0]))
    return data.take(np.flatnonzero(_late(data)))


def _bends(file: Path, paths: int, rng: np.random.Generator) -> LevelData:
    """Read from the file, or made and written there."""
    try:
        return Dataset.load(file).levels[0]
    except (FileNotFoundError, DataError):
        device = waveguide_bend(1.55, design_um=1.0, pixel_um=0.05, cells_um=0.05, threads=1)
        data = ascents(device, 0, paths, rng)
        file.parent.mkdir(parents=True, exist_ok=True)
        Dataset({0: data}).save(file)
        return data


def _late(data: LevelData) -> NDArray[np.bool_]:
    return np.arange(len(data)) % STEPS >= STEPS // 2


def _further(draw: int) -> np.random.Generator:
    return np.random.default_rng([0, draw])


def ascents(device: PortDevice, level: int, paths: int, rng: np.random.Generator) -> LevelData:
    """Responses ``s`` along that many ascents of the transmission at one level, with adjoint gradients.

    Each has ``STEPS`` designs, ever steeper, and is a group of its own. The first paths of a generator are the same
    however many are made.
    """
    rows: list[tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]] = []
    for _ in range(paths):
        latent = gaussian_filter(rng.normal(size=device.design_shape), 3.0, mode="constant") / 0.1
        for step in range(STEPS):
            steep = steepness(step)
            smooth = gaussian_filter(latent, FILTER_PIXELS, mode="constant")
            density = 1 / (1 + np.exp(-np.clip(steep * smooth, -30, 30)))
            kept: list[NDArray[np.complex128]] = []

            def transmitted(response: Response, kept: list[NDArray[np.complex128]] = kept) -> Response:
                """Of the power that leaves through "out"."""
                kept.append(transmission_cotangent(response["s"]))
                return {"s": kept[-1]}

            response, gradient = device.vjp(density, level, transmitted)
            rows.append((density, np.asarray(response["s"]), kept[0], gradient))
            latent = latent + ascent_step(gradient, density, steep)
    designs, responses, cotangents, gradients = (np.stack(column) for column in zip(*rows, strict=True))
    groups = np.repeat(np.arange(paths), STEPS)
    return LevelData(designs, {"s": responses}, groups, np.arange(len(designs)), {"s": cotangents}, gradients)


def steepness(step: int) -> float:
    """Of the projection at a step of an ascent."""
    return 1.0 * 1.2**step


def transmission_cotangent(s: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Of the power sum |s|^2 at the last port, "out"; s is ``... x ports x wavelengths``."""
    weight = np.zeros_like(s)
    weight[..., -1, :] = 2 * s[..., -1, :]
    return weight


def latent_gradient(gradient: NDArray[np.float64], density: NDArray[np.float64], steep: float) -> NDArray[np.float64]:
    """From the gradient in one density to that in the latent variables: filter and projection, transposed."""
    return gaussian_filter(gradient * steep * density * (1 - density), FILTER_PIXELS, mode="constant")


def late_latent() -> PullBack:
    """Of the late designs of whole ascents, in their order: back to the variables in which the ascents were made."""
    late = range(STEPS // 2, STEPS)

    def pulled(designs: NDArray[np.float64], gradients: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(gradients) % len(late):
            raise ValueError(f"Expected {len(late)} designs of every ascent. Got {len(gradients)} in all.")
        steeps = [steepness(late[k % len(late)]) for k in range(len(gradients))]
        return np.stack([latent_gradient(g, d, s) for g, d, s in zip(gradients, designs, steeps, strict=True)])

    return PullBack(f"bend ascents, steps {late.start} to {late.stop}, filter {FILTER_PIXELS}", pulled)


def ascent_step(gradient: NDArray[np.float64], density: NDArray[np.float64], steep: float) -> NDArray[np.float64]:
    """The step of the latent variables: along their gradient, its largest entry 0.6."""
    uphill = latent_gradient(gradient, density, steep)
    return 0.6 * uphill / max(np.abs(uphill).max(), 1e-30)


def kirigami_task(folder: Path, draw: int = 0) -> Task:
    """Logarithms of failure strain and strength of MoS2 sheets, from 1,000 labels; whole mirror orbits are held out."""
    mos2 = Mos2()
    free, check, _ = _kirigami_rows(mos2)
    train = free[:LABELS] if draw == 0 else _further(draw).permutation(free)[:LABELS]
    task = Dataset({0: _sheets(mos2, train)})
    return Task(task, _sheets(mos2, check), TrainingConfig(batch_size=32), KIRIGAMI_RUNGS)


def kirigami_test(folder: Path) -> LevelData:
    """The sheets held out that do not judge a search."""
    mos2 = Mos2()
    return _sheets(mos2, _kirigami_rows(mos2)[2])


def _kirigami_rows(mos2: Mos2) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on, to search by and to test on, each in an order of its own."""
    rng = np.random.default_rng(0)
    orbits = rng.permutation(mos2.orbit.max() + 1)
    held = np.isin(mos2.orbit, orbits[: len(orbits) // 5])
    free, kept = rng.permutation(np.flatnonzero(~held)), rng.permutation(np.flatnonzero(held))
    return free, kept[:HELD_OUT_LABELS], kept[HELD_OUT_LABELS:]


def _sheets(mos2: Mos2, rows: NDArray[np.int64]) -> LevelData:
    rows = np.sort(rows)
    responses = {f"log_{name}": np.log(mos2.table.responses[name][rows]) for name in (STRAIN, STRESS)}
    return LevelData.values_only(mos2.table.designs[rows], responses, mos2.orbit[rows])


def of_each(problems: Iterable[SearchProblem], figures: Callable[[SearchProblem], Any]) -> dict[str, Any]:
    """Figures by problem; one whose data is not there is left out, and says so."""
    found = {}
    for problem in problems:
        try:
            found[problem.name] = figures(problem)
        except FileNotFoundError as error:
            print(f"{problem.name}: left out. {error}")
            found[problem.name] = {"left_out": str(error)}
    return found


PROBLEMS = {
    problem.name: problem
    for problem in (
        SearchProblem(
            "bend",
            ArchitectureSpace(widths=(12,), resolutions=(10,)),
            bend_task,
            bend_test,
            "complex S-parameters of a waveguide bend",
        ),
        SearchProblem(
            "kirigami",
            ArchitectureSpace(widths=(12,), resolutions=(40,)),
            kirigami_task,
            kirigami_test,
            "MoS2 kirigami, 1,000 labels",
        ),
    )
}
