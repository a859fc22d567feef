"""Value and gradient of one 2D Maxwell solve: condensed and one-factorisation here, against ceviche and plain SuperLU.

    python -m benchmarks.fdfd_vs_ceviche [--quick]

ceviche runs with SuperLU, which is what it falls back to where MKL is absent, and with MKL's PARDISO as well where
pyMKL finds that library.

One port, one wavelength, one thread, 400 x 400 cells, 160 x 160 of them designed (a random binary pattern), the same
equation, absorbing layers, source and objective for all. Seconds are CPU seconds of this process. The set-up of the
condensed solver, done once for all designs, is excluded and printed with the iterations after which it is paid back.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

from physics.fdfd.condense import Condensed, condense
from physics.fdfd.grid import Stretch
from physics.fdfd.modes import slab_mode
from physics.fdfd.operator import helmholtz

CELL_UM, WAVELENGTH_UM, CORE, CLADDING, PML_CELLS = 0.02, 1.55, 12.1, 2.1, 20
OMEGA = 2 * math.pi / WAVELENGTH_UM
CEVICHE, PARDISO = "ceviche, SuperLU (PARDISO disabled)", "ceviche, MKL PARDISO"
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Answer:
    """Objective abs(output^T Ez)^2, its gradient by the permittivity of the design cells, and Ez on them."""

    value: float
    gradient: np.ndarray
    field: np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A bend between two guides; ``source`` and ``output`` are two-plane vectors of the guides' modes."""

    permittivity: np.ndarray
    design: np.ndarray
    source: np.ndarray
    output: np.ndarray
    stretch: Stretch


def make_case(cells: int, designed: int) -> Case:
    """The case, with ceviche's own absorbing profile (conjugated: fields here vary as exp(-i omega t))."""
    from ceviche.constants import C_0
    from ceviche.derivatives import create_sfactor

    middle, half, first = cells // 2, 13, (cells - designed) // 2
    permittivity = np.full((cells, cells), CLADDING)
    permittivity[:middle, middle - half : middle + half] = CORE
    permittivity[middle - half : middle + half, :middle] = CORE
    design = np.zeros((cells, cells), dtype=bool)
    design[first : first + designed, first : first + designed] = True
    pattern = np.random.default_rng(0).random((designed, designed)) > 0.5
    permittivity[design] = np.where(pattern, CORE, CLADDING).ravel()

    plane, window = PML_CELLS + (first - PML_CELLS) // 2, slice(PML_CELLS, cells - PML_CELLS)
    mode = slab_mode(permittivity[plane, window], CELL_UM, OMEGA)
    source = np.zeros((cells, cells), dtype=np.complex128)
    source[plane - 1, window] = mode.profile
    source[plane, window] = -np.exp(-1j * mode.phase) * mode.profile
    omega = OMEGA * 1e6 * C_0
    profile = {which: create_sfactor(which, omega, CELL_UM * 1e-6, cells, PML_CELLS) for which in "fb"}
    stretch = Stretch(np.conj(profile["f"]), np.conj(np.append(profile["b"], profile["b"][-1])))
    return Case(permittivity, design, source, source.T.copy(), stretch)


def operator(case: Case, permittivity: np.ndarray) -> Any:
    """The complex symmetric operator of the case."""
    return helmholtz(permittivity, CELL_UM, OMEGA, case.stretch, case.stretch)


def answer(case: Case, forward: np.ndarray, amplitude: complex, adjoint: np.ndarray) -> Answer:
    """The answer from the design cells' forward field and that of the load ``output``."""
    gradient = -2 * (OMEGA * CELL_UM) ** 2 * np.real(np.conj(amplitude) * adjoint * forward)
    return Answer(abs(amplitude) ** 2, gradient, forward)


def run_condensed(case: Case, system: Condensed, base: np.ndarray) -> Answer:
    """One factorisation of the reduced system, residuals formed and refined, both directions."""
    change = (OMEGA * CELL_UM) ** 2 * (case.permittivity - base).ravel()[system.cells]
    factor = system.factor(change)
    forward = factor.solve(system.loads[:, 0])
    amplitude = complex(system.constant[1, 0] + system.loads[:, 1] @ forward)
    adjoint = factor.solve(system.loads[:, 1])
    order = np.argsort(system.cells)
    return answer(case, forward[order], amplitude, adjoint[order])


def run_superlu(case: Case, factorisations: int, **options: Any) -> Answer:
    """Plain SuperLU on the whole grid; the adjoint reuses the factorisation, or makes its own if there are two."""
    matrix, inside = operator(case, case.permittivity), case.design.ravel()
    factor = splu(matrix, **options)
    field = factor.solve(case.source.ravel())
    if factorisations == 2:
        factor = splu(matrix.T.tocsc(), **options)
    adjoint = factor.solve(case.output.ravel())
    return answer(case, field[inside], complex(case.output.ravel() @ field), adjoint[inside])


def has_pardiso() -> bool:
    """Whether ceviche found MKL when it was imported."""
    import ceviche

    return bool(ceviche.solvers.HAS_MKL)


