"""What is asked of a sheet, on its cheap levels: as far as possible, strain at stress, a whole curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invdesign import Budget, CutGrid, LineCuts, Problem, Target, adjoint, evolution, map_elites, run
from invdesign.figures.kirigami import curves_figure, gallery_figure
from invdesign.strategies.elites import ResponseBins
from physics.base import Fidelity
from physics.kirigami import KirigamiLadder, LatticeLevel, LinearLevel, Sheet, small_graphene_sheet
from physics.kirigami.md import MdLevel, MdSettings

SHEET = small_graphene_sheet()
LINEAR = KirigamiLadder(SHEET, levels=(LinearLevel(),))
STRAIN = (0.1, 0.2, 0.3, 0.4, 0.5)
LATTICE = KirigamiLadder(SHEET, levels=(LatticeLevel(strain=STRAIN),))
SERPENTINE = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float)
# Soft up to a strain of 0.3, then stiff: the curve of a tendon, or a J.
J = Target(
    "stress", at={"strain": list(STRAIN)}, lower=[0, 0, 0, 0.5, 2.0], upper=[1.0, 1.0, 1.0, 3.0, 9.0], softness=0.5
)


def distance(targets, ladder: KirigamiLadder, pattern) -> float:
    return Problem(CutGrid(SHEET.cells), ladder, targets).evaluate(np.asarray(pattern, float)).distance


def test_as_far_as_possible() -> None:
    """Of what bears 20 GPa, evolution finds what stretches further than most."""
    targets = [
        Target("modulus", goal="minimize", weight=1e-3),
        Target("strength_estimate", lower=20.0, weight=0.1, softness=1.0),
    ]
    problem = Problem(CutGrid(SHEET.cells), LINEAR, targets)
    best = run(problem, evolution(population=10, tournament=4), budget=Budget(solves=120), seed=1).best
    assert best is not None and best.distance == 0
    assert float(best.response["modulus"]) < 350
    assert float(best.response["strength_estimate"]) >= 20


def test_strain_at_stress() -> None:
    wanted = [
        Target("yield_strain", lower=0.4, proxies={"yield_strain_estimate": 1.0}),
        Target("strength", lower=3.0, weight=0.1, proxies={"strength_estimate": 1.0}),
    ]
    ladder = KirigamiLadder(SHEET, levels=(*LATTICE.levels, MdLevel(MdSettings("tersoff"))))
    problem = Problem(CutGrid(SHEET.cells), ladder, wanted)
    # The lattice opens out of its plane; the uncut sheet is strong and gives early.
    assert problem.evaluate(SERPENTINE, level=0).distance == 0
    assert problem.evaluate(np.ones((3, 5)), level=0).distance == pytest.approx(0.4 - 0.148, abs=0.01)
    # At one point of the curve: at least 2 GPa at a strain of a half.
    assert distance([Target("stress", at={"strain": 0.5}, lower=2.0)], LATTICE, SERPENTINE) == 0


def test_the_last_word_is_no_proxys() -> None:
    stretch = Target("yield_strain", goal="maximize", proxies={"yield_strain_estimate": 1.0})
    with pytest.raises(ValueError, match="answers 'yield_strain' itself"):
        Problem(CutGrid(SHEET.cells), LATTICE, [stretch])


def test_a_curve_in_a_j_shaped_band() -> None:
    assert distance([J], LATTICE, SERPENTINE) == 0
    assert distance([J], LATTICE, np.ones((3, 5))) > 50


def test_the_levels_of_one_ladder_are_asked_alike() -> None:
    """Molecular dynamics answers names that cheap levels only estimate, and the curve on a finer grid."""
    md = MdLevel(MdSettings("tersoff", strain_step=0.01, strain_max=0.8))
    dear = Fidelity("md", 1e3, md.quantities(SHEET), True)
    targets = [J, Target("yield_strain", goal="maximize", proxies={"yield_strain_estimate": 1.0})]
    for target in targets:
        target.check(dear)
        target.check(LATTICE.fidelities[0])
    assert not any(q.name == "yield_strain" for q in LATTICE.fidelities[0].response)


def test_the_lattice_of_a_raster_agrees_with_that_of_cells() -> None:
    """Cuts of the same edges, drawn by pixels: what is left of triangles cut in part does not decide."""
    raster = SHEET.pixels((24, 30))
    space = LineCuts(raster, 3, 4.19, (2.0, 40.0))
    (long, wide) = SHEET.cell_angstrom
    lines = [
        [0.5 * long, 2 * wide, 4 * wide, 0],
        [1.5 * long, 3 * wide, 4 * wide, 0],
        [2.5 * long, 2 * wide, 4 * wide, 0],
    ]
    drawn = space.binarize(space.parameters(lines))
    level = LatticeLevel(strain=STRAIN)
    fine = KirigamiLadder(raster, levels=(level,)).simulate(drawn, 0)
    coarse = LATTICE.simulate(SERPENTINE, 0)
    for name in ("yield_strain_estimate", "strength_estimate"):
        assert float(fine[name]) == pytest.approx(float(coarse[name]), rel=0.1)


def test_gradients_of_a_raster_reach_cuts_by_taylor_rate() -> None:
    raster = Sheet((3, 5), (15.0, 8.0), 1 / 3, 0.0).pixels((9, 10))
    ladder = KirigamiLadder(raster, levels=(LatticeLevel(strain=(0.05, 0.1)),))
    space = LineCuts(raster, 2, 5.0, (5.0, 30.0), beta=32.0)
    weight = {
        "local_strain": np.array([0.3, 1.0]),
        "stress": np.array([0.02, 0.01]),
        "yield_strain_estimate": np.ones(()),
    }
    theta = torch.tensor(np.random.default_rng(2).random(8), requires_grad=True)
    density = space.decode(theta)
    response, gradient = ladder.vjp(density.detach().numpy(), 0, weight)
    density.backward(torch.from_numpy(gradient))
    assert theta.grad is not None
    direction = torch.from_numpy(np.random.default_rng(3).standard_normal(8))

    def value(answer) -> float:
        return float(sum((weight[name] * answer[name]).sum() for name in weight))

    rest = []
    for step in (4e-4, 2e-4, 1e-4):
        with torch.no_grad():
            moved = ladder.simulate(space.decode(theta + step * direction).numpy(), 0)
        rest.append(abs(value(moved) - value(response) - step * float(theta.grad @ direction)))
    assert (np.log2(np.array(rest[:-1]) / np.array(rest[1:])) > 1.7).all()


def test_several_designs_for_one_target() -> None:
    """One stiffness, borne in different ways: the elites differ in strength and in Poisson's ratio."""
    band = Target("modulus", lower=200.0, upper=500.0, weight=0.01, softness=10.0)
    problem = Problem(CutGrid(SHEET.cells, minimum_ligament=2), LINEAR, [band])
    bins = ResponseBins((("yield_strain_estimate", (0.05, 0.06, 0.07, 0.08)), ("poisson_ratio", (0.0, 0.1))))
    strategy = map_elites(bins, initial=30, batch=4, generations=25)
    result = run(problem, strategy, budget=Budget(solves=140), seed=0)
    (archive,) = result.noted("elites")
    met = [elite for elite in archive["elites"] if elite["distance"] == 0]
    assert len(met) >= 4
    assert len({tuple(elite["niche"]) for elite in met}) == len(met)
    by_key = {candidate.key: candidate for candidate in result.candidates}
    designs = {f"niche {elite['niche']}": by_key[elite["key"]].design for elite in met}
    assert len({design.tobytes() for design in designs.values()}) == len(met)
    figure = gallery_figure(designs, SHEET)
    assert sum(bool(axes.images) for axes in figure.axes) == len(met)


