"""A coating that hides a silicon rod over a band, designed with adjoint gradients: how much less the rod then scatters.

    python -m benchmarks.cloak [--quick] [--seed N] [--figure PATH]

The problem is that of examples/cloak.py. The bare rod is compared with the series for a cylinder (Bohren and Huffman,
section 8.4); the binarised design is measured at the reference, at half its cells, and between the wavelengths for
which it was designed. Without --quick there is more time and a second problem, two directions of incidence at once.
Seconds are CPU seconds of this process. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from scipy.special import h1vp, hankel1, jv, jvp

from examples import cloak as example
from invdesign import Budget, Problem, Result, adjoint, low_fidelity, run
from invdesign.export import feature_sizes
from physics.base import Array
from physics.devices.open.library import cloak
from physics.devices.open.scattering import ScatteringDevice

WIDTH = "scattering_width_um"


def series_width_um(wavelength_um: float, radius_um: float, permittivity: float) -> float:
    """Scattering width of a lossless cylinder in air, E along its axis (Bohren and Huffman, eqs. 8.30 and 8.36)."""
    k, m, n = 2 * np.pi / wavelength_um, np.sqrt(permittivity), np.arange(-20, 21)
    x = k * radius_um
    above = jv(n, m * x) * jvp(n, x) - m * jvp(n, m * x) * jv(n, x)
    below = jv(n, m * x) * h1vp(n, x) - m * jvp(n, m * x) * hankel1(n, x)
    return float(4 / k * (np.abs(above / below) ** 2).sum())


def design(problem: Problem, quick: bool, seed: int, cpu_seconds: float) -> Result:
    """The product's own loop: a descent on the coarse mesh, or one on the reference."""
    stages = {"betas": (8.0, 16.0, 64.0), "evaluations": 45 if quick else 80, "start": example.start}
    strategy = low_fidelity(**stages, starts=1) if quick else adjoint(**stages)
    return run(problem, strategy, budget=Budget(cpu_seconds=cpu_seconds), seed=seed)


def measured(result: Result, simulator: ScatteringDevice) -> dict[str, Any]:
    """Widths (mean over angles), a wavelength each, and what they come to."""
    best, check = result.best, result.check
    if best is None or check is None:
        raise RuntimeError("Expected a verified design and its check. Got none; raise the budget.")
    level = len(simulator.cells_um) - 1
    bare = simulator.simulate(example.bare, level)[WIDTH]
    cloaked, fine = np.asarray(best.response[WIDTH]), np.asarray(check.response[WIDTH])
    fine_bare = simulator.refined().simulate(example.bare, 0)[WIDTH]
    sizes = feature_sizes(best.design, simulator.pixel_um)
    return {
        "angle_deg": list(simulator.angle_deg),
        "wavelength_um": list(simulator.wavelength_um),
        "bare_width_um": bare.mean(0).tolist(),
        "cloaked_width_um": cloaked.mean(0).tolist(),
        "cloaked_width_half_cells_um": fine.mean(0).tolist(),
        "ratio": float(cloaked.mean() / bare.mean()),
        "ratio_half_cells": float(fine.mean() / fine_bare.mean()),
        "worst_ratio": float((cloaked / bare).max()),
        "reference": simulator.fidelities[level].name,
        "refined": check.fidelity,
        "min_width_um": sizes.min_width_um,
        "min_spacing_um": sizes.min_spacing_um,
        "binary": bool(np.isin(best.design, (0.0, 1.0)).all()),
        "solves": dict(result.costs.solves_by_fidelity),
        "design_cpu_seconds": result.costs.cpu_seconds,
    }


