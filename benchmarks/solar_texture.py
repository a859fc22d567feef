"""A texture that traps light in a thin film on a mirror, designed with adjoint gradients, against flat films and rays.

    python -m benchmarks.solar_texture [--quick] [--seed N] [--figure PATH]

The problem is that of examples/solar_texture.py: the absorption in a film of index 3.5, averaged over 0.75 to 0.855 um
and angles up to 30 degrees. Enhancements are over a single pass through as much film, flat. The binarised design is
measured as it was designed for at the reference and at half its cells, then at the reference on more wavelengths and on
other angles, for both polarisations; beside it stand flat films, random textures from the same space, and the ray limit
pi n of textures that vary along one axis. Seconds are CPU seconds of this process. The last line is one JSON object.
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

from examples import solar_texture as example
from invdesign import Budget, Result, adjoint, low_fidelity, run
from invdesign.export import feature_sizes
from invdesign.spaces.connectivity import floating_parts
from physics.base import Array
from physics.devices.open.library import enhancement, ray_limit, single_pass
from physics.devices.open.periodic import PeriodicDevice

INDEX = 3.5


def design(quick: bool, seed: int) -> Result:
    """The product's own loop: a descent on the coarse mesh, or several on the reference."""
    stages = {"betas": (4.0, 16.0, 64.0), "evaluations": 24 if quick else 50}
    strategy = low_fidelity(**stages, starts=1) if quick else adjoint(**stages)
    return run(example.problem, strategy, budget=Budget(cpu_seconds=12 if quick else 300), seed=seed)


def dense(polarization: str, quick: bool) -> PeriodicDevice:
    """The device at the reference, between the wavelengths and angles it was designed for."""
    device, finer = example.simulator, 2 if quick else 4
    few = device.wavelength_um
    wavelengths = np.interp(np.arange(finer * (len(few) - 1) + 1) / finer, np.arange(len(few)), few)
    angles = (7.5, 22.5) if quick else (3.0, 9.0, 15.0, 21.0, 27.0)
    return replace(
        device, wavelength_um=tuple(wavelengths), angle_deg=angles, cells_um=device.cells_um[-1:], orders=None,
        polarization=polarization,
    )  # fmt: skip


def enhanced(device: PeriodicDevice, one: Array) -> Array:
    """Enhancement, ``angle x wavelength``."""
    return enhancement(device, one, device.simulate(one, 0)["design_absorption"])


def flat_films(device: PeriodicDevice, step: int) -> list[Array]:
    """Flat films of 2 pixels to all of the thickness."""
    width, height = device.design_shape
    return [np.tile(np.arange(height) < rows, (width, 1)).astype(float) for rows in range(2, height + 1, step)]


def random_textures(seed: int, count: int) -> list[Array]:
    """Binarised random members of the design space."""
    space, rng = example.problem.space, np.random.default_rng([seed, 1])
    return [space.at(16.0).binarize(rng.random(space.size)) for _ in range(count)]