def test_a_descent_bends_the_curve_into_its_band() -> None:
    """Cuts too short for a soft sheet grow until it is soft."""
    raster = SHEET.pixels((12, 15))
    space = LineCuts(raster, 2, 4.19, (4.0, 40.0), angle_rad=(-0.3, 0.3), minimum_ligament_angstrom=4.0)
    band = Target("stress", at={"strain": [0.05]}, upper=25.0, lower=15.0, weight=0.1, softness=1.0)
    problem = Problem(space, KirigamiLadder(raster, levels=(LatticeLevel(strain=(0.05,)),)), [band])
    start = space.parameters([[16.8, 14.0, 16.0, 0.1], [33.5, 22.0, 16.0, 0.1]])
    before = problem.evaluate(start, binary=True).distance
    strategy = adjoint(optimizer="lbfgsb", betas=(64.0,), evaluations=8, start=start, starts=1)
    best = run(problem, strategy, budget=Budget(solves=16)).best
    assert best is not None and best.distance < 0.5 * before


def test_curves_are_drawn_with_their_repetitions_and_band() -> None:
    strain = np.linspace(0.1, 1, 10)
    curves = {"a": [strain, 1.1 * strain], "b": [0.5 * strain]}
    figure = curves_figure(strain, curves, np.array([0.4 * strain, 0.6 * strain]))
    (axes,) = figure.axes
    assert len(axes.lines) == 4 and len(axes.collections) == 1
    with pytest.raises(ValueError, match="repetitions"):
        curves_figure(strain, {"a": [strain[:3]]})
    with pytest.raises(ValueError, match="a design"):
        gallery_figure({}, SHEET)
