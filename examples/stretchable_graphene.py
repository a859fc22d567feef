"""A graphene sheet, 50 by 36 angstrom, cut so that it stretches as far as it can and still bears 3 GPa.

Run it with `invdesign run examples/stretchable_graphene.py --out runs/graphene`; `invdesign doctor` says whether LAMMPS
is there. Uncut, the sheet yields at a strain of 0.16. The linear level does not know how cut sheets open out of their
plane, and estimates that none yields later; yet what it says of a pattern tells a model of the molecular dynamics so
much that a few runs of these find the best pattern. A buckling lattice, at half a second a pattern, has the gradients.

`python -m examples.stretchable_graphene FOLDER` goes on from the grid: it frees the cuts of the best pattern to any
place, length and angle, descends on the lattice's gradients, snaps the result to atoms, pulls both with several seeds,
and draws patterns, stress-strain curves and the stretched sheets. It takes some minutes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from invdesign import (
    Budget,
    CutGrid,
    LineCuts,
    Problem,
    Result,
    Target,
    adjoint,
    bayesian,
    evolution,
    map_elites,
    random_codes,
    run,
    straight_through,
)
from invdesign.figures.kirigami import curves_figure, deformed_figure, gallery_figure
from invdesign.figures.style import Picture, save
from invdesign.spaces import Near
from invdesign.strategies import LevelFeatures
from invdesign.strategies.elites import ResponseBins
from physics.base import Array, Response
from physics.kirigami import KirigamiLadder, LatticeLevel, LinearLevel, Sheet, small_graphene_sheet
from physics.kirigami.md import MdLevel, MdSettings

LATTICE, MD = 1, 2
sheet = small_graphene_sheet()  # 3 x 5 cells, 960 atoms
settings = MdSettings("tersoff", rate_per_ps=0.02, timestep_ps=0.002, strain_max=1.0)
levels = (LinearLevel(), LatticeLevel(strain=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)), MdLevel(settings))
simulator = KirigamiLadder(sheet, levels=levels)

# The cheap levels break nothing: their estimates stand in for what molecular dynamics measures.
stretch = Target("yield_strain", goal="maximize", proxies={"yield_strain_estimate": 1.0})
bearing = Target("strength", lower=3.0, softness=0.5, weight=0.1, proxies={"strength_estimate": 1.0})

problem = Problem(
    space=CutGrid(sheet.cells, symmetry=("mirror_x",)),  # 961 patterns, alike from either grip
    simulator=simulator,
    targets=[stretch, bearing],
)

# The linear level's response of all patterns, at two milliseconds each, as further inputs of the model.
guided = bayesian(features=LevelFeatures(0), initial=6, batch=2, logarithm=True)

strategies = {
    "random": random_codes(),
    "evolution": evolution(population=6, tournament=3),
    "Gaussian process, linear inputs": guided,
    "gradients of the lattice": straight_through(level=LATTICE, steps=12, samples=3, verified=3, starts=1),
}

budget = Budget(reference_solves=10)
seed = 0


def as_lines(pattern: Array, coarse: Sheet) -> Array:
    """The cuts of a grid as lines `n x 4`: centre x and y, length (angstrom), angle; cells side by side are one cut."""
    (long, wide), lines = coarse.cell_angstrom, []
    for row, kept in enumerate(np.asarray(pattern) > 0.5):
        steps = np.flatnonzero(np.diff(np.concatenate([[0], ~kept, [0]])))
        for start, stop in zip(steps[::2], steps[1::2], strict=True):
            lines.append([(row + 0.5) * long, (start + stop) / 2 * wide, (stop - start) * wide, 0.0])
    return np.array(lines).reshape(-1, 4)


def freed(grid: Problem, pattern: Array) -> Problem:
    """The same problem with a pattern's cuts free to shift by 3 or 4 angstrom, grow and turn; it starts at 1/2."""
    ladder = grid.simulator
    assert isinstance(ladder, KirigamiLadder)
    raster = ladder.sheet.pixels((24, 30))  # a pixel an atom
    lines = as_lines(pattern, ladder.sheet)
    space = LineCuts(
        raster,
        len(lines),
        width_angstrom=sheet.cut_share * sheet.cell_angstrom[0],
        length_angstrom=(2.0, sheet.width_angstrom),
        angle_rad=(-np.pi / 2, np.pi / 2),
        minimum_ligament_angstrom=5.0,
    )
    near = Near(space, tuple(space.parameters(lines)), reach=0.08)
    return replace(grid, space=near, simulator=replace(ladder, sheet=raster))


