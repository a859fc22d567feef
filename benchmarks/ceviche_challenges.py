"""The five standard problems of ceviche_challenges and invrs-gym, designed from scratch.

    python -m benchmarks.ceviche_challenges --problem beam_splitter --lightweight --quick [--seed 0] [--out file.npy]

A density with a minimum width and spacing is optimised on all of the problem's wavelengths at once until its worst
power lies as far inside its window as it will go, see ``windowed_descent``. The binarised design is then solved again
by ceviche_challenges' own model on the same array, and here on cells of half the side with thicker absorbers and wider
margins (``drift``: largest change of an amplitude). Windows count as met if both packages say so; in cells of 40 nm
they differ by what ``ceviche_reading`` explains. The metric is invrs-gym's; its leaderboard shows 0.9095 for the mode
converter, 0.0090 for the power splitter and -1.2504 for the bend, at full resolution.

``--quick`` ends within a minute; at full resolution it then leaves out the outside package and the finer mesh, each of
which takes longer than that alone. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ceviche_models import ceviche_model, ceviche_scattering
from benchmarks.windowed_descent import Mesh, OutOfTime, Search, Stage, coarse_mesh
from invdesign import DensitySpace
from invdesign.border import Border
from invdesign.challenges import Challenge, challenge
from invdesign.export import feature_sizes
from physics.devices.challenges import CHALLENGES, ceviche_reading

# Radius of the filter in um, least width and spacing in pixels: full resolution.
FULL = {
    "waveguide_bend": (0.16, 9, 7),
    "beam_splitter": (0.16, 8, 8),
    "power_splitter": (0.16, 9, 8),
    "mode_converter": (0.14, 6, 6),
    "wdm": (0.16, 8, 8),
}
LIGHTWEIGHT = {name: (0.16 if name == "wdm" else 0.20, 3, 3) for name in CHALLENGES}
BETAS = (8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
COARSE_UM = (0.04, 0.02)  # cells and pixels of the first stages at full resolution
# Of wall time for the search; the rest is for the start and the checks. Judging the largest problem once takes long.
QUICK_SECONDS, QUICK_LARGE_SECONDS, LONG_SECONDS = 42.0, 12.0, 900.0
COARSE_SHARE = 0.6  # of the time left, at most, for a start's coarse stages
ENOUGH_DB = -0.2  # a quick search stops when a start has ended this far inside all windows


def stages(meshes: int, softness_db: float, quick: bool) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """First the powers, then the worst window at growing sharpness; where there are coarse meshes, first on those."""
    sharper = [
        Stage("db", beta, max(0.2, softness_db * 0.7**i), min(2.0, 2 / 3 * (i + 1)), 40) for i, beta in enumerate(BETAS)
    ]
    if meshes == 1:
        return (), (Stage("power", 4.0, 1.0, 0.0, 100 if softness_db > 1 else 40), *sharper)
    first = [replace(stage, mesh=-3, evaluations=25) for stage in sharper[:3]]
    second = [replace(stage, mesh=-2) for stage in sharper[3:5]]
    ends = ((128.0, 0.1), (256.0, 0.05))
    fine = tuple(Stage("db", beta, softness, 2.0, 20 if quick else 60) for beta, softness in ends)
    return (Stage("power", 4.0, 1.0, 0.0, 60, -3), *first, *second), fine


def search(problem: Challenge, space: DensitySpace, quick: bool, seed: int, deadline: float) -> Search:
    """Starts one after the other until time is up or, if quick, one is good enough; small designs are polished."""
    device = problem.device
    fine = Mesh(device, space)
    lightweight = device.pixel_um > 0.02
    meshes: tuple[Mesh, ...] = (fine,)
    if not lightweight:
        chosen = tuple(device.wavelength_um[i] for i in ((0, 2, 3, 5) if problem.name == "wdm" else (0, 3, 5)))
        meshes = (*(coarse_mesh(problem, space, cell, chosen) for cell in COARSE_UM), fine)
    state = Search(problem, meshes, deadline)
    rng, start = np.random.default_rng(seed), 0
    ended = [state.best]
    rough, last = stages(len(meshes), 3.0 if problem.name == "wdm" else 1.0, quick)
    try:
        while time.monotonic() < deadline:
            start += 1
            state.best = (math.inf, np.zeros(0))
            theta = np.clip(0.5 + 0.05 * rng.standard_normal(meshes[0].space.size), 0, 1)
            theta = state.descend(theta, rough, f"start {start}, rough", COARSE_SHARE * (deadline - time.monotonic()))
            theta = state.descend(theta, last, f"start {start}")
            if lightweight:
                state.keep(state.polish(state.best[1], -9.0), f"start {start}, polished")
            ended.append(state.best)
            if quick and state.best[0] < ENOUGH_DB:
                break
    except OutOfTime:
        pass
    state.best = min([*ended, state.best], key=lambda pair: pair[0])
    return state


def decibels(s: Any) -> list[list[float]]:
    """Levels in dB, ``ports x wavelengths``, as JSON."""
    return [[round(float(v), 4) for v in row] for row in 20 * np.log10(np.maximum(np.abs(s), 1e-8))]


def measure(name: str, lightweight: bool, quick: bool, seed: int, seconds: float, out: Path | None) -> dict[str, Any]:
    """Designs, checks and prints; gives the figures."""
    began, cpu = time.monotonic(), time.process_time()
    problem = challenge(name, lightweight=lightweight)
    device = problem.device
    radius_um, width, spacing = (LIGHTWEIGHT if lightweight else FULL)[name]
    space = DensitySpace(
        device.design_shape,
        device.pixel_um,
        problem.symmetry,
        radius_um,
        border=Border.of(device),
        minimum_width_um=width * device.pixel_um,
        minimum_spacing_um=spacing * device.pixel_um,
    )
    print(f"{name}, {device.design_shape[0]} x {device.design_shape[1]} pixels of {1000 * device.pixel_um:g} nm")
    state = search(problem, space, quick, seed, began + seconds)
    density, spent = state.best[1], time.process_time() - cpu
    if out is not None:
        np.save(out, density)
    s = state.scattering(density)
    outside, drift = None, None
    if lightweight or not quick:
        outside = ceviche_scattering(ceviche_model(name, lightweight=lightweight), density)
        finer = device.refined().simulate(density, 0)["s"]
        drift = float(np.abs(np.abs(finer) - np.abs(s)).max())
    sizes = feature_sizes(density, 1.0)
    read = {"s": ceviche_reading(device, s) if outside is None else outside}
    table(problem, s, outside)
    return {
        "problem": name,
        "lightweight": lightweight,
        "seed": seed,
        "s_db": decibels(s),
        "s_db_ceviche": None if outside is None else decibels(outside),
        "worst_violation_db": problem.violation_db({"s": s}),
        "worst_violation_db_ceviche": problem.violation_db(read),
        "eval_metric": problem.eval_metric({"s": s}),
        "eval_metric_ceviche": problem.eval_metric(read),
        "drift": drift,
        "min_width_px": sizes.min_width_um,
        "min_spacing_px": sizes.min_spacing_um,
        "solves": state.solves,
        "cpu_seconds": round(spent, 1),
        "wall_seconds": round(time.monotonic() - began, 1),
    }


def table(problem: Challenge, s: Any, outside: Any) -> None:
    """Levels and windows, port by port."""
    print(f"{'port':8s}{'um':>8s}{'dB':>10s}{'ceviche':>10s}   window / dB")
    for i, port in enumerate(problem.device.ports):
        for k, wavelength in enumerate(problem.device.wavelength_um):
            theirs = "-" if outside is None else f"{20 * np.log10(abs(outside[i, k])):.3f}"
            low, high = (10 * np.log10(max(edge[i, k], 1e-12)) for edge in (problem.lower, problem.upper))
            bounds = f"{low:.2f}" if low > -100 else "", f"{high:.2f}" if high < 0 else ""
            level = f"{20 * np.log10(abs(s[i, k])):.3f}"
            print(f"{port.name:8s}{wavelength:8.3f}{level:>10s}{theirs:>10s}   {bounds[0]:>7s} .. {bounds[1]}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=CHALLENGES, required=True)
    parser.add_argument("--lightweight", action="store_true", help="pixels and cells of 40 nm instead of 10 nm")
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="wall time of the search instead of the standard one")
    parser.add_argument("--out", type=Path, help="where the binarised density goes, as .npy")
    given = parser.parse_args()
    torch.set_num_threads(1)
    large = given.problem == "wdm" and not given.lightweight
    seconds = given.seconds or ((QUICK_LARGE_SECONDS if large else QUICK_SECONDS) if given.quick else LONG_SECONDS)
    print(json.dumps(measure(given.problem, given.lightweight, given.quick, given.seed, seconds, given.out)))


if __name__ == "__main__":
    main()
