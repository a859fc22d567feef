"""The ladder against a script as Meep's own tutorials write it: flux planes, subtracted incident fields, a prism."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from tests.meep import meep_there, needs_meep
from tests.physics.meep.problems import CLADDING, CORE, WIDTH_UM, ladder, pixels, through

__all__ = ["meep_there"]
pytestmark = [needs_meep, pytest.mark.slow]
SCRIPT = """
import json, sys
import meep as mp
mp.verbosity(0)
given = json.loads(sys.argv[1])
core, cladding, width, gap, polarization = (given[k] for k in ("core", "cladding", "width", "gap", "polarization"))
frequency, pml = 1 / 1.55, 1.0
cell = mp.Vector3(6.0, 5.0)
guide = mp.Block(mp.Vector3(mp.inf, width, mp.inf), material=mp.Medium(epsilon=core))
hole = mp.Block(mp.Vector3(gap, width, mp.inf), material=mp.Medium(epsilon=cladding))
ez = polarization == "Ez"

def run(geometry, incident=None):
    source = mp.EigenModeSource(
        mp.GaussianSource(frequency, fwidth=0.2 * frequency), center=mp.Vector3(-1.7), size=mp.Vector3(0, 3),
        eig_parity=mp.ODD_Z + mp.EVEN_Y if ez else mp.EVEN_Z + mp.ODD_Y)
    simulation = mp.Simulation(cell, given["resolution"], geometry=geometry, sources=[source],
        boundary_layers=[mp.PML(pml)], default_material=mp.Medium(epsilon=cladding))
    back = simulation.add_flux(frequency, 0, 1, mp.FluxRegion(mp.Vector3(-1.2), size=mp.Vector3(0, 1.2)))
    on = simulation.add_flux(frequency, 0, 1, mp.FluxRegion(mp.Vector3(1.7), size=mp.Vector3(0, 1.2)))
    if incident is not None:
        simulation.load_minus_flux_data(back, incident)
    simulation.run(until_after_sources=150)
    return mp.get_fluxes(back)[0], mp.get_fluxes(on)[0], simulation.get_flux_data(back)

back, on, data = run([guide])
reflected, transmitted, _ = run([guide, hole], data)
print(json.dumps([-reflected / back, transmitted / on]))
"""


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_gap_in_a_guide(meep_there, polarization):
    """Flux also counts what the gap radiates along the guide: a few per cent."""
    gap_um, cell_um = 0.2, 0.025
    given = {"core": CORE, "cladding": CLADDING, "width": WIDTH_UM, "gap": gap_um, "polarization": polarization}
    done = subprocess.run(
        [meep_there.python, "-c", SCRIPT, json.dumps(given | {"resolution": 1 / cell_um})],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=True,
    )
    reflection, transmission = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    x, y = pixels((48, 48))
    design = ((np.abs(y) < WIDTH_UM / 2) & (np.abs(x) > gap_um / 2)).astype(float)
    device = through(polarization=polarization, pixel_um=0.025)
    response = ladder(device, (cell_um,)).simulate(design, 1)
    assert response["transmission"].item() == pytest.approx(transmission, abs=0.03)
    assert response["reflection"].item() == pytest.approx(reflection, abs=0.03)
    assert 0.02 < reflection < 0.6
