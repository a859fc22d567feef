"""Molecular dynamics of a graphene sheet as a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from physics.base import Array, Fidelity, Quantity, Response, check_design, check_level
from physics.devices.identity import content_hash
from physics.fdfd.values import real
from physics.kirigami.md.find import lammps
from physics.kirigami.md.quantities import quantities
from physics.kirigami.md.run import run_md
from physics.kirigami.md.settings import MdSettings
from physics.kirigami.responses import curve, scalar
from physics.kirigami.sheet import Sheet
from physics.worker import borrow

ADAPTER_VERSION = "md-1"
SCALARS = ("modulus", "yield_strain", "rupture_strain", "strength", "toughness")
# CPU seconds of one step of one atom, measured.
ATOM_STEP_SECONDS = {"tersoff": 0.75e-6, "rebo": 1.2e-6, "airebo": 4.0e-6}


def graphene_levels(**given: float | str) -> tuple[MdSettings, ...]:
    """One protocol for every potential, from the cheapest to the dearest; ``given`` as for :class:`MdSettings`."""
    return tuple(MdSettings(potential=name, **given) for name in ATOM_STEP_SECONDS)  # type: ignore[arg-type]


@dataclass(frozen=True)
class GrapheneMd:
    """Graphene with cuts, torn by molecular dynamics; levels "md-tersoff", "md-rebo" and "md-airebo", the reference.

    Answers "stress" over the grid of strains (zero once torn), "modulus", "yield_strain", "rupture_strain", "strength"
    and "toughness", see :func:`physics.kirigami.md.quantities.quantities`. A replicate is a seed. LAMMPS runs in a
    process of its own, one thread a run, see :func:`physics.kirigami.md.lammps`.

    Args:
        sheet: whole cells of graphene, see :func:`physics.kirigami.md.atoms.graphene`.
        levels: protocols of distinct potentials, cheapest first.
        time_limit_s: of one run, after which it is killed; not part of the identity.

    Raises:
        ValueError: on construction, for levels in another order.
    """

    sheet: Sheet
    levels: tuple[MdSettings, ...] = field(default_factory=graphene_levels)
    time_limit_s: float = field(default=21_600.0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))  # frozen from here on
        names = [settings.potential for settings in self.levels]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Expected levels of distinct potentials. Got {names}.")
        costs = [seconds_per_atom(settings) for settings in self.levels]
        if costs != sorted(costs):
            raise ValueError(f"Expected levels from cheap to dear. Got {names} at relative costs {costs}.")
        limit = real("time_limit_s", self.time_limit_s)
        if not limit > 0:
            raise ValueError(f"Expected time_limit_s > 0. Got {self.time_limit_s!r}.")

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a level, with what it answers."""
        first = seconds_per_atom(self.levels[0])
        return tuple(
            Fidelity(
                f"md-{settings.potential}",
                seconds_per_atom(settings) / first,
                answers(settings),
                stochastic=True,
            )
            for settings in self.levels
        )

    @property
    def design_shape(self) -> tuple[int, ...]:
        """Rows along the load, columns across."""
        return self.sheet.cells

    @cached_property
    def identity(self) -> str:
        """Hash of sheet, protocols and LAMMPS' version; the latter so that another build's answers are not mixed in.

        Raises:
            MissingSoftware: without LAMMPS.
        """
        return content_hash(f"{ADAPTER_VERSION} lammps {lammps().version}", self, without=("time_limit_s",))

    def provenance(self, level: int) -> Mapping[str, str]:
        """What answers at a level."""
        name = check_level(level, self.fidelities).name
        settings = self.levels[level]
        resolution = (
            f"{settings.rate_per_ps:g} per ps at {settings.temperature_k:g} K, bonds end at {settings.bond_range}"
        )
        return {"solver": f"LAMMPS {name}", "version": lammps().version, "resolution": resolution}

    def prepare(self, level: int) -> None:
        """Starts LAMMPS."""
        check_level(level, self.fidelities)
        with borrow(lammps().program) as worker:
            worker.call("version", time_limit_s=self.time_limit_s)

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """One pull of a pattern of 0 and 1; errors as :func:`physics.kirigami.md.run.run_md`."""
        check_level(level, self.fidelities)
        pattern = check_design(design, self.design_shape)
        return quantities(run_md(pattern, self.sheet, self.levels[level], replicate, self.time_limit_s))

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Random patterns with a kept cell in every row, ``n x *design_shape``."""
        patterns = (rng.random((n, *self.design_shape)) < 0.6).astype(float)
        saved = rng.integers(self.design_shape[1], size=(n, self.design_shape[0]))
        np.put_along_axis(patterns, saved[..., None], 1.0, axis=2)
        return patterns


def answers(settings: MdSettings) -> tuple[Quantity, ...]:
    """The quantities of one pull."""
    return (curve("stress", settings.strain.tolist()), *(scalar(name) for name in SCALARS))


def seconds_per_atom(settings: MdSettings) -> float:
    """CPU seconds of a pull to the last strain, divided by the number of atoms."""
    steps = settings.strain_max / settings.rate_per_ps + settings.equilibration_ps
    return ATOM_STEP_SECONDS[settings.potential] * steps / settings.timestep_ps
