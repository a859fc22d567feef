"""The conformance kit finds what it is for."""

import numpy as np
import pytest

from physics.base import Fidelity, Quantity, check_design, check_level, resolve_cotangents
from physics.testing import check_simulator


class Quadratic:
    """y = sum(x^2) over rows, at two levels; each fault is switched on by name."""

    design_shape = (4, 3)
    identity = "quadratic"

    def __init__(self, fault="", unit=1.0):
        self.fault, self.unit = fault, unit
        names = ("coarse", "fine")
        costs = (3.0, 1.0) if fault == "costs" else (1.0, 3.0)
        response = (Quantity("y", {"row": (0, 1, 2, 3)}),)
        self.fidelities = tuple(Fidelity(n, c, response) for n, c in zip(names, costs, strict=True))
        self.calls = 0

    def simulate(self, design, level, replicate=0):
        check_level(level, self.fidelities)
        if self.fault != "door":
            check_design(design, self.design_shape)
        self.calls += 1
        y = self.unit * (design**2).sum(axis=1) * (1.0 if level == 1 else 1.02)
        if self.fault == "noise":
            y = y + 1e-9 * self.calls
        if self.fault == "shape":
            y = y[:-1]
        if self.fault == "nan":
            y = y * np.nan
        return {"y": y} if self.fault != "name" else {"z": y}

    def vjp(self, design, level, cotangents, replicate=0):
        response = self.simulate(design, level)
        given = resolve_cotangents(cotangents, response)
        y = given.get("y", np.zeros(4))
        gradient = self.unit * 2 * design * y[:, None] * (1.0 if level == 1 else 1.02)
        if self.fault == "gradient":
            gradient = gradient * (1 + 1e-3)
        if self.fault == "response":
            response = {"y": response["y"] * (1 + 1e-3)}
        return response, gradient


def test_a_sound_simulator_passes_with_a_report():
    report = check_simulator(Quadratic(), agreement={"y": 0.1})
    assert report.levels == ("coarse", "fine") and report.designs == 2
    assert all(abs(slope - 2) < 0.1 for slopes in report.taylor_slopes.values() for slope in slopes)
    assert 0 < report.level_differences["y"] < 0.1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("costs", "ascending"),
        ("noise", "same 'y' from a second call"),
        ("shape", "shaped"),
        ("nan", "finite"),
        ("name", "Expected .'y'. at coarse"),
        ("door", "ValueError for"),
        ("gradient", "fall with h"),
        ("response", "of vjp as of simulate"),
    ],
)
def test_faults_are_named(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_simulator(Quadratic(fault))


@pytest.mark.parametrize("unit", [1e-12, 1e-30, 1e12])
def test_the_unit_of_a_quantity_hides_nothing(unit):
    report = check_simulator(Quadratic(unit=unit))
    assert all(abs(slope - 2) < 0.1 for slopes in report.taylor_slopes.values() for slope in slopes)
    for fault, message in (("gradient", "fall with h"), ("response", "of vjp as of simulate")):
        with pytest.raises(AssertionError, match=message):
            check_simulator(Quadratic(fault, unit))
    with pytest.raises(AssertionError, match="central differences"):
        check_simulator(Quadratic("gradient", unit), gradient_tolerance=1e-4)


def test_a_response_that_does_not_depend_on_the_design_passes():
    assert set(check_simulator(Quadratic(unit=0.0)).taylor_slopes["fine"]) == {2.0}


def test_levels_that_disagree_are_named():
    with pytest.raises(AssertionError, match="agree on 'y'"):
        check_simulator(Quadratic(), agreement={"y": 1e-3})


def test_finite_difference_tolerance_instead_of_a_rate():
    report = check_simulator(Quadratic("gradient"), gradient_tolerance=1e-2)
    assert not report.taylor_slopes and 1e-4 < report.gradient_errors["fine"] < 1e-2
    with pytest.raises(AssertionError, match="central differences"):
        check_simulator(Quadratic("gradient"), gradient_tolerance=1e-4)
