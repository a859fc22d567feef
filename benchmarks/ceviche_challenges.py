"""The five standard problems of ceviche_challenges and invrs-gym, designed from scratch.

    python -m benchmarks.ceviche_challenges --problem beam_splitter --lightweight --quick [--seed 0] [--out file.npy]
    python -m benchmarks.ceviche_challenges --problem beam_splitter --check file.npy [--checked 1]

A density with a minimum width and spacing is optimised on all of the problem's wavelengths at once until its worst
power lies as far inside its window as it will go, see ``windowed_descent`` and, for cells of 40 nm and for the
demultiplexer, ``pixel_exchange``.
The binarised design is then solved again by ceviche_challenges' own model on the same array, and here on cells of half
the side with thicker absorbers and wider margins (``drift``: largest change of an amplitude). Windows count as met if
both packages say so. In cells of 40 nm they differ by what ``ceviche_reading`` explains, and the windows must hold in
cells of 20 nm as well, save those of the demultiplexer. The metric is invrs-gym's; its leaderboard shows 0.9095 for the
mode converter, 0.0090 for the power splitter and -1.2504 for the bend, at full resolution.

``--quick`` takes at most some 45 CPU seconds (the full demultiplexer 70); at full resolution it leaves out
the outside package and the finer mesh, each of which takes longer than that alone. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ceviche_models import ceviche_model, ceviche_scattering
from benchmarks.pixel_exchange import polish
from benchmarks.windowed_descent import Mesh, OutOfTime, Search, Stage, chosen, coarse_mesh
from invdesign import DensitySpace
from invdesign.challenges import Challenge, challenge
from invdesign.export import feature_sizes
from invdesign.spaces.border import Border
from physics.devices import PortDevice
from physics.devices.challenges import CHALLENGES

# Radius of the filter in um, least width and spacing in pixels: full resolution.
FULL = {
    "waveguide_bend": (0.16, 9, 7),
    "beam_splitter": (0.16, 8, 8),
    "power_splitter": (0.16, 9, 8),
    "mode_converter": (0.14, 6, 6),
    "wdm": (0.16, 8, 8),
}
LIGHTWEIGHT = {name: (0.16 if name == "wdm" else 0.20, 3, 3) for name in CHALLENGES}
COARSE_UM = (0.04, 0.02)  # cells and pixels of the first stages at full resolution
CHECK_UM = 0.02  # cells on which a lightweight design must meet its windows too
UNCHECKED = ("wdm",)  # its bands lie as close as the dispersion of cells of 40 nm shifts them
# CPU seconds of the search; the rest of a quick run is for the start and the checks.
QUICK_SECONDS, QUICK_LARGE_SECONDS, LONG_SECONDS = 40.0, 12.0, 600.0
LONG_WDM_SECONDS = 9000.0
STARTS = 3, 6, 1  # lightweight, full, and full but quick; the best is gone on with


# Cells of 40 nm would shift the demultiplexer's bands into each other. It must come far inside its windows while its
# edges are grey, as rounding them to pixels and widths costs it 14 dB, which exchanges of pixels win back.
WDM_STAGES = (
    (
        Stage("power", 4.0, 1.0, 0.0, 150, (-3,)),
        Stage("db", 8.0, 2.0, 0.2, 100, (-3,)),
        Stage("db", 16.0, 1.4, 0.5, 100, (-3,)),
    ),
    (
        Stage("db", 32.0, 1.0, 0.5, 80, (-3,)),
        Stage("db", 64.0, 0.5, 0.5, 60, (-3,)),
        Stage("db", 64.0, 0.5, 0.5, 60, (-2,)),
        Stage("db", 64.0, 0.4, 10.0, 50),
        Stage("db", 96.0, 0.4, 20.0, 25),
        Stage("db", 128.0, 0.3, 30.0, 40),
        Stage("db", 192.0, 0.3, 40.0, 40),
        Stage("db", 256.0, 0.2, 60.0, 60),
        Stage("db", 512.0, 0.2, 60.0, 40),
    ),
)
EXCHANGED = 2500  # edge pixels of the full demultiplexer that exchanges are chosen among


def lightweight_stages(name: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """For all starts and for the best of them: first the powers, then the worst window at growing sharpness."""
    soft = 2.0 if name == "wdm" else 0.8
    rough = (
        Stage("power", 4.0, 1.0, 0.0, 60),
        Stage("db", 8.0, soft, 0.5, 60),
        Stage("db", 16.0, 0.7 * soft, 1.0, 60),
    )
    both = (-1,) if name in UNCHECKED else (-1, -2)
    last = (
        Stage("db", 32.0, 0.5 * soft, 1.0, 40),
        Stage("db", 64.0, 0.3 * soft, 1.0, 40),
        Stage("db", 64.0, 0.3 * soft, 1.0, 25, both),
    )
    return rough, last


def full_stages(name: str) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """As above, on coarse meshes first, -4 and -3, then at some of the wavelengths, -2, and at all, -1."""
    if name == "wdm":
        return WDM_STAGES
    rough = (
        Stage("power", 4.0, 1.0, 0.0, 60, (-4,)),
        Stage("db", 8.0, 0.8, 0.5, 40, (-4,)),
        Stage("db", 16.0, 0.56, 1.0, 30, (-4,)),
    )
    last = (
        Stage("db", 32.0, 0.4, 1.0, 40, (-3,)),
        Stage("db", 64.0, 0.3, 2.0, 40, (-3,)),
        Stage("db", 64.0, 0.2, 1.0, 30, (-2,)),
        Stage("db", 128.0, 0.1, 1.0, 30, (-2,)),
        Stage("score", 128.0, 0.03, 0.2, 40),
        Stage("score", 256.0, 0.01, 0.1, 60),
    )
    return rough, last


def search(problem: Challenge, space: DensitySpace, quick: bool, seed: int, deadline: float) -> Search:
    """The best of a few starts is sharpened, and polished if small; again until time is up or, if quick, all is met."""
    device, name = problem.device, problem.name
    fine = Mesh(device, space)
    lightweight = device.pixel_um > 0.02
    checks: tuple[PortDevice, ...] = ()
    if lightweight:
        rough, last = lightweight_stages(name)
        meshes: tuple[Mesh, ...] = (fine,)
        if name not in UNCHECKED:
            checks = (replace(device, cells_um=(CHECK_UM,)),)
            meshes = (Mesh(checks[0], space), fine)
    else:
        rough, last = full_stages(name)
        few = tuple(device.wavelength_um[i] for i in ((0, 2, 3, 5) if name == "wdm" else (0, 3, 5)))
        coarsely = device.wavelength_um if name == "wdm" else few
        coarse = (coarse_mesh(problem, space, cell, coarsely) for cell in COARSE_UM)
        meshes = (*coarse, Mesh(replace(device, wavelength_um=few), space), fine)
    state = Search(problem, meshes, deadline, checks)
    alone = quick or (name == "wdm")  # whose starts are dear
    rng, ended, count = np.random.default_rng(seed), [state.best], STARTS[0 if lightweight else 1 + alone]
    try:
        while not (quick and min(ended, key=itemgetter(0))[0] < 0):
            state.best = (math.inf, np.zeros(0))
            starts = [state.descend(_theta(rng, meshes[0]), rough) for _ in range(count)]
            theta = min(starts, key=itemgetter(0))[1]
            if len(ended) > 1:
                state.check_time()
            state.descend(theta, last, "descent")
            if lightweight or name == "wdm":
                state.check_time()
                polish(state, state.best[1], "polished", None if lightweight else EXCHANGED)
            ended.append(state.best)
    except OutOfTime:
        pass
    state.best = min([*ended, state.best], key=itemgetter(0))
    return state


def _theta(rng: np.random.Generator, mesh: Mesh) -> Any:
    return np.clip(0.5 + 0.05 * rng.standard_normal(mesh.space.size), 0, 1)


def decibels(s: Any) -> list[list[float]]:
    """Levels in dB, ``ports x wavelengths``, as JSON."""
    return [[round(float(v), 4) for v in row] for row in 20 * np.log10(np.maximum(np.abs(s), 1e-8))]


def design_space(problem: Challenge) -> DensitySpace:
    """The problem's designs, with its symmetry, surroundings and least features."""
    device, lightweight = problem.device, problem.device.pixel_um > 0.02
    radius_um, width, spacing = (LIGHTWEIGHT if lightweight else FULL)[problem.name]
    return DensitySpace(
        device.design_shape,
        device.pixel_um,
        problem.symmetry,
        radius_um,
        border=Border.of(device),
        minimum_width_um=width * device.pixel_um,
        minimum_spacing_um=spacing * device.pixel_um,
    )


