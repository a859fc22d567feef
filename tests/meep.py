"""Tests that need MIT Meep: ``pytestmark = needs_meep``, with the fixture ``meep_there`` imported in a conftest."""

from __future__ import annotations

import os

import pytest

from physics.base import MissingSoftware
from physics.meep import Candidate, meep

REQUIRED = "INVDESIGN_REQUIRE_MEEP"
needs_meep = pytest.mark.usefixtures("meep_there")


@pytest.fixture(scope="session")
def meep_there() -> Candidate:
    """The interpreter with Meep. Without one tests are skipped; where the variable is 1 they fail."""
    try:
        return meep(gradients=True)
    except MissingSoftware as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but: {error}", pytrace=False)
        pytest.skip(str(error))