def run_ceviche(case: Case, pardiso: bool = False) -> Answer:
    """ceviche with one of its direct solvers: fdfd_ez and the reverse-mode jacobian of the objective."""
    import autograd.numpy as npa
    import ceviche
    from ceviche.constants import C_0, MU_0

    omega, cell = OMEGA * 1e6 * C_0, CELL_UM * 1e-6
    current = np.conj(case.source) * 1j / (MU_0 * omega * cell**2)
    output = np.conj(case.output)
    seen: dict[str, np.ndarray] = {}

    def objective(permittivity: Any) -> Any:
        simulation = ceviche.fdfd_ez(omega, cell, permittivity, [PML_CELLS, PML_CELLS])
        _, _, field = simulation.solve(current)
        seen["field"] = getattr(field, "_value", field)
        return npa.abs(npa.sum(field * output)) ** 2

    found, ceviche.solvers.HAS_MKL = ceviche.solvers.HAS_MKL, pardiso
    try:
        gradient = ceviche.jacobian(objective, mode="reverse")(case.permittivity).reshape(case.design.shape)
    finally:
        ceviche.solvers.HAS_MKL = found
    field = np.conj(seen["field"])
    value = abs(complex((case.output * field).sum())) ** 2
    return Answer(value, gradient[case.design], field[case.design])


def timed(call: Callable[[], T], repetitions: int) -> tuple[float, T]:
    """Median CPU seconds and the last result."""
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def measure(cells: int, designed: int, repetitions: int, slow_repetitions: int) -> dict[str, float | str | None]:
    """All contenders on one case; prints the table and returns the figures, None for PARDISO where MKL is absent."""
    case = make_case(cells, designed)
    base = np.where(case.design, CLADDING, case.permittivity)
    loads = np.stack([case.source.ravel(), case.output.ravel()], axis=1)
    set_up, system = timed(lambda: condense(operator(case, base), case.design, loads), 3)

    run_condensed(case, system, base)  # warm-up
    contenders: dict[str, tuple[Callable[[], Answer], int]] = {
        "condensed (this package)": (lambda: run_condensed(case, system, base), repetitions),
        "SuperLU, MMD, one factorisation": (
            lambda: run_superlu(
                case, 1, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01, options={"SymmetricMode": True}
            ),
            max(2, slow_repetitions),
        ),
        "SuperLU, COLAMD, two factorisations": (lambda: run_superlu(case, 2), slow_repetitions),
        CEVICHE: (lambda: run_ceviche(case), slow_repetitions),
    }
    if has_pardiso():
        contenders[PARDISO] = (lambda: run_ceviche(case, pardiso=True), slow_repetitions)
    results = {name: timed(call, count) for name, (call, count) in contenders.items()}
    ours_seconds, ours = results["condensed (this package)"]
    single, splu_two, shipped = (results[name][0] for name in list(results)[1:4])
    pardiso = results[PARDISO][0] if PARDISO in results else None

    def worst(part: str) -> float:
        return max(
            float(np.abs(getattr(a, part) - getattr(ours, part)).max() / np.abs(getattr(a, part)).max())
            for _, a in results.values()
        )

    print(f"{cells} x {cells} cells, {designed} x {designed} designed, one wavelength, one thread, value and gradient")
    print(f"{'':38s}{'CPU s':>9s}{'ratio':>8s}  objective")
    for name, (seconds, result) in results.items():
        print(f"{name:38s}{seconds:9.3f}{seconds / ours_seconds:8.1f}  {result.value:.12g}")
    if pardiso is None:
        print(f"{PARDISO:38s}        -       -  MKL is absent")
    print(f"set-up of the condensed solver {set_up:.2f} CPU s; paid back after iterations:")
    break_even = {}
    for name, (seconds, _) in list(results.items())[1:]:
        break_even[name] = math.ceil(set_up / (seconds - ours_seconds)) if seconds > ours_seconds else -1
        print(f"  {break_even[name]:4d} against {name}")
    return {
        "ratio_vs_superlu": shipped / ours_seconds,
        "ratio_vs_pardiso": None if pardiso is None else pardiso / ours_seconds,
        "ratio_vs_splu": splu_two / ours_seconds,
        "ratio_vs_single": single / ours_seconds,
        "max_rel_field_error": worst("field"),
        "max_rel_gradient_error": worst("gradient"),
        "seconds_condensed": ours_seconds,
        "seconds_single": single,
        "seconds_splu": splu_two,
        "seconds_ceviche": shipped,
        "seconds_pardiso": pardiso,
        "ceviche_solver": "SuperLU (PARDISO disabled)",
        "seconds_set_up": set_up,
        "break_even_vs_single": break_even["SuperLU, MMD, one factorisation"],
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run the slow contenders once")
    quick = parser.parse_args().quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ceviche's own, of syntax and of numpy types
        has_pardiso()  # loads MKL, if it is there, for the limit to apply to it
        with threadpool_limits(limits=1):
            figures = measure(400, 160, repetitions=5 if quick else 15, slow_repetitions=1 if quick else 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
