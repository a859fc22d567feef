"""Molecular dynamics of graphene against what is published, and how sound its numbers are.

    python -m benchmarks.graphene_md [--quick] [--only SECTION ...] [--potential tersoff|rebo|airebo] [--jobs N]

Sections, each printed when it ends:

crystal      stress at rest of the endless crystal along its armchair direction, with the ranges in which the files end
             bonds and with ours; a rise beyond a strain of 0.18 is an artefact.
pristine     the small sheet without cuts: modulus, strength, strain at yield. Published: about 1 TPa and 130 GPa
             (experiment; Lee et al., Science 321, 385 (2008)); AIREBO at 300 K, armchair: 1.01 TPa, 90 GPa, 0.13 (Zhao,
             Min and Aluru, Nano Lett. 9, 3012 (2009)); first principles, armchair: 110 GPa at 0.19 (Liu, Ming and Li,
             Phys. Rev. B 76, 064120 (2007)).
grips        differences between the two grips' forces, sheet without cuts and serpentine.
drag         stress that a bath along the load adds at small strain.
seeds        scatter of the quantities over seeds, serpentine.
rate         five patterns at a tenth of the rate: changes in yield, which should be below 5 %.
timestep     the same with steps twice as long.
size         the same sheets with all lengths doubled.
temperature  the same at 300 K.
hanakata     three rows of the published data set on the full sheet of 10,880 atoms (Hanakata et al., Phys. Rev. Lett.
             121, 255304 (2018)).

The quick form takes the first five with the cheapest potential at five times the rate, some 45 CPU seconds. The others
take hours; they can be run piece by piece with ``--only``. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from physics.base import Array, MissingSoftware
from physics.kirigami.md import Curve, MdSettings, lammps, quantities, run_md
from physics.kirigami.md.settings import BOND_ANGSTROM, SHIPPED_ANGSTROM, SOUND_ANGSTROM
from physics.kirigami.md.simulator import ATOM_STEP_SECONDS
from physics.kirigami.sheet import Sheet, hanakata_sheet, small_graphene_sheet
from physics.worker import borrow

PATTERNS = {
    "whole": np.ones((3, 5)),
    "serpentine": np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1.0]]),
}
RATED = ("101100110111001", "010101010101010", "011110001011111", "000011000000001")
# Pattern -> yield strain, toughness and strength as published.
PUBLISHED = {
    "111111000011100": (0.333835, 6.5068, 30.907),
    "001101001111010": (0.438874, 11.3276, 39.040),
    "011110001011111": (0.253778, 5.3783, 36.377),
}
ORDERS: tuple[Literal["C", "F"], ...] = ("C", "F")
SMALL = small_graphene_sheet()
SCALARS = ("modulus", "yield_strain", "strength", "toughness", "rupture_strain")
NAMES = ("crystal", "pristine", "grips", "drag", "seeds", "rate", "timestep", "size", "temperature", "hanakata")
QUICK = NAMES[:5]


@dataclass(frozen=True)
class Job:
    """One pull."""

    pattern: str
    settings: MdSettings
    seed: int = 0
    sheet: Sheet = SMALL
    order: Literal["C", "F"] = "C"

    @property
    def design(self) -> Array:
        """The pattern's cells."""
        if self.pattern in PATTERNS:
            return PATTERNS[self.pattern]
        return np.array([float(c) for c in self.pattern]).reshape((3, 5), order=self.order)

    def run(self) -> Curve:
        """Its curve, pulled once."""
        return _pulled(self)


@functools.cache
def _pulled(job: Job) -> Curve:
    return run_md(job.design, job.sheet, job.settings, job.seed)


@dataclass(frozen=True)
class Bench:
    """Where pulls are run, and with which potential."""

    potential: str
    quick: bool
    pool: ThreadPoolExecutor

    @property
    def settings(self) -> MdSettings:
        """The protocol that the sections vary; faster than it should be in the quick form."""
        return MdSettings(self.potential, rate_per_ps=0.05) if self.quick else MdSettings(self.potential)

    def run(self, jobs: list[Job]) -> list[Curve]:
        """Their curves, in order."""
        return list(self.pool.map(Job.run, jobs))

    def scalars(self, jobs: list[Job]) -> list[dict[str, float]]:
        """Their quantities but for the curve."""
        return [{name: float(quantities(curve)[name]) for name in SCALARS} for curve in self.run(jobs)]

    def compared(self, base: list[Job], changed: list[Job]) -> dict[str, Any]:
        """Quantities of the jobs before and after a change, and the relative changes."""
        found = self.scalars(base + changed)
        result = {}
        for job, before, after in zip(base, found[: len(base)], found[len(base) :], strict=True):
            relative = {name: after[name] / before[name] - 1 for name in SCALARS}
            result[job.pattern] = {"before": before, "after": after, "relative": relative}
            told = ", ".join(f"{name} {before[name]:.4g} -> {after[name]:.4g}" for name in SCALARS[:3])
            print(f"  {job.pattern:12} {told}", flush=True)
        return result


