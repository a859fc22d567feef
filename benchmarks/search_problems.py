"""The two problems on which searches for an architecture are compared: spaces, data, and how networks are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.mos2_problem import STRAIN, STRESS, Mos2
from physics.base import Response
from physics.devices import PortDevice, waveguide_bend
from surrogates import DataError, Dataset, LevelData, TrainingConfig
from surrogates.nas.lab import Rung
from surrogates.nas.live import Task
from surrogates.nas.space import ArchitectureSpace

BEND_RUNGS = (Rung(1), Rung(3), Rung(9))
KIRIGAMI_RUNGS = (Rung(2), Rung(6), Rung(18))
PATHS, STEPS, HELD_OUT_PATHS = 150, 10, 30
FILTER_PIXELS = 2.5
LABELS, HELD_OUT_LABELS = 1_000, 500


@dataclass(frozen=True)
class SearchProblem:
    """One of them.

    Args:
        name: of its table.
        space: of the networks.
        task: the data, made or read from a folder, and how networks are trained on them.
        about: in a sentence.
    """

    name: str
    space: ArchitectureSpace
    task: Callable[[Path], Task]
    about: str


def bend_task(folder: Path) -> Task:
    """S-parameters of a waveguide bend along ascents of its transmission, with adjoint gradients.

    Whole ascents are held out, of which the later half judges.
    """
    file = folder / "bend_data.npz"
    try:
        data = Dataset.load(file).levels[0]
    except (FileNotFoundError, DataError):
        device = waveguide_bend(1.55, design_um=1.0, pixel_um=0.05, cells_um=0.05, threads=1)
        data = ascents(device, 0, PATHS, np.random.default_rng(0))
        folder.mkdir(parents=True, exist_ok=True)
        Dataset({0: data}).save(file)
    held = data.groups >= PATHS - HELD_OUT_PATHS
    late = np.arange(len(data)) % STEPS >= STEPS // 2
    train, check = data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held & late))
    return Task(Dataset({0: train}), check, TrainingConfig(batch_size=32), BEND_RUNGS)


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


def ascent_step(gradient: NDArray[np.float64], density: NDArray[np.float64], steep: float) -> NDArray[np.float64]:
    """The step of the latent variables: along their gradient, its largest entry 0.6."""
    uphill = latent_gradient(gradient, density, steep)
    return 0.6 * uphill / max(np.abs(uphill).max(), 1e-30)


def kirigami_task(folder: Path) -> Task:
    """Logarithms of failure strain and strength of MoS2 sheets, from 1,000 labels; whole mirror orbits are held out."""
    mos2 = Mos2()
    rng = np.random.default_rng(0)
    orbits = rng.permutation(mos2.orbit.max() + 1)
    held = np.isin(mos2.orbit, orbits[: len(orbits) // 5])
    train = np.sort(rng.permutation(np.flatnonzero(~held))[:LABELS])
    check = np.sort(rng.permutation(np.flatnonzero(held))[:HELD_OUT_LABELS])
    parts = [
        LevelData.values_only(
            mos2.table.designs[rows],
            {f"log_{name}": np.log(mos2.table.responses[name][rows]) for name in (STRAIN, STRESS)},
            mos2.orbit[rows],
        )
        for rows in (train, check)
    ]
    return Task(Dataset({0: parts[0]}), parts[1], TrainingConfig(batch_size=32), KIRIGAMI_RUNGS)


PROBLEMS = {
    problem.name: problem
    for problem in (
        SearchProblem(
            "bend",
            ArchitectureSpace(widths=(12,), resolutions=(10,)),
            bend_task,
            "complex S-parameters of a waveguide bend",
        ),
        SearchProblem(
            "kirigami", ArchitectureSpace(widths=(12,), resolutions=(40,)), kirigami_task, "MoS2 kirigami, 1,000 labels"
        ),
    )
}
