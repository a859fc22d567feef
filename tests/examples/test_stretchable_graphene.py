"""The stretchable sheet, in short: a quick pull, few designs, real molecular dynamics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from examples import stretchable_graphene as example
from invdesign import Budget, LineCuts, Problem, run, straight_through
from invdesign.spaces import Near
from physics.kirigami import KirigamiLadder, LatticeLevel, LinearLevel
from physics.kirigami.md import MdLevel, MdSettings
from tests.physics.kirigami.md.problems import lammps_there, needs_md

__all__ = ["lammps_there"]
SERPENTINE = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float)


@pytest.fixture(scope="module")
def quick() -> Problem:
    """The example's problem, pulled faster, and to a strain of 0.4 only."""
    settings = MdSettings("tersoff", rate_per_ps=0.05, timestep_ps=0.002, strain_max=0.4)
    levels = (LinearLevel(), LatticeLevel(strain=(0.2, 0.4), cost=50.0), MdLevel(settings))
    return replace(example.problem, simulator=KirigamiLadder(example.sheet, levels=levels))


def test_a_grids_cuts_are_lines_and_back() -> None:
    lines = example.as_lines(SERPENTINE, example.sheet)
    assert lines.shape == (3, 4)
    space = LineCuts(example.sheet.pixels((24, 30)), 3, 4.19, (2.0, 36.0))
    drawn = space.binarize(space.parameters(lines))
    share = drawn.reshape(3, 8, 5, 6).mean((1, 3))
    # A quarter of every cell that is cut is gone.
    np.testing.assert_allclose(share, 1 - 0.25 * (1 - SERPENTINE), atol=1e-9)


@needs_md
def test_what_the_lattice_designs_stretches_in_molecular_dynamics(
    quick: Problem, lammps_there: object, tmp_path
) -> None:
    strategy = straight_through(level=example.LATTICE, steps=2, samples=1, verified=1, starts=1, start=SERPENTINE)
    result = run(quick, strategy, budget=Budget(reference_solves=1), seed=0)
    assert result.best is not None
    assert result.costs.solves_by_fidelity["md-tersoff"] == 1 and result.costs.solves_by_fidelity["lattice"] >= 2
    lines = example.refined(quick, SERPENTINE, evaluations=1)
    assert lines.best is not None and isinstance(lines.problem.space, Near)
    # Cut like this the sheet is no longer torn where the uncut one is.
    uncut = quick.simulator.simulate(np.ones(example.sheet.cells), example.MD)
    assert float(lines.best.response["yield_strain"]) > 0.3 > float(uncut["yield_strain"])
    assert set(np.unique(lines.best.design)) == {0.0, 1.0}
    found = {
        "uncut": (quick, np.ones(example.sheet.cells), [uncut, uncut]),
        "lines": (lines.problem, lines.best.design, [lines.best.response] * 2),
    }
    paths = example.draw(tmp_path, found)
    assert len(paths) == 6 and all(path.stat().st_size > 5000 for path in paths)
    assert "+-" in example.spread([uncut, uncut], "strength")


def test_the_lattices_gradient_reaches_the_cuts(quick: Problem) -> None:
    wanted = example.freed(quick, SERPENTINE)
    theta = torch.full((12,), 0.5, dtype=torch.float64, requires_grad=True)
    density = wanted.space.at(64.0).decode(theta)
    assert isinstance(wanted.simulator, KirigamiLadder)
    _, gradient = wanted.simulator.vjp(density.detach().numpy(), example.LATTICE, {"stress": np.ones(2)})
    density.backward(torch.from_numpy(gradient))
    assert theta.grad is not None
    # Longer cuts, a softer sheet.
    assert (theta.grad[2::4] < 0).all()


def test_several_patterns_have_one_stiffness() -> None:
    found = example.several(90)
    assert len(found) >= 3
    moduli = [float(example.simulator.simulate(design, 0)["modulus"]) for design in found.values()]
    assert all(200 <= modulus <= 300 for modulus in moduli)