def crystal(bench: Bench) -> dict[str, Any]:
    """The crystal's stress at a few strains, and its modulus."""
    strain = np.array([0.005, 0.1, 0.18, 0.24])
    result: dict[str, Any] = {}
    for potential in ("tersoff", "rebo") if bench.quick else BOND_ANGSTROM:
        for name, ranges in (("shipped", SHIPPED_ANGSTROM), ("sound", SOUND_ANGSTROM)):
            with borrow(lammps().program) as worker:
                stress = worker.call(
                    "stretched",
                    {"strain": strain},
                    potential=potential,
                    bond_range_angstrom=ranges[potential],
                    bond_angstrom=BOND_ANGSTROM[potential],
                    thickness_angstrom=SMALL.thickness_angstrom,
                ).arrays["stress"]
            row = {f"gpa_at_{e:g}": float(s) for e, s in zip(strain[1:], stress[1:], strict=True)}
            result.setdefault(potential, {})[name] = {"modulus_gpa": float(stress[0] / strain[0])} | row
            told = ", ".join(f"{s:.1f} at {e:g}" for e, s in zip(strain[1:], stress[1:], strict=True))
            print(f"  {potential:8} {name:8} modulus {stress[0] / strain[0]:.0f} GPa; {told}", flush=True)
    return result


def pristine(bench: Bench) -> dict[str, Any]:
    """The sheet without cuts."""
    potentials = ("tersoff",) if bench.quick else tuple(BOND_ANGSTROM)
    found = bench.scalars([Job("whole", replace(bench.settings, potential=potential)) for potential in potentials])
    for potential, row in zip(potentials, found, strict=True):
        print(f"  {potential:8} " + ", ".join(f"{name} {row[name]:.4g}" for name in SCALARS))
    return dict(zip(potentials, found, strict=True))


def grips(bench: Bench) -> dict[str, Any]:
    """Differences of the grips' forces, over the root mean square stress before rupture."""
    result = {}
    for job, curve in zip(jobs := both(bench.settings), bench.run(jobs), strict=True):
        alive = curve.strain < curve.rupture_strain
        scale = np.sqrt(np.mean(curve.stress_gpa[alive] ** 2))
        apart = (curve.left_gpa - curve.right_gpa)[alive] / scale
        result[job.pattern] = {"mean": float(apart.mean()), "rms": float(np.sqrt(np.mean(apart**2)))}
        print(f"  {job.pattern:12} mean {result[job.pattern]['mean']:+.4f}, rms {result[job.pattern]['rms']:.4f}")
    return result


def drag(bench: Bench) -> dict[str, Any]:
    """Stress added by a bath along the load, mean over strains up to 0.1."""
    settings = replace(bench.settings, strain_max=0.1)
    jobs = [Job("serpentine", replace(settings, thermostat=axes), seed) for axes in ("yz", "xyz") for seed in range(2)]
    levels = [float(curve.stress_gpa.mean()) for curve in bench.run(jobs)]
    across, along = np.mean(levels[:2]), np.mean(levels[2:])
    print(f"  serpentine: {across:.2f} GPa with the bath across the load, {along:.2f} GPa with it along the load too")
    return {"across_gpa": float(across), "along_gpa": float(along), "drag_gpa": float(along - across)}


def seeds(bench: Bench) -> dict[str, Any]:
    """Mean and standard deviation over seeds."""
    count = 2 if bench.quick else 10
    found = bench.scalars([Job("serpentine", bench.settings, seed) for seed in range(count)])
    result = {}
    for name in SCALARS:
        values = np.array([row[name] for row in found])
        result[name] = {"mean": float(values.mean()), "std": float(values.std(ddof=1))}
        print(f"  {name:15} {values.mean():9.4g} +- {values.std(ddof=1):.2g} over {count} seeds")
    return result


def both(settings: MdSettings, seed: int = 0, sheet: Sheet | None = None) -> list[Job]:
    """The sheet without cuts and the serpentine."""
    return [Job(pattern, settings, seed, sheet or SMALL) for pattern in PATTERNS]


