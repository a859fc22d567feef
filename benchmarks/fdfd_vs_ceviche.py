"""Value and gradient of one 2D Maxwell solve: condensed here, against ceviche and plain SuperLU.

    python -m benchmarks.fdfd_vs_ceviche [--quick]

ceviche runs with SuperLU, which is what it falls back to where MKL is absent, and with MKL's PARDISO as well where
pyMKL finds that library.

One port, one wavelength, one thread, 400 x 400 cells, 160 x 160 of them designed (a random binary pattern), the same
equation, absorbing layers, source and objective for all. Seconds are CPU seconds of this process. The set-up of the
condensed solver, done once for all designs, is excluded and printed with the iterations after which it is paid back.
Then the full S-matrix of two ports, four wavelengths in two threads, and how cost grows with the domain at a fixed
design, and with the design in a fixed domain. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

from physics.fdfd.boxes import dissect
from physics.fdfd.exterior import condense
from physics.fdfd.grid import Stretch
from physics.fdfd.modes import slab_mode
from physics.fdfd.operator import assemble, face_factors, helmholtz, mass_factors
from physics.fdfd.region import Coefficients, Region, RegionFactor
from physics.fdfd.stencil import Stencil

CELL_UM, WAVELENGTH_UM, CORE, CLADDING, PML_CELLS = 0.02, 1.55, 12.1, 2.1, 20
OMEGA = 2 * math.pi / WAVELENGTH_UM
OURS, SINGLE = "condensed (this package)", "SuperLU, MMD, one factorisation"
MMD: dict[str, Any] = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.01, "options": {"SymmetricMode": True}}
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
    omega: float = OMEGA


def make_case(cells: int, designed: int, wavelength_um: float = WAVELENGTH_UM) -> Case:
    """The case, with ceviche's own absorbing profile (conjugated: fields here vary as exp(-i omega t))."""
    from ceviche.constants import C_0
    from ceviche.derivatives import create_sfactor

    ours = 2 * math.pi / wavelength_um
    middle, half, first = cells // 2, 13, (cells - designed) // 2
    permittivity = np.full((cells, cells), CLADDING)
    permittivity[:middle, middle - half : middle + half] = CORE
    permittivity[middle - half : middle + half, :middle] = CORE
    design = np.zeros((cells, cells), dtype=bool)
    design[first : first + designed, first : first + designed] = True
    pattern = np.random.default_rng(0).random((designed, designed)) > 0.5
    permittivity[design] = np.where(pattern, CORE, CLADDING).ravel()

    plane, across = PML_CELLS + (first - PML_CELLS) // 2, slice(PML_CELLS, cells - PML_CELLS)
    mode = slab_mode(permittivity[plane, across], CELL_UM, ours)
    source = np.zeros((cells, cells), dtype=np.complex128)
    source[plane - 1, across] = mode.profile
    source[plane, across] = -np.exp(-1j * mode.phase) * mode.profile
    omega = ours * 1e6 * C_0
    profile = {which: create_sfactor(which, omega, CELL_UM * 1e-6, cells, PML_CELLS) for which in "fb"}
    stretch = Stretch(np.conj(profile["f"]), np.conj(np.append(profile["b"], profile["b"][-1])))
    return Case(permittivity, design, source, source.T.copy(), stretch, ours)


def operator(case: Case, permittivity: np.ndarray) -> Any:
    """The complex symmetric operator of the case."""
    return helmholtz(permittivity, CELL_UM, case.omega, case.stretch, case.stretch)


def answer(case: Case, forward: np.ndarray, amplitude: complex, adjoint: np.ndarray) -> Answer:
    """The answer from the design cells' forward field and that of the load ``output``."""
    gradient = -2 * (case.omega * CELL_UM) ** 2 * np.real(np.conj(amplitude) * adjoint * forward)
    return Answer(abs(amplitude) ** 2, gradient, forward)


def stencil(case: Case, permittivity: np.ndarray) -> Stencil:
    """The same operator as a stencil."""
    mass = mass_factors(case.stretch, case.stretch, CELL_UM, case.omega) * permittivity
    return assemble(*face_factors(case.stretch, case.stretch), mass)


