"""The labels that come with the package: whole, consistent, and still what the levels answer."""

from __future__ import annotations

import numpy as np
import pytest

from physics.kirigami import LatticeLevel, LinearLevel, small_graphene_sheet
from physics.kirigami.membrane import GRAPHENE
from physics.kirigami.validity import severed
from physics.tables import graphene_labels, graphene_table

MD = "md-tersoff"


@pytest.fixture(scope="module")
def labels():
    return graphene_labels()


def test_as_many_as_said(labels):
    assert labels.designs.shape == (800, 3, 5)
    assert len(np.unique(labels.designs, axis=0)) == 800
    assert not any(severed(design, small_graphene_sheet()) for design in labels.designs)
    level = labels.level(MD)
    rows, counts = np.unique(level.rows, return_counts=True)
    assert len(level.rows) >= 1000 and len(rows) == 800
    assert (counts >= 5).sum() >= 50
    assert set(labels.levels) == {"linear", "lattice", MD}


def test_curves_and_scalars_agree(labels):
    level = labels.level(MD)
    strain = np.array(level.quantities[0].coords["strain"])
    found = level.responses
    np.testing.assert_allclose(found["strength"], np.maximum(found["stress"].max(axis=1), 0), rtol=1e-6)
    assert (found["yield_strain"] <= found["rupture_strain"] + 1e-6).all()
    after = strain[None] >= found["rupture_strain"][:, None] + 1e-6
    torn = found["rupture_strain"] < strain[-1] - 1e-6
    assert (found["stress"][after & torn[:, None]] == 0).all()
    assert found["modulus"].min() > 0
    for values in found.values():
        assert np.isfinite(values).all()


def test_replicates_differ_and_patterns_differ_more(labels):
    level = labels.level(MD)
    rows, counts = np.unique(level.rows, return_counts=True)
    strength = [level.responses["strength"][level.rows == row] for row in rows[counts > 1]]
    within = np.mean([np.std(values) for values in strength])
    assert 0 < within < 0.3 * np.std([values.mean() for values in strength])


def test_cheap_levels_still_answer_so(labels):
    sheet = small_graphene_sheet()
    linear, lattice = labels.table("linear"), labels.table("lattice")
    for design in labels.designs[::160]:
        now, kept = LinearLevel().simulate(sheet, GRAPHENE, design), linear.simulate(design, 0)
        np.testing.assert_allclose(now["modulus"], kept["modulus"], rtol=1e-5)
    design = labels.designs[labels.level("lattice").rows[7]]
    now, kept = LatticeLevel().simulate(sheet, GRAPHENE, design), lattice.simulate(design, 0)
    np.testing.assert_allclose(now["modulus"], kept["modulus"], rtol=1e-4)
    np.testing.assert_allclose(now["stress"], kept["stress"], rtol=1e-2, atol=1e-3)


def test_a_level_is_a_simulator(labels):
    table = graphene_table()
    found = table.simulate(labels.designs[3], 0, replicate=4)
    assert found["stress"].shape == table.fidelities[0].response[0].shape
    with pytest.raises(KeyError, match="one of the levels"):
        graphene_table("md-airebo")
