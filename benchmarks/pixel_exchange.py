"""Exact scattering parameters of a binary design with any few pixels exchanged, without solving again.

With f the fields of the ports and G = M^-1 the Green function between cells at the edges of the structure, a change D
of the operator's diagonal on cells C gives S_ij - f_i[C]^T (1 + D G[C, C])^-1 D f_j[C] (Woodbury). All exchanges of a
pixel and its mirror images cost one set of back-solves together; making one updates f and G likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import cgemm

from benchmarks.windowed_descent import Search, Vector, windows
from invdesign.challenges import WorstWindow
from invdesign.problem import TargetLoss
from invdesign.spaces.density import images
from physics.devices import PortDevice
from physics.devices.challenges import ceviche_reading
from physics.fdfd.scene import reduced_system

COLUMNS = 256  # of the Green function solved at once
SOFTNESS = 0.03  # of the smooth worst window by which exchanges are compared, in dB or in units of the windows' widths
TRIED = 500  # of the exchanges that help, how many may fail for too small features before the search is given up
RANKING_SOFTNESS = 0.5  # of the smooth worst window, in dB, by whose gradient exchanges are ranked
PARTNERS = 48  # the best single exchanges, which are tried together with every other


@dataclass
class Green:
    """Fields and Green function between the cells of some pixels, at one wavelength of a device.

    Args:
        s: scattering parameters of the source's column, one a port.
        fields: ``n x ports`` of the ports' fields in those cells.
        green: ``n x n``, in single precision, like all that is made of it.
        cells: ``orbits x k`` rows of an orbit's cells in these; where an orbit has fewer, some occur twice.
        change: ``orbits x k`` of the diagonal if the orbit is exchanged; 0 where a cell occurs again.
    """

    s: Vector
    fields: Vector
    green: Vector
    cells: Vector
    change: Vector

    @classmethod
    def of(cls, device: PortDevice, i: int, density: Vector, orbits: Vector, symmetries: tuple[str, ...]) -> Green:
        """At wavelength number ``i``; ``orbits``: ``orbits x images`` flat pixels."""
        system = reduced_system(device.scene(len(device.cells_um) - 1, i))
        factor = system.factor(density)
        shape = system.region.shape
        ratio = shape[0] // density.shape[0]
        fields = factor.solve(system.region.sources)
        s = system.scattering(fields[:, :1], [0])[:, 0]
        # By pixel, image by image and cell by cell; the images of a cell lie in the images of its pixel.
        index = np.arange(shape[0] * shape[1]).reshape(shape)
        x, y = np.divmod(orbits[:, 0], density.shape[1])
        first = np.stack([index[ratio * x + a, ratio * y + b] for a in range(ratio) for b in range(ratio)], axis=1)
        maps = [image(torch.from_numpy(index)).numpy().ravel() for image in images(symmetries)]
        of_orbit = np.concatenate([moved[first] for moved in maps], axis=1)
        cells, rows = np.unique(of_orbit, return_inverse=True)
        rows = rows.reshape(of_orbit.shape)
        place = np.full(index.size, -1)
        place[cells] = np.arange(len(cells))
        green = np.empty((len(cells), len(cells)), dtype=np.complex64, order="F")
        ours = first.ravel()
        for start in range(0, len(ours), COLUMNS):
            chosen = ours[start : start + COLUMNS]
            loads = np.zeros((index.size, len(chosen)), dtype=complex)
            loads[chosen, np.arange(len(chosen))] = 1
            columns = factor.estimate(loads)[cells]
            for moved in maps:  # G is the same between images
                green[np.ix_(place[moved[cells]], place[moved[chosen]])] = columns
        slope = np.real(system.media.change(density, 1 - 2 * density)[0]).ravel()
        fresh = np.ones(of_orbit.shape, dtype=bool)
        order = np.argsort(of_orbit, axis=1, kind="stable")
        again = np.diff(np.take_along_axis(of_orbit, order, 1), axis=1) == 0
        np.put_along_axis(fresh, order[:, 1:], ~again, 1)
        return cls(s, fields[cells], green, rows, np.where(fresh, slope[of_orbit], 0.0))

    def exchanged(self, groups: Vector) -> Vector:
        """S-parameters, ``groups x ports``, with the orbits of each group exchanged, ``groups x orbits at once``."""
        cells = self.cells[groups].reshape(len(groups), -1)
        change = self.change[groups].reshape(len(groups), -1)
        system = np.eye(cells.shape[1]) + change[:, :, None] * self.green[cells[:, :, None], cells[:, None, :]]
        moved = np.linalg.solve(system, (change * self.fields[cells, 0])[:, :, None])[:, :, 0]
        return self.s - np.einsum("gkp,gk->gp", self.fields[cells], moved)

    def exchange(self, group: Vector) -> None:
        """Makes an exchange, in place."""
        self.s = self.exchanged(group[None])[0]
        cells, change = self.cells[group].ravel(), self.change[group].ravel()
        cells, change = cells[change != 0], change[change != 0]
        system = np.eye(len(cells)) + change[:, None] * self.green[np.ix_(cells, cells)]
        column, row = self.green[:, cells], self.green[cells]
        moved = np.linalg.solve(system, change[:, None] * np.hstack([self.fields[cells], row]))
        ports = self.fields.shape[1]
        self.fields = self.fields - column @ moved[:, :ports]
        self.green = cgemm(-1.0, column, moved[:, ports:].astype(np.complex64), 1.0, self.green, overwrite_c=True)
        self.change[group] *= -1


@dataclass
class Exchanges:
    """All exchanges of one pixel with its images among those at the edges of a design, on all of a search's devices.

    Args:
        search: what is wanted, and of which devices.
        density: of 0 and 1.
        most: orbits, the most promising ones by the gradient on the problem's own device; None for all. The Green
            functions need 8 bytes for every pair of their cells and wavelength.
    """

    search: Search
    density: Vector
    most: int | None = None

    def __post_init__(self) -> None:
        symmetries = self.search.space.symmetries
        index = torch.arange(self.density.size).reshape(self.density.shape)
        moved = np.stack([image(index).numpy().ravel() for image in images(symmetries)], axis=1)
        self.orbits = moved[edges(self.density).ravel() & (moved.min(axis=1) == np.arange(len(moved)))]
        if self.most is not None and len(self.orbits) > self.most:
            self.orbits = self.orbits[np.sort(np.argsort(self._promised(), kind="stable")[: self.most])]
        self.devices = (self.search.problem.device, *self.search.checks)
        self.greens = [
            [Green.of(d, i, self.density, self.orbits, symmetries) for i in range(len(d.wavelength_um))]
            for d in self.devices
        ]
        self.search.solves += sum(len(d.wavelength_um) for d in self.devices)

    def _promised(self) -> Vector:
        """By how much each exchange would change the worst window to first order."""
        problem = self.search.problem
        device, level = problem.device, len(problem.device.cells_um) - 1
        target = WorstWindow(*windows(problem, device), "db", RANKING_SOFTNESS)
        _, gradient = device.vjp(self.density, level, TargetLoss((target,), device.fidelities[level]))
        self.search.solves += len(device.wavelength_um)
        return (gradient * (1 - 2 * self.density)).ravel()[self.orbits].sum(axis=1)

    def smooth_shortfall(self, groups: Vector) -> Vector:
        """A smooth bound of the shortfall of each group; 100 more where a window is violated."""
        answers = []
        for device, greens in zip(self.devices, self.greens, strict=True):
            s = np.stack([green.exchanged(groups) for green in greens], axis=-1)
            answers.append(s)
            if device is self.devices[0]:
                answers.append(ceviche_reading(device, s))
        limits = windows(self.search.problem, self.devices[0])
        power = torch.from_numpy(np.abs(np.stack(answers, axis=1)) ** 2)
        target = WorstWindow(*limits)
        excess = target.excess(power).flatten(1)
        inside = target.outside(power).flatten(1)
        in_db, in_widths = (SOFTNESS * torch.logsumexp(v / SOFTNESS, 1) for v in (excess, inside))
        return torch.where(excess.amax(1) > 0, 100 + in_db, in_widths).numpy()

    def improve(self) -> bool:
        """Makes the best exchange of one orbit, or else of two, that keeps all features wide enough."""
        self.search.check_time()
        none = np.zeros((1, 0), dtype=int)
        least = float(self.smooth_shortfall(none)[0]) - 1e-4
        singles = np.arange(len(self.orbits))[:, None]
        values = self.smooth_shortfall(singles)
        if self._make(singles, values, least):
            return True
        self.search.check_time()
        best = np.argsort(values)[:PARTNERS]
        pairs = np.array([(a, b) for a in best for b in range(len(values)) if b != a and (b > a or b not in best)])
        chunks = np.array_split(pairs, max(1, len(pairs) // 2000))
        return self._make(pairs, np.concatenate([self.smooth_shortfall(chunk) for chunk in chunks]), least)

    def _make(self, groups: Vector, values: Vector, least: float) -> bool:
        for g in np.argsort(values)[:TRIED]:
            if values[g] >= least:
                return False
            changed = self.density.copy()
            pixels = np.unique(self.orbits[groups[g]])
            changed.ravel()[pixels] = 1 - changed.ravel()[pixels]
            if self.search.wide_enough(changed):
                self.density = changed
                for green in (green for greens in self.greens for green in greens):
                    green.exchange(groups[g])
                return True
        return False


def polish(search: Search, density: Vector, label: str, most: int | None = None) -> Vector:
    """Exchanges pixels at the edges until nothing helps, among the most promising where there are more than ``most``.

    Keeps what it finds.

    Raises:
        OutOfTime: past the search's deadline.
    """
    moved = True
    while moved:
        exchanges, moved = Exchanges(search, density, most), False
        try:
            while exchanges.improve():
                moved = True
        finally:
            density = exchanges.density
            if moved:
                search.keep(density, label)
    return density


def edges(density: Vector) -> NDArray[np.bool_]:
    """Pixels with a neighbour of the other kind."""
    padded = np.pad(density, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([side != inner for side in around], axis=0)
