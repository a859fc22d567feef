"""The parts of the comparison with Meep, and its adjoint against differences on one small device."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import meep_agreement
from benchmarks.agreement_designs import SMOOTH, designs, y_branch
from benchmarks.meep_agreement import Case, convergence, fd_check
from physics.base import MissingSoftware
from physics.devices import beam_splitter, waveguide_bend
from physics.meep import meep
from physics.meep.find import VARIABLE


@pytest.fixture(scope="module")
def splitter():
    return beam_splitter(1.55, design_um=(1.6, 2.0), separation_um=1.2, cells_um=(0.04,), threads=1)


def test_y_branch_meets_the_guides(splitter):
    drawn = y_branch(splitter)
    around = splitter.surroundings(1)
    np.testing.assert_allclose(drawn, drawn[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(drawn[0], around[0, 1:-1], atol=0.01)
    np.testing.assert_allclose(drawn[-1], around[-1, 1:-1], atol=0.01)


def test_designs_are_what_their_names_say(splitter):
    made = designs(splitter, "mirror_y")
    transmission = {name: splitter.simulate(density, 0)["transmission"].sum() for name, density in made.items()}
    assert set(SMOOTH) < set(made)
    assert np.isin(made["binarised"], (0.0, 1.0)).all()
    assert all(np.abs(np.diff(made[name], axis=axis)).max() < 0.3 for name in SMOOTH for axis in (0, 1))
    assert transmission["half-optimised"] > 2 * splitter.simulate(np.full((80, 100), 0.5), 0)["transmission"].sum()
    assert transmission["binarised"] > max(transmission["half-optimised"], 0.8)


def test_extrapolation_is_exact_for_second_order():
    errors = [0.4, 0.1, 0.025]
    told = convergence([{"transmission": np.array([[0.9 - e, 0.8 + e]])} for e in errors],
                       {"transmission": np.array([[0.9, 0.8]])})  # fmt: skip
    np.testing.assert_allclose(told["transmission_differences"], errors)
    assert told["extrapolated_difference"] < 1e-12


def test_without_meep_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    monkeypatch.setattr(sys, "argv", ["meep_agreement", "--quick"])
    with pytest.raises(SystemExit) as ended:
        meep_agreement.main()
    assert ended.value.code == 1
    assert "install it with" in capsys.readouterr().err


@pytest.mark.slow
def test_adjoint_against_differences():
    try:
        meep(gradients=True)
    except MissingSoftware as error:
        pytest.skip(str(error))
    device = waveguide_bend(1.55, design_um=1.6, cells_um=(0.04,), threads=1)
    rows = fd_check(Case("bend", device, "diagonal"), designs(device, "diagonal")["half-optimised"], 2)
    assert len(rows) == 2
    assert max(row["error"] for row in rows) < 0.01