def table(found: dict[str, Any], exact: list[float]) -> None:
    """One line a wavelength."""
    print(
        f"angles {found['angle_deg']}\n{'wavelength um':>14} {'series um':>10} {'bare um':>9} {'cloaked um':>11} "
        f"{'half cells':>11} {'ratio':>7}"
    )
    for row in zip(
        found["wavelength_um"], exact, found["bare_width_um"], found["cloaked_width_um"],
        found["cloaked_width_half_cells_um"], strict=True,
    ):  # fmt: skip
        print("{:>14.4f} {:>10.4f} {:>9.4f} {:>11.4f} {:>11.4f} {:>7.3f}".format(*row, row[3] / row[2]))
    print(
        f"over the band {found['ratio']:.4f}, at half the cells {found['ratio_half_cells']:.4f}; widths of at least "
        f"{found['min_width_um']:.2f} um, spacings {found['min_spacing_um']:.2f} um"
    )


def picture(design_of: Array, simulator: ScatteringDevice, path: Path) -> None:
    """The coating, the field with and without it, and the widths over a wider band."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    first, last = simulator.wavelength_um[0], simulator.wavelength_um[-1]
    wide = np.linspace(first - 0.4 * (last - first), last + 0.4 * (last - first), 19)
    spectrum = replace(simulator, wavelength_um=tuple(wide), cells_um=simulator.cells_um[:1])
    middle = replace(simulator, wavelength_um=((first + last) / 2,), cells_um=simulator.cells_um[:1])
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    half = simulator.size_um[0] / 2
    around = np.linspace(0, 2 * np.pi, 200)
    radius = simulator.frozen[0].bounds_um[0][1]
    for ax in axes[:3]:
        ax.plot(radius * np.cos(around), radius * np.sin(around), "k", lw=1)
        ax.set(xlabel="x (um)", ylabel="y (um)", aspect="equal")
    axes[0].imshow(design_of.T, origin="lower", extent=(-half, half, -half, half), cmap="Greys")
    axes[0].set_title("coating")
    for ax, one, title in ((axes[1], example.bare, "bare, Re field"), (axes[2], design_of, "cloaked, Re field")):
        seen = middle.fields(one, 0)
        values = next(iter(seen.values.values()))[0]
        extent = (seen.x_um[0], seen.x_um[-1], seen.y_um[0], seen.y_um[-1])
        ax.imshow(values.real.T, origin="lower", extent=extent, cmap="RdBu", vmin=-2, vmax=2)
        ax.set(title=title, xlim=(-half - 0.3, half + 0.3), ylim=(-half - 0.3, half + 0.3))
    for one, label in ((example.bare, "bare"), (design_of, "cloaked")):
        axes[3].semilogy(wide, spectrum.simulate(one, 0)[WIDTH].mean(0), label=label)
    axes[3].axvspan(first, last, color="0.9", zorder=0)
    axes[3].set(xlabel="wavelength (um)", ylabel="scattering width (um)")
    axes[3].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def measure(quick: bool, seed: int, figure: Path) -> dict[str, Any]:
    """Designs, verifies, tabulates and draws."""
    began = time.process_time()
    problem, simulator = example.problem, example.simulator
    (rod,) = simulator.frozen
    result = design(problem, quick, seed, 9 if quick else 150)
    found = measured(result, simulator)
    exact = [series_width_um(w, rod.bounds_um[0][1], float(rod.permittivity)) for w in simulator.wavelength_um]
    table(found, exact)
    found |= {"benchmark": "cloak", "quick": quick, "seed": seed, "series_width_um": exact}
    found["series_error"] = float(np.abs(np.array(found["bare_width_um"]) / exact - 1).max())
    assert result.best is not None
    picture(result.best.design, simulator, figure)
    if not quick:
        both = cloak(simulator.wavelength_um, angle_deg=(0.0, 45.0))
        space = replace(problem.space, symmetry=("mirror_x", "mirror_y", "diagonal"))  # type: ignore[type-var]
        second = measured(design(replace(problem, space=space, simulator=both), quick, seed, 250), both)
        table(second, exact)
        found["two_angles"] = second
    found |= {
        "figure": str(figure),
        "cpu_seconds": time.process_time() - began,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return found


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short descent on the coarse mesh")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("runs/cloak.png"))
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.quick, arguments.seed, arguments.figure)))


if __name__ == "__main__":
    main()
