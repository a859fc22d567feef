"""The ladder as a simulator."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from physics.base import (
    Differentiable,
    HasExamples,
    HasProvenance,
    Quantity,
    Response,
    SimulationError,
    Simulator,
)
from physics.kirigami import (
    GRAPHENE,
    MOS2,
    Imperfection,
    KirigamiLadder,
    LatticeLevel,
    LinearLevel,
)
from physics.kirigami.responses import scalar
from physics.testing import check_simulator
from tests.physics.kirigami.patterns import MIXED, PRISTINE, SERPENTINE, TINY

LATTICE = LatticeLevel(8.0, strain=(0.1, 0.3))
LADDER = KirigamiLadder(TINY, levels=(LinearLevel(), LATTICE))


@dataclass(frozen=True)
class Counting:
    """A level of one number and no gradient."""

    name: str = "counting"
    cost: float = 1e4
    stochastic: bool = True

    def quantities(self, sheet) -> tuple[Quantity, ...]:
        return (scalar("strength"),)

    def simulate(self, sheet, membrane, design, replicate=0) -> Response:
        return {"strength": np.array(design.sum() + replicate)}


def test_it_satisfies_the_protocols():
    assert isinstance(LADDER, Simulator) and isinstance(LADDER, Differentiable)
    assert isinstance(LADDER, HasExamples) and isinstance(LADDER, HasProvenance)


def test_conformance():
    report = check_simulator(LADDER)
    assert report.levels == ("linear", "lattice")
    assert min(report.taylor_slopes["lattice"]) > 1.9


def test_identity_is_of_content():
    copy = pickle.loads(pickle.dumps(LADDER))  # noqa: S301  our own bytes, never left memory
    same = KirigamiLadder(TINY, levels=(LinearLevel(), replace(LATTICE)))
    assert same.identity == LADDER.identity == copy.identity
    others = [
        replace(LADDER, membrane=MOS2),
        replace(LADDER, sheet=replace(LADDER.sheet, cut_share=0.3)),
        replace(LADDER, levels=(LinearLevel(),)),
        replace(LADDER, levels=(LinearLevel(), replace(LATTICE, imperfection=Imperfection(sign=-1)))),
    ]
    assert len({LADDER.identity, *(other.identity for other in others)}) == 5


def test_levels_can_be_added():
    ladder = replace(LADDER, levels=(LinearLevel(), Counting()))
    assert ladder.fidelities[1].stochastic
    assert ladder.simulate(SERPENTINE, 1, replicate=2)["strength"] == 5
    with pytest.raises(SimulationError, match="level with gradients"):
        ladder.vjp(SERPENTINE, 1, {"strength": np.array(1.0)})
    with pytest.raises(SimulationError, match="deformed sheet"):
        ladder.deformed(SERPENTINE, 1)


def test_costs_are_relative_to_the_first():
    assert KirigamiLadder(levels=(LATTICE, Counting())).fidelities[0].cost == 1
    with pytest.raises(ValueError, match="ascending cost"):
        KirigamiLadder(levels=(Counting(), LATTICE))
    with pytest.raises(ValueError, match="distinct names"):
        KirigamiLadder(levels=(LATTICE, LATTICE))
    with pytest.raises(ValueError, match="one or more levels"):
        KirigamiLadder(levels=())


@pytest.mark.parametrize("level", [0, 1])
def test_deformed_sheets_stretch(level):
    shape = LADDER.deformed(SERPENTINE, level, 0.1)
    right = shape.rest[:, 0] > LADDER.sheet.length_angstrom - 1e-6
    moved = (shape.moved - shape.rest)[right, 0]
    np.testing.assert_allclose(moved, 0.1 * LADDER.sheet.length_angstrom)
    assert shape.local_strain.shape == shape.material.shape == (len(shape.triangles),)
    assert shape.material.min() < 0.01 and shape.material.max() == 1
    assert shape.strain == 0.1


def test_levels_agree_before_buckling():
    levels = (LinearLevel(1.5), LatticeLevel(2.0, strain=(0.02,), imperfection=Imperfection(0.0)))
    ladder = replace(LADDER, levels=levels)
    for pattern in (PRISTINE, MIXED):
        linear, nonlinear = (ladder.simulate(pattern, level) for level in (0, 1))
        assert float(nonlinear["modulus"]) == pytest.approx(float(linear["modulus"]), rel=0.05)


def test_provenance_says_what_answers():
    assert LADDER.provenance(1)["solver"] == "lattice"
    assert LADDER.provenance(0)["resolution"] == "4.2 angstrom"


@pytest.mark.parametrize(
    "wrong", [{"strain": (0.2, 0.1)}, {"strain": ()}, {"strain": (0.0, 0.1)}, {"spacing_angstrom": -1}, {"power": 1}]
)
def test_lattice_levels_that_are_none(wrong):
    with pytest.raises(ValueError, match="Expected"):
        LatticeLevel(**wrong)


def test_a_ladder_of_another_membrane_scales():
    soft = replace(GRAPHENE, modulus_n_per_m=GRAPHENE.modulus_n_per_m / 2)
    pair = [float(replace(LADDER, membrane=m).simulate(SERPENTINE, 0)["modulus"]) for m in (GRAPHENE, soft)]
    assert pair[0] == pytest.approx(2 * pair[1])
