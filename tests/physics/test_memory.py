"""Solves give their memory back, whichever threads they ran in."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from physics.base import SimulationError
from physics.devices import waveguide_bend
from physics.fdfd import linear, region

STATUS = Path("/proc/self/statm")


@pytest.mark.skipif(not STATUS.exists(), reason="reads the resident memory from /proc")
def test_repeated_gradients_do_not_grow() -> None:
    device = waveguide_bend(design_um=1.6, width_um=0.4, cells_um=(0.04,), threads=2)
    design = device.example_designs(np.random.default_rng(0), 1)[0]
    ones = {"transmission": np.ones((1, 3))}

    def resident_mb(solves: int) -> float:
        for _ in range(solves):
            device.vjp(design, 0, ones)
        gc.collect()
        return int(STATUS.read_text().split()[1]) * 4096 / 1e6

    before = resident_mb(10)
    # A factorisation kept back would add some 3 MB a solve and wavelength.
    assert resident_mb(25) - before < 40


@pytest.mark.skipif(not STATUS.exists(), reason="reads the resident memory from /proc")
def test_failed_solves_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    device = waveguide_bend(design_um=1.6, width_um=0.4, cells_um=(0.04,), threads=2)
    design = device.example_designs(np.random.default_rng(0), 1)[0]
    device.simulate(design, 0)
    monkeypatch.setattr(region, "ACCEPTED", 1e-30)
    monkeypatch.setattr(linear, "ACCEPTED", 1e-30)

    def resident_mb(solves: int) -> float:
        for _ in range(solves):
            with pytest.raises(SimulationError, match="backward error"):
                device.simulate(design, 0)
        gc.collect()
        return int(STATUS.read_text().split()[1]) * 4096 / 1e6

    before = resident_mb(5)
    assert resident_mb(15) - before < 40


@pytest.mark.skipif(not STATUS.exists(), reason="reads the resident memory from /proc")
def test_solves_that_pivot_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """SuperLU books its memory by thread: what it makes in a lane must be dropped there."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    device = waveguide_bend(design_um=1.6, width_um=0.4, cells_um=(0.04,), threads=2)
    design = device.example_designs(np.random.default_rng(0), 1)[0]
    device.simulate(design, 0)
    monkeypatch.setattr(region, "ACCEPTED", 1e-30)

    def resident_mb(solves: int) -> float:
        for _ in range(solves):
            device.vjp(design, 0, {"transmission": np.ones((1, 3))})
        gc.collect()
        return int(STATUS.read_text().split()[1]) * 4096 / 1e6

    before = resident_mb(4)
    assert resident_mb(10) - before < 40