def judged(problem: Challenge, density: Any, checked: int) -> dict[str, Any]:
    """Prints the levels of a design and gives its figures; checked with the outside package at so many wavelengths."""
    device, some = problem.device, part(problem, max(checked, 1))
    s = device.simulate(density, 0)["s"]
    shared = s[:, chosen(problem, some.device)]
    outside, drift = None, None
    if checked:
        lightweight = device.pixel_um > 0.02
        model = ceviche_model(problem.name, lightweight=lightweight, wavelength_um=some.device.wavelength_um)
        outside = ceviche_scattering(model, density)
        drift = float(np.abs(np.abs(some.device.refined().simulate(density, 0)["s"]) - np.abs(shared)).max())
    sizes = feature_sizes(density, 1.0)
    table(problem, s, some, outside)
    return {
        "s_db": decibels(s),
        "s_db_ceviche": None if outside is None else decibels(outside),
        "checked_um": list(some.device.wavelength_um) if checked else [],
        "worst_violation_db": problem.violation_db({"s": s}),
        "worst_violation_db_ceviche": None if outside is None else some.violation_db({"s": outside}),
        "eval_metric": problem.eval_metric({"s": s}),
        "eval_metric_ceviche": None if outside is None else some.eval_metric({"s": outside}),
        "drift": drift,
        "min_width_px": sizes.min_width_um,
        "min_spacing_px": sizes.min_spacing_um,
    }