def refined(grid: Problem, pattern: Array, evaluations: int = 8, store: str | Path = ":memory:") -> Result:
    """Free cuts, by the lattice's gradients from a pattern's own; where they end, molecular dynamics."""
    wanted = freed(grid, pattern)
    start = np.full(wanted.space.size, 0.5)
    # Sharp edges: a slit two pixels wide is not open before.
    strategy = adjoint(
        level=LATTICE, optimizer="lbfgsb", betas=(256.0,), evaluations=evaluations, start=start, starts=1
    )
    return run(wanted, strategy, budget=Budget(cpu_seconds=180), seed=seed, store=store)


def several(solves: int = 300) -> dict[str, Array]:
    """Patterns of one stiffness, 200 to 300 GPa, that differ in strength and Poisson's ratio; by the linear level."""
    band = Target("modulus", lower=200.0, upper=300.0, weight=0.01, softness=10.0)
    stiff = Problem(CutGrid(sheet.cells), KirigamiLadder(sheet, levels=levels[:1]), [band])
    niches = ResponseBins((("strength_estimate", (10.0, 15.0, 20.0)), ("poisson_ratio", (0.0, 0.1))))
    result = run(stiff, map_elites(niches, initial=40), budget=Budget(solves=solves), seed=seed)
    (archive,) = result.noted("elites")
    found = {candidate.key: candidate for candidate in result.candidates}
    met = [found[elite["key"]] for elite in archive["elites"] if elite["distance"] == 0]
    words = "{modulus:.0f} GPa, about {strength_estimate:.0f} GPa strong\nPoisson's ratio {poisson_ratio:.2f}"
    return {words.format(**{name: float(v) for name, v in each.response.items()}): each.design for each in met}


def pulled(wanted: Problem, design: Array, seeds: int = 3) -> list[Response]:
    """Molecular dynamics of a design, once a seed."""
    return [wanted.simulator.simulate(design, MD, replicate) for replicate in range(seeds)]


def spread(responses: list[Response], name: str) -> str:
    """Mean of a quantity and its standard deviation over the seeds."""
    values = np.array([float(response[name]) for response in responses])
    return f"{values.mean():.3g} +- {values.std(ddof=1):.2g}"


def draw(folder: Path, found: dict[str, tuple[Problem, Array, list[Response]]]) -> list[Path]:
    """Figures of patterns, curves and stretched sheets; gives the paths of the PNGs."""
    grid = np.array(next(iter(found.values()))[0].reference.quantity("stress").coords["strain"])
    curves = {name: [response["stress"] for response in responses] for name, (_, _, responses) in found.items()}
    pictures = [Picture("curves", "Stress over strain by molecular dynamics.", curves_figure(grid, curves))]
    # The uncut sheet bears so much that the others' curves lie flat beside it.
    cut = {name: stresses for name, stresses in curves.items() if name != "uncut"}
    pictures.append(Picture("curves-cut", "The same of the cut sheets.", curves_figure(grid, cut)))
    for name, (wanted, design, responses) in found.items():
        ladder, file = wanted.simulator, name.replace(" ", "-")
        assert isinstance(ladder, KirigamiLadder)
        title = f"yields at {spread(responses, 'yield_strain')}"
        pattern = gallery_figure({title: design}, ladder.sheet, columns=2)
        pictures.append(Picture(f"{file}-pattern", f"The pattern {name}; grips at either end.", pattern))
        shape = ladder.deformed(design, LATTICE, 0.4 if float(responses[0]["yield_strain"]) > 0.4 else 0.1)
        pictures.append(
            Picture(f"{file}-stretched", "The lattice, from above and from the side.", deformed_figure(shape))
        )
    return [save(picture, folder)[1] for picture in pictures]


def main(folder: Path) -> None:
    """The whole story, printed and drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    result = run(problem, guided, budget=budget, seed=seed, store=folder / "grid.db")
    assert result.best is not None
    grid = result.best.design
    lines = refined(problem, grid, store=folder / "lines.db")
    assert lines.best is not None
    uncut = np.ones(sheet.cells)
    found = {"uncut": (problem, uncut), "grid": (problem, grid), "lines": (lines.problem, lines.best.design)}
    measured = {name: (wanted, design, pulled(wanted, design)) for name, (wanted, design) in found.items()}
    for name, (_, _, responses) in measured.items():
        print(
            f"{name:6} yield strain {spread(responses, 'yield_strain')}, strength {spread(responses, 'strength')} GPa"
        )
    one_stiffness = gallery_figure(several(), sheet)
    others = save(Picture("one-stiffness", "Patterns of one stiffness that differ otherwise.", one_stiffness), folder)
    for path in [*draw(folder, measured), others[1]]:
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