def measured(result: Result, quick: bool, seed: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Figures, and spectra (mean over angles) for the picture."""
    best, coarse = result.best, example.simulator
    if best is None or result.check is None:
        raise RuntimeError("Expected a verified design and its check. Got none; raise the budget.")
    found: dict[str, Any] = {}
    one, spectra = best.design, {}
    depth = float(one.mean())
    for polarization in ("Ez", "Hz"):
        device = dense(polarization, quick)
        flats = flat_films(device, 3 if quick else 1)
        alike = min(flat_films(device, 1), key=lambda flat: abs(flat.mean() - depth))
        textured, flat = enhanced(device, one), enhanced(device, alike)
        found[polarization] = {
            "enhancement": float(textured.mean()),
            "flat_same_depth": float(flat.mean()),
            "flat_best": max(float(enhanced(device, each).mean()) for each in (alike, *flats)),
            "random": [float(enhanced(device, each).mean()) for each in random_textures(seed, 3 if quick else 12)],
        }
        spectra |= {f"textured, {polarization}": textured.mean(0), f"flat, {polarization}": flat.mean(0)}
    passes = single_pass(coarse, coarse.thickness_um * depth)
    space = example.problem.space
    sizes = feature_sizes(one, coarse.pixel_um, border=space.border, periodic=(True, False))
    periodic, border = (True, False), example.problem.space.border
    found |= {
        "designed_for": coarse.polarization,
        "sampled": float(enhancement(coarse, one, best.response["design_absorption"]).mean()),
        "sampled_half_cells": float(enhancement(coarse, one, result.check.response["design_absorption"]).mean()),
        "ray_limit_pi_n": float(ray_limit(INDEX, 0.0)),
        "ray_limit_at_this_absorption": float(np.mean(ray_limit(INDEX, passes))),
        "ray_limit_two_axes_4n2": float(ray_limit(INDEX, 0.0, axes=2)),
        "mean_depth_um": coarse.thickness_um * depth,
        "single_pass": float(passes.mean()),
        "min_width_um": sizes.min_width_um,
        "min_spacing_um": sizes.min_spacing_um,
        "floating_pixels": int(floating_parts(one, border, periodic).sum()),
        "solves": dict(result.costs.solves_by_fidelity),
    }
    return found, spectra


def table(found: dict[str, Any]) -> None:
    """A line a film."""
    print(f"{'enhancement over a single pass':>34} {'Ez':>8} {'Hz':>8} {'mean':>8}")
    rows = {
        "textured": "enhancement",
        "flat, as much film": "flat_same_depth",
        "best flat of any depth": "flat_best",
    }
    for label, name in rows.items():
        pair = [found[p][name] for p in ("Ez", "Hz")]
        print(f"{label:>34} {pair[0]:8.2f} {pair[1]:8.2f} {np.mean(pair):8.2f}")
    pair = [float(np.mean(found[p]["random"])) for p in ("Ez", "Hz")]
    print(f"{'random textures, mean':>34} {pair[0]:8.2f} {pair[1]:8.2f} {np.mean(pair):8.2f}")
    print(f"as sampled in the design {found['sampled']:.2f}, at half the cells {found['sampled_half_cells']:.2f}")
    at_this = found["ray_limit_at_this_absorption"]
    print(f"{'rays, pi n':>34} {found['ray_limit_pi_n']:8.2f}; at this absorption {at_this:.2f}")
    print(
        f"film {found['mean_depth_um']:.3f} um on average, single pass {found['single_pass']:.4f}; widths of at least "
        f"{found['min_width_um']:.3f} um, spacings {found['min_spacing_um']:.3f} um, "
        f"{found['floating_pixels']} floating pixels"
    )


def picture(one: Array, found: dict[str, Any], spectra: dict[str, Array], path: Path) -> None:
    """The texture, the field in it, and enhancements over wavelength with the ray limit."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    device = example.simulator
    half, low = device.period_um / 2, -device.thickness_um / 2
    figure, axes = plt.subplots(1, 3, figsize=(14, 3.6), layout="constrained", width_ratios=(1, 1, 1.3))
    tiled = np.tile(one, (3, 1))
    axes[0].imshow(tiled.T, origin="lower", extent=(-3 * half, 3 * half, low, -low), cmap="Greys")
    axes[0].set(title="three periods of film, on the mirror", xlabel="x (um)", ylabel="y (um)")
    seen = replace(device, wavelength_um=device.wavelength_um[len(device.wavelength_um) // 2 :][:1], angle_deg=(0.0,))
    shown = seen.fields(one, 0)
    rows = np.abs(shown.y_um) < 0.3
    values = np.abs(next(iter(shown.values.values()))[0][:, rows])
    extent = (-half, half, shown.y_um[rows][0], shown.y_um[rows][-1])
    axes[1].imshow(values.T, origin="lower", extent=extent, cmap="magma")
    axes[1].set(title=f"|{device.polarization}| at {seen.wavelength_um[0]:.2f} um", xlabel="x (um)", ylabel="y (um)")
    for name, curve in spectra.items():
        axes[2].plot(
            np.linspace(device.wavelength_um[0], device.wavelength_um[-1], len(curve)),
            curve,
            "-" if "textured" in name else "--",
            label=name,
        )
    axes[2].axhline(found["ray_limit_pi_n"], color="k", lw=1, label="rays, pi n (texture along one axis)")
    axes[2].axhline(found["ray_limit_at_this_absorption"], color="k", lw=1, ls=":", label="rays, at this absorption")
    axes[2].set(xlabel="wavelength (um)", ylabel="enhancement, mean over angles")
    axes[2].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def measure(quick: bool, seed: int, figure: Path) -> dict[str, Any]:
    """Designs, verifies, tabulates and draws."""
    began = time.process_time()
    result = design(quick, seed)
    found, spectra = measured(result, quick, seed)
    table(found)
    assert result.best is not None
    picture(result.best.design, found, spectra, figure)
    return {
        "benchmark": "solar_texture",
        "quick": quick,
        "seed": seed,
        **found,
        "figure": str(figure),
        "cpu_seconds": time.process_time() - began,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short descent on the coarse mesh")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("runs/solar_texture.png"))
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.quick, arguments.seed, arguments.figure)))


if __name__ == "__main__":
    main()