def part(problem: Challenge, count: int) -> Challenge:
    """The problem at so many of its wavelengths, spread over all of them."""
    known = problem.device.wavelength_um
    kept = np.unique(np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int))
    device = replace(problem.device, wavelength_um=tuple(known[i] for i in kept))
    return replace(problem, device=device, lower=problem.lower[:, kept], upper=problem.upper[:, kept])


def table(problem: Challenge, s: Any, some: Challenge, outside: Any) -> None:
    """Levels and windows, port by port; the outside package's at some of the wavelengths."""
    places = {index: k for k, index in enumerate(chosen(problem, some.device))}
    print(f"{'port':8s}{'um':>8s}{'dB':>10s}{'ceviche':>10s}   window / dB")
    for i, port in enumerate(problem.device.ports):
        for k, wavelength in enumerate(problem.device.wavelength_um):
            known = outside is not None and k in places
            theirs = f"{20 * np.log10(abs(outside[i, places[k]])):.3f}" if known else "-"
            low, high = (10 * np.log10(max(edge[i, k], 1e-12)) for edge in (problem.lower, problem.upper))
            bounds = f"{low:.2f}" if low > -100 else "", f"{high:.2f}" if high < 0 else ""
            level = f"{20 * np.log10(abs(s[i, k])):.3f}"
            print(f"{port.name:8s}{wavelength:8.3f}{level:>10s}{theirs:>10s}   {bounds[0]:>7s} .. {bounds[1]}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=CHALLENGES, required=True)
    parser.add_argument("--lightweight", action="store_true", help="pixels and cells of 40 nm instead of 10 nm")
    parser.add_argument("--quick", action="store_true", help="at most some 45 CPU seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="CPU time of the search instead of the standard one")
    parser.add_argument("--checked", type=int, default=6, help="wavelengths for the outside package and finer mesh")
    parser.add_argument("--check", type=Path, help="a density, as .npy, that is checked instead of designing one")
    parser.add_argument("--out", type=Path, help="where the binarised density goes, as .npy of 0 and 1")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began, cpu = time.monotonic(), time.process_time()
    problem = challenge(given.problem, lightweight=given.lightweight, threads=1)
    shape, pixel_um = problem.device.design_shape, problem.device.pixel_um
    print(f"{given.problem}, {shape[0]} x {shape[1]} pixels of {1000 * pixel_um:g} nm")
    spent: dict[str, Any] = {}
    if given.check is not None:
        density = np.load(given.check, allow_pickle=False).astype(float)
    else:
        large = given.problem == "wdm" and not given.lightweight
        quickly, long = (QUICK_LARGE_SECONDS, LONG_WDM_SECONDS) if large else (QUICK_SECONDS, LONG_SECONDS)
        seconds = given.seconds or (quickly if given.quick else long)
        state = search(problem, design_space(problem), given.quick, given.seed, cpu + seconds)
        density = state.best[1]
        spent = {"solves": state.solves, "cpu_seconds": round(time.process_time() - cpu, 1)}
        if given.out is not None:
            np.save(given.out, density.astype(np.uint8))
    hurried = given.quick and not given.lightweight
    found = judged(problem, density, 0 if hurried else given.checked)
    head = {"problem": given.problem, "lightweight": given.lightweight, "seed": given.seed}
    print(json.dumps(head | found | spent | {"wall_seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