def window(case: Case) -> tuple[int, int, int, int]:
    """The designed cells."""
    rows, columns = np.flatnonzero(case.design.any(axis=1)), np.flatnonzero(case.design.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def set_up(case: Case) -> Region:
    """Everything outside the design, eliminated."""
    base = np.where(case.design, CLADDING, case.permittivity)
    loads = np.stack([case.source.ravel(), case.output.ravel()], axis=1)
    return condense(stencil(case, base), window(case), loads)


def run_condensed(case: Case, region: Region) -> Answer:
    """One factorisation of the design region, residual formed and refined, both directions in one solve."""
    fields = region_fields(case, region)
    amplitude = complex(region.constant[1, 0] + region.receivers[:, 1] @ fields[:, 0])
    return answer(case, fields[:, 0], amplitude, fields[:, 1])


def region_fields(case: Case, region: Region) -> np.ndarray:
    """The fields of both ports in the design region; from a permittivity to coefficients, factor and solution."""
    i0, i1, j0, j1 = region.window
    ones = np.ones(region.shape)
    diagonal = (case.omega * CELL_UM) ** 2 * case.permittivity[i0:i1, j0:j1] - 4
    return RegionFactor(region, Coefficients(diagonal, ones, ones)).solve(region.sources)


def floating_point_operations(region: Region) -> float:
    """Real operations of one factorisation: the fronts in real arithmetic, then the ring's LU in complex one."""
    total = 0.0
    for front in dissect(*(n - 2 for n in region.shape)):
        (boxes, own), around = front.own.shape, front.boundary.shape[1]
        total += boxes * (2 * own**3 + 2 * own**2 * around + (2 * own * around**2 if front.children else 0))
    return total + 8 / 3 * len(region.ring) ** 3


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

    omega, cell = case.omega * 1e6 * C_0, CELL_UM * 1e-6
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
    set_up_seconds, region = timed(lambda: set_up(case), 3)

    for _ in range(5):  # warm-up: memory is mapped, plans of the dissection are made
        run_condensed(case, region)
    contenders: dict[str, tuple[Callable[[], Answer], int]] = {
        OURS: (lambda: run_condensed(case, region), repetitions),
        SINGLE: (lambda: run_superlu(case, 1, **MMD), max(2, slow_repetitions)),
        "SuperLU, COLAMD, two factorisations": (lambda: run_superlu(case, 2), slow_repetitions),
        CEVICHE: (lambda: run_ceviche(case), slow_repetitions),
    }
    if has_pardiso():
        contenders[PARDISO] = (lambda: run_ceviche(case, pardiso=True), slow_repetitions)
    results = {name: timed(call, count) for name, (call, count) in contenders.items()}
    ours_seconds, ours = results[OURS]
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
    print(f"set-up of the condensed solver {set_up_seconds:.2f} CPU s; paid back after iterations:")
    break_even = {}
    for name, (seconds, _) in list(results.items())[1:]:
        gain = seconds - ours_seconds
        break_even[name] = math.ceil(set_up_seconds / gain) if gain > 0 else -1
        print(f"  {break_even[name]:4d} against {name}")
    peak = dense_peak()
    rate = floating_point_operations(region) / ours_seconds
    memory_mb = peak_memory_mb(lambda: run_condensed(case, region)) + region.nbytes / 1e6
    print(
        f"{rate / 1e9:.1f} of {peak / 1e9:.1f} GFlop/s of dense real products (dgemm); "
        f"{memory_mb:.0f} MB at the peak of an iteration, {peak_memory_mb(lambda: set_up(case)):.0f} MB in the set-up"
    )
    return {
        "ratio_vs_superlu": shipped / ours_seconds,
        "ratio_vs_pardiso": None if pardiso is None else pardiso / ours_seconds,
        "ratio_vs_splu": splu_two / ours_seconds,
        "ratio_vs_single": single / ours_seconds,
        "max_rel_field_error": worst("field"),
        "max_rel_gradient_error": worst("gradient"),
        "blas_peak_fraction": rate / peak,
        "peak_memory_mb": memory_mb,
        "seconds_condensed": ours_seconds,
        "seconds_single": single,
        "seconds_splu": splu_two,
        "seconds_ceviche": shipped,
        "seconds_pardiso": pardiso,
        "ceviche_solver": "SuperLU (PARDISO disabled)",
        "seconds_set_up": set_up_seconds,
        "break_even_vs_single": break_even[SINGLE],
    }


def dense_peak(size: int = 1000) -> float:
    """Operations a second of a large real matrix product, one thread."""
    matrix = np.random.default_rng(0).random((size, size))
    seconds = min(timed(lambda: matrix @ matrix, 1)[0] for _ in range(5))
    return 2 * size**3 / seconds


def peak_memory_mb(call: Callable[[], object]) -> float:
    """Largest memory that arrays and objects took during a call, beyond what was held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def two_ports(single_source: dict[str, float | str | None], repetitions: int) -> dict[str, float]:
    """The full S-matrix of both ports with all its gradients; ceviche takes a forward and an adjoint solve a source."""
    case = make_case(400, 160)
    region = set_up(case)

    def condensed() -> list[np.ndarray]:
        fields = region_fields(case, region)
        return [fields[:, i] * fields[:, j] for i in range(2) for j in range(i, 2)]

    def single() -> list[np.ndarray]:
        factor, inside = splu(operator(case, case.permittivity), **MMD), case.design.ravel()
        loads = np.stack([case.source.ravel(), case.output.ravel()], axis=1)
        fields = factor.solve(loads)[inside]
        return [fields[:, i] * fields[:, j] for i in range(2) for j in range(i, 2)]

    ours = timed(condensed, repetitions)[0]
    theirs = timed(single, 2)[0]
    shipped = 2 * float(single_source["seconds_ceviche"] or math.nan)
    print(
        f"\nfull S-matrix of two ports with all gradients: {ours:.3f} CPU s; {theirs / ours:.1f} x in one SuperLU; ",
        end="",
    )
    print(f"{shipped / ours:.0f} x in ceviche (its time for one source, twice)")
    return {"ratio_two_ports_vs_single": theirs / ours, "ratio_two_ports_vs_superlu": shipped / ours}


def wavelengths(single_source: dict[str, float | str | None], threads: int = 2) -> dict[str, float]:
    """Four wavelengths, wall seconds, here in threads; the others take them one after the other."""
    cases = [make_case(400, 160, w) for w in (1.50, 1.53, 1.56, 1.59)]
    regions = [set_up(case) for case in cases]

    def together() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run_condensed, cases, regions))

    def walled(call: Callable[[], object], count: int) -> float:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    ours, alone = walled(together, 7), walled(lambda: [*map(run_condensed, cases, regions)], 5)
    theirs = walled(lambda: [run_superlu(case, 1, **MMD) for case in cases], 1)
    shipped = 4 * float(single_source["seconds_ceviche"] or math.nan)
    print(f"four wavelengths: {ours:.3f} wall s in {threads} threads, {alone:.3f} in one; ", end="")
    print(
        f"{theirs / ours:.1f} x in one SuperLU each; {shipped / ours:.0f} x in ceviche (its time for one, four times)"
    )
    return {"ratio_four_wavelengths_vs_single": theirs / ours, "ratio_four_wavelengths_vs_superlu": shipped / ours}


def growth(cells: Sequence[int], designed: Sequence[int]) -> dict[str, float]:
    """Slopes of log seconds over log cells: of the domain at 80 x 80 designed, of the design in 400 x 400 cells."""
    print(f"\n{'cells':>12s}{'designed':>12s}{'set-up CPU s':>14s}{'iteration CPU s':>17s}")

    def row(n: int, m: int) -> tuple[float, float]:
        case = make_case(n, m)
        start = time.process_time()
        region = set_up(case)
        built = time.process_time() - start
        for _ in range(3):
            run_condensed(case, region)
        seconds = timed(lambda: run_condensed(case, region), 7)[0]
        print(f"{n:6d}^2 {m:10d}^2 {built:14.2f}{seconds:17.4f}")
        return built, seconds

    def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
        return float(np.polyfit(np.log(np.square(sizes)), np.log(seconds), 1)[0])

    by_cells = [row(n, 80) for n in cells]
    by_design = [row(400, m) for m in designed]
    figures = {
        "slope_cells": slope(cells, [seconds for _, seconds in by_cells]),
        "slope_cells_set_up": slope(cells, [built for built, _ in by_cells]),
        "slope_design": slope(designed, [seconds for _, seconds in by_design]),
    }
    print(
        f"growth as cells to the power {figures['slope_cells']:.2f} (set-up {figures['slope_cells_set_up']:.2f}), "
        f"as designed cells to the power {figures['slope_design']:.2f}"
    )
    return figures


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run the slow contenders once, and smaller domains")
    quick = parser.parse_args().quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ceviche's own, of syntax and of numpy types
        has_pardiso()  # loads MKL, if it is there, for the limit to apply to it
        with threadpool_limits(limits=1):
            figures = measure(400, 160, repetitions=9 if quick else 25, slow_repetitions=1 if quick else 3)
            more = two_ports(figures, 7) | wavelengths(figures)
            grown = growth((200, 300, 400, 600) if quick else (200, 400, 800, 1600), (40, 80, 160, 320))
    print(json.dumps(figures | more | grown))


if __name__ == "__main__":
    main()
