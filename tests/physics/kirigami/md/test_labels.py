"""The labels that come with the package are what LAMMPS gives."""

from __future__ import annotations

import numpy as np
import pytest

from physics.kirigami.md import MdSettings, quantities, run_md
from physics.kirigami.sheet import small_graphene_sheet
from physics.tables import graphene_labels

pytestmark = pytest.mark.usefixtures("lammps_there")


def test_the_cheapest_label_is_made_again():
    """Within what a seed does: the last bits of a pull depend on the processor."""
    labels = graphene_labels()
    level = labels.level("md-tersoff")
    cheapest = int(np.argmin(level.cpu_seconds))
    settings = MdSettings("tersoff", timestep_ps=0.002, strain_step=0.005, strain_max=1.0)
    design = labels.designs[level.rows[cheapest]]
    found = quantities(run_md(design, small_graphene_sheet(), settings, int(level.replicates[cheapest])))
    kept = {name: values[cheapest] for name, values in level.responses.items()}
    assert found["modulus"] == pytest.approx(kept["modulus"], rel=0.02)
    assert found["strength"] == pytest.approx(kept["strength"], rel=0.05)
    assert found["yield_strain"] == pytest.approx(kept["yield_strain"], abs=0.011)
