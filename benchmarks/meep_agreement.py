"""FDFD and MIT Meep on the same devices: transmissions, gradients, seconds, and Meep's adjoint against differences.

    python -m benchmarks.meep_agreement [--quick]

A bend and a splitter, each with a drawn and blurred design, a half-optimised grey one and an optimised, binarised one.
At matched cells (FDFD 40 nm, Meep 50 nm) and at finer ones (FDFD 10 nm, Meep 25 nm): the largest difference in
transmission over ports and wavelengths, and the cosine between the two gradients of -mean(transmission) in pixels of
20 nm. The headline figures are those of the smooth designs at the finer cells. Binarised ones are told apart: their
edges are staircases of pixels smaller than Meep's cells, and at an optimum the gradient is small and what is left of it
is mostly error. The full form adds Hz, and halves Meep's cells once more on one device.

Central differences check Meep's adjoint at 50 nm along its own gradient plus, as strong, a smooth random texture.
Seconds are CPU seconds, Meep's process included, of one design at all wavelengths: the response alone ("forward"), and
with its gradient ("gradient"). The set-up that designs share is left out. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from benchmarks.agreement_designs import SMOOTH, Real, designs, minus_mean_transmission
from physics.base import MissingSoftware, Response
from physics.devices import PortDevice, beam_splitter, waveguide_bend
from physics.meep import MeepLadder, meep
from physics.worker import foreign_cpu_seconds

FDFD_UM, MEEP_UM, FINEST_UM = (0.04, 0.02, 0.01), (0.05, 0.025), 0.0125
FINEST = "meep-2d-12.5nm"
PAIRS = {"matched": ("fdfd-40nm", "meep-2d-50nm"), "finer": ("fdfd-10nm", "meep-2d-25nm")}
FD_STEP = 0.01  # largest change of a pixel
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """A device, the symmetry of its designs, and whether Meep's cells are halved once more."""

    name: str
    device: PortDevice
    symmetry: str
    finest: bool = False

    @property
    def ladder(self) -> MeepLadder:
        """FDFD's levels, then Meep's."""
        return MeepLadder(self.device, cells_um=(*MEEP_UM, FINEST_UM) if self.finest else MEEP_UM)


@dataclass
class Spent:
    """CPU seconds: level -> "forward" or "gradient" -> one a call."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def timed(self, level: str, kind: str, call: Callable[[], T]) -> T:
        """What the call gives."""
        began = time.process_time() + foreign_cpu_seconds()
        answer = call()
        self.seconds.setdefault(level, {}).setdefault(kind, []).append(
            time.process_time() + foreign_cpu_seconds() - began
        )
        return answer

    def medians(self) -> dict[str, dict[str, float]]:
        """Of all calls of a kind."""
        return {
            level: {kind: round(statistics.median(values), 3) for kind, values in kinds.items()}
            for level, kinds in self.seconds.items()
        }


def cases(quick: bool) -> Iterator[Case]:
    """Small devices at two wavelengths in Ez, or those of usual size at three in both polarisations."""
    for polarization in ("Ez",) if quick else ("Ez", "Hz"):
        common: dict[str, Any] = {"cells_um": FDFD_UM, "polarization": polarization, "threads": 1}
        if quick:
            common["wavelength_um"] = (1.53, 1.57)
        yield Case(
            f"bend, {polarization}",
            waveguide_bend(design_um=1.6, **common),
            "diagonal",
            finest=not quick and polarization == "Ez",
        )
        if quick:
            splitter = beam_splitter(design_um=(1.6, 1.8), separation_um=1.1, **common)
        else:
            splitter = beam_splitter(**common)
        yield Case(f"splitter, {polarization}", splitter, "mirror_y")


def compared(case: Case, name: str, density: Real, spent: Spent) -> dict[str, Any]:
    """One design on all levels, and the differences of each pair of them."""
    ladder = case.ladder
    answers: dict[str, Response] = {}
    gradients: dict[str, Real] = {}
    for level, fidelity in enumerate(ladder.fidelities):
        ladder.prepare(level)
        simulate = partial(ladder.simulate, density, level)
        if fidelity.name == FINEST:
            answers[FINEST] = spent.timed(FINEST, "forward", simulate)
            continue
        if "forward" not in spent.seconds.get(fidelity.name, {}):
            spent.timed(fidelity.name, "forward", simulate)
        both = partial(ladder.vjp, density, level, minus_mean_transmission)
        answers[fidelity.name], gradients[fidelity.name] = spent.timed(fidelity.name, "gradient", both)
    found: dict[str, Any] = {
        "smooth": name in SMOOTH,
        "transmission": {level: response["transmission"].round(5).tolist() for level, response in answers.items()},
    }
    for pair, (ours, theirs) in PAIRS.items():
        found[pair] = {
            "transmission_difference": difference(answers[ours], answers[theirs], "transmission"),
            "s_difference": difference(answers[ours], answers[theirs], "s"),
            "gradient_cosine": cosine(gradients[ours], gradients[theirs]),
            "gradient_norms": [float(np.linalg.norm(gradients[level])) for level in (ours, theirs)],
        }
    if case.finest:
        theirs_by_cell = [answers[name] for name in (*(pair[1] for pair in PAIRS.values()), FINEST)]
        found["finest"] = convergence(theirs_by_cell, answers[PAIRS["finer"][0]])
    return found


def difference(one: Response, other: Response, quantity: str) -> float:
    """The largest over ports and wavelengths."""
    return float(np.abs(one[quantity] - other[quantity]).max())


def cosine(one: Real, other: Real) -> float:
    """Of the angle between two gradients."""
    return float(np.vdot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))


def convergence(responses: list[Response], ours: Response) -> dict[str, Any]:
    """Differences from our transmission at Meep's cells of h, h/2 and h/4, and of T in T + C h^2 by the last two."""
    values = [np.asarray(response["transmission"]) for response in responses]
    extrapolated = values[2] + (values[2] - values[1]) / 3
    return {
        "transmission_differences": [float(np.abs(value - ours["transmission"]).max()) for value in values],
        "extrapolated_difference": float(np.abs(extrapolated - ours["transmission"]).max()),
    }


