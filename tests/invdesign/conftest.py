"""Shared pieces: a toy problem and a small space."""

from __future__ import annotations

import pytest

from invdesign.problem import Problem
from invdesign.spaces.space import DensitySpace
from invdesign.targets import Target
from tests.invdesign.toy import Toy


@pytest.fixture
def space() -> DensitySpace:
    return DensitySpace((12, 12), pixel_um=0.1, filter_radius_um=0.2)


@pytest.fixture
def problem(space: DensitySpace) -> Problem:
    return Problem(space, Toy(), [Target("transmission", at={"port": "out"}, lower=0.3)])