def rate(bench: Bench) -> dict[str, Any]:
    """A tenth of the rate, on five patterns, in steps of 2 fs as the data set of labels was made."""
    settings = replace(bench.settings, timestep_ps=0.002, strain_step=0.005, strain_max=0.8)
    slow = replace(settings, rate_per_ps=settings.rate_per_ps / 10)
    patterns = ("whole", *RATED)
    return bench.compared([Job(p, settings) for p in patterns], [Job(p, slow) for p in patterns])


def timestep(bench: Bench) -> dict[str, Any]:
    """Steps twice as long."""
    settings = replace(bench.settings, strain_max=1.2, rate_per_ps=0.02)
    long = replace(settings, timestep_ps=0.002)
    patterns = ("whole", "serpentine", *RATED[:2])
    return bench.compared([Job(p, settings) for p in patterns], [Job(p, long) for p in patterns])


def size(bench: Bench) -> dict[str, Any]:
    """All lengths doubled; a cut takes two of eight rows."""
    x, y = SMALL.cell_angstrom
    large = replace(SMALL, cell_angstrom=(2 * x, 2 * y), grip_angstrom=2 * SMALL.grip_angstrom)
    return bench.compared(both(bench.settings), both(bench.settings, sheet=large))


def temperature(bench: Bench) -> dict[str, Any]:
    """At 300 K, after a longer equilibration."""
    warm = replace(bench.settings, temperature_k=300.0, equilibration_ps=5.0)
    return bench.compared(both(bench.settings), both(warm))


def hanakata(bench: Bench) -> dict[str, Any]:
    """The published rows on the full sheet, with their digits read row by row ("C") and column by column ("F").

    Beside each the stress in the narrowest row that the published strength means: no more than the crystal's can be.
    """
    sheet = hanakata_sheet()
    settings = replace(bench.settings, rate_per_ps=0.01, timestep_ps=0.002, strain_step=0.005, strain_max=0.6)
    jobs = [Job(code, settings, 0, sheet, order) for order in ORDERS for code in PUBLISHED]
    steps = 0.3 / settings.rate_per_ps / settings.timestep_ps
    hours = ATOM_STEP_SECONDS[bench.potential] * 10_000 * steps * len(jobs) / 3600
    print(f"  about {hours:.1f} CPU hours", flush=True)
    result: dict[str, Any] = {}
    for job, row in zip(jobs, bench.scalars(jobs), strict=True):
        wanted = dict(zip(("yield_strain", "toughness", "strength"), PUBLISHED[job.pattern], strict=True))
        narrowest = wanted["strength"] / float(job.design.mean(axis=1).min())
        result.setdefault(job.order, {})[job.pattern] = {
            "published": wanted,
            "found": row,
            "in_ligament_gpa": narrowest,
        }
        told = ", ".join(f"{k} {row[k]:.4g} (published {v:.4g})" for k, v in wanted.items())
        print(f"  {job.order} {job.pattern} {told}; published in the narrowest row {narrowest:.0f} GPa", flush=True)
    return result


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "crystal": crystal,
    "pristine": pristine,
    "grips": grips,
    "drag": drag,
    "seeds": seeds,
    "rate": rate,
    "timestep": timestep,
    "size": size,
    "temperature": temperature,
    "hanakata": hanakata,
}


def measure(bench: Bench, names: tuple[str, ...]) -> dict[str, Any]:
    """The sections, printed as they end."""
    result: dict[str, Any] = {
        "benchmark": "graphene_md",
        "quick": bench.quick,
        "potential": bench.potential,
        "lammps": lammps().version,
    }
    for name in names:
        print(f"{name} ({bench.potential})", flush=True)
        result[name] = SECTIONS[name](bench)
    return result


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Tersoff, the first five sections: some 50 CPU seconds")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="these sections alone")
    parser.add_argument("--potential", choices=tuple(BOND_ANGSTROM), help="of most sections; airebo unless quick")
    parser.add_argument("--jobs", type=int, default=1, help="pulls at once")
    given = parser.parse_args()
    potential = given.potential or ("tersoff" if given.quick else "airebo")
    names = tuple(given.only or (QUICK if given.quick else NAMES))
    try:
        with ThreadPoolExecutor(max(1, given.jobs)) as pool:
            print(json.dumps(measure(Bench(potential, given.quick, pool), names)))
    except MissingSoftware as error:
        parser.exit(1, f"This benchmark needs LAMMPS. {error}\n")


if __name__ == "__main__":
    main()
