"""The simulator satisfies the contract, and so does the level in a ladder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physics.kirigami.ladder import KirigamiLadder
from physics.kirigami.md import GrapheneMd, MdLevel, graphene_levels
from physics.testing import check_simulator
from tests.physics.kirigami.md.problems import CUT, WHOLE, needs_md, quick, tiny

LEVELS = tuple(quick(name, rate_per_ps=0.4, strain_max=0.4) for name in ("tersoff", "rebo", "airebo"))
SCALARS = {"modulus", "yield_strain", "rupture_strain", "strength", "toughness"}


@pytest.fixture(scope="module")
def simulator():
    """All three levels on the tiny sheet."""
    return GrapheneMd(tiny(), LEVELS)


@needs_md
def test_conformance(simulator):
    report = check_simulator(simulator, designs=np.stack([WHOLE, CUT]))
    assert report.levels == ("md-tersoff", "md-rebo", "md-airebo")


@needs_md
def test_binary_at_the_door(simulator):
    with pytest.raises(ValueError, match="zeros and ones"):
        simulator.simulate(np.full((2, 3), 0.5), 0)
    with pytest.raises(ValueError, match="severed"):
        simulator.simulate(np.zeros((2, 3)), 0)


@needs_md
def test_identity_and_provenance(simulator):
    assert simulator.identity == GrapheneMd(tiny(), LEVELS, time_limit_s=5.0).identity
    others = [
        GrapheneMd(tiny(cut_share=1.0), LEVELS),
        GrapheneMd(tiny(), LEVELS[:2]),
        GrapheneMd(tiny(), (replace(LEVELS[0], temperature_k=300.0), *LEVELS[1:])),
        GrapheneMd(tiny(), (replace(LEVELS[0], bond_range_angstrom=(1.8, 2.1)), *LEVELS[1:])),
    ]
    assert len({simulator.identity, *(other.identity for other in others)}) == 5
    simulator.prepare(0)
    provenance = simulator.provenance(2)
    assert provenance["solver"] == "LAMMPS md-airebo"
    assert provenance["version"].startswith("20") and "2.0" in provenance["resolution"]


@needs_md
def test_replicates_and_the_ladder(simulator):
    first, second = (simulator.simulate(CUT, 0, replicate=seed) for seed in (0, 1))
    assert not np.array_equal(first["stress"], second["stress"])
    ladder = KirigamiLadder(tiny(), levels=(MdLevel(LEVELS[0]),))
    assert ladder.fidelities[0].stochastic and ladder.fidelities[0].name == "md-tersoff"
    through = ladder.simulate(CUT, 0, replicate=1)
    assert set(through) == SCALARS | {"stress"}
    assert np.array_equal(through["stress"], second["stress"])
    assert "LAMMPS 20" in ladder.provenance(0)["version"]


def test_fidelities():
    simulator = GrapheneMd(tiny())
    assert [f.name for f in simulator.fidelities] == ["md-tersoff", "md-rebo", "md-airebo"]
    assert all(f.stochastic and {q.name for q in f.response} == SCALARS | {"stress"} for f in simulator.fidelities)
    assert simulator.fidelities[0].quantity("stress").shape == (150,)
    assert simulator.levels == graphene_levels()


def test_examples_are_patterns():
    designs = GrapheneMd(tiny()).example_designs(np.random.default_rng(0), 20)
    assert designs.shape == (20, 2, 3) and set(np.unique(designs)) == {0.0, 1.0}
    assert designs.any(axis=2).all()


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ((), "distinct potentials"),
        ((quick(), quick()), "distinct potentials"),
        ((quick("airebo"), quick("tersoff")), "cheap to dear"),
    ],
)
def test_levels_at_the_door(levels, told):
    with pytest.raises(ValueError, match=told):
        GrapheneMd(tiny(), levels)