def fd_check(case: Case, density: Real, directions: int) -> list[dict[str, float]]:
    """Slopes of -mean(transmission) by central differences and by Meep's adjoint, on Meep's coarsest mesh.

    The density is first moved into [0.05, 0.95], so that it may change both ways everywhere.
    """
    ladder, level = case.ladder, len(case.device.fidelities)
    base, rng = 0.05 + 0.9 * density, np.random.default_rng(0)
    _, gradient = ladder.vjp(base, level, minus_mean_transmission)

    def loss(values: Real) -> float:
        return -float(ladder.simulate(values, level)["transmission"].mean())

    rows = []
    for texture in case.device.example_designs(rng, 2 * directions)[::2]:
        direction = gradient / np.linalg.norm(gradient)
        texture = texture - texture.mean()
        direction = direction + texture / np.linalg.norm(texture)
        step = FD_STEP * direction / np.abs(direction).max()
        measured, predicted = loss(base + step) - loss(base - step), 2 * float(np.vdot(gradient, step))
        rows.append({"difference": measured, "adjoint": predicted, "error": abs(predicted / measured - 1)})
    return rows


def measure(quick: bool) -> dict[str, Any]:
    """All cases, printed as they come."""
    version = str(meep(gradients=True).version)
    details: dict[str, Any] = {}
    seconds: dict[str, Any] = {}
    checks: dict[str, Any] = {}
    print(f"MIT Meep {version}; largest difference in transmission and cosine of the gradients")
    print(f"{'device':14}{'design':16}{'T, FDFD 10 nm':>15}", *(f"{f'{a} / {b}':>26}" for a, b in PAIRS.values()))
    for case in list(cases(quick)):
        spent = Spent()
        drawn = designs(case.device, case.symmetry)
        for name, density in drawn.items():
            found = details.setdefault(case.name, {})[name] = compared(case, name, density, spent)
            figures = (f"{found[p]['transmission_difference']:10.4f}{found[p]['gradient_cosine']:16.4f}" for p in PAIRS)
            print(
                f"{case.name:14}{name:16}{np.mean(found['transmission'][PAIRS['finer'][0]]):15.4f}",
                *figures,
                flush=True,
            )
            if "finest" in found:
                far = found["finest"]
                steps = ", ".join(f"{value:.4f}" for value in far["transmission_differences"])
                print(
                    f"{'':14}differences from FDFD 10 nm at Meep's 50, 25, 12.5 nm: {steps}; "
                    f"extrapolated {far['extrapolated_difference']:.4f}",
                    flush=True,
                )
        seconds[case.name] = spent.medians()
        checks[case.name] = fd_check(case, drawn["half-optimised"], 2 if quick else 6)
        worst = max(row["error"] for row in checks[case.name])
        print(f"{'':14}Meep's adjoint at 50 nm against central differences: {worst:.2e} at most", flush=True)
    print(f"\nCPU seconds{'':4}" + "".join(f"{name:>24}" for name in seconds) + "   forward, gradient")
    for level in next(iter(seconds.values())):
        pairs = [of.get(level, {}) for of in seconds.values()]
        texts = (
            f"{p['forward']:.3f}, {p['gradient']:.3f}" if "gradient" in p else f"{p.get('forward', '')}" for p in pairs
        )
        print(f"{level:15}" + "".join(f"{text:>24}" for text in texts))
    rows = [row for of in details.values() for row in of.values()]
    smooth = [row for row in rows if row["smooth"]]
    binary = [row for row in rows if not row["smooth"]]
    return {
        "benchmark": "meep_agreement",
        "quick": quick,
        "meep": version,
        "max_transmission_difference": max(row["finer"]["transmission_difference"] for row in smooth),
        "min_gradient_cosine": min(row["finer"]["gradient_cosine"] for row in smooth),
        "max_transmission_difference_binarised": max(row["finer"]["transmission_difference"] for row in binary),
        "min_gradient_cosine_binarised": min(row["finer"]["gradient_cosine"] for row in binary),
        "max_transmission_difference_matched": max(row["matched"]["transmission_difference"] for row in smooth),
        "min_gradient_cosine_matched": min(row["matched"]["gradient_cosine"] for row in smooth),
        "fd_check_max_error": max(row["error"] for of in checks.values() for row in of),
        "seconds": next(iter(seconds.values())),
        "seconds_by_device": seconds,
        "designs": details,
        "fd_check": checks,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Ez only, small devices, two wavelengths: some 3 minutes")
    quick = parser.parse_args().quick
    try:
        print(json.dumps(measure(quick)))
    except MissingSoftware as error:
        parser.exit(1, f"This benchmark needs MIT Meep. {error}\n")


if __name__ == "__main__":
    main()
