"""The demultiplexer, in short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from examples import demultiplexer
from invdesign import Budget, Problem, run
from physics.devices import demultiplexer as device


def test_the_low_fidelity_separates_the_channels() -> None:
    strategy = demultiplexer.strategies["low fidelity"]
    problem = replace(demultiplexer.problem, simulator=replace(demultiplexer.simulator, cells_um=0.04))
    result = run(problem, strategy, budget=Budget(solves=75), seed=demultiplexer.seed)
    best = result.best
    assert best is not None
    assert best.distance == 0
    transmission = best.response["transmission"]  # port x wavelength
    assert transmission.diagonal().min() >= 0.80
    assert max(transmission[0, 1], transmission[1, 0]) <= 0.05
    assert result.check is not None
    assert result.check.distance < 0.02  # on a mesh of half the cells


def test_targets_are_written_for_any_number_of_channels() -> None:
    channels = (1.5, 1.55, 1.6)
    simulator = device(channels, design_um=(2.0, 4.0), spacing_um=1.2, pixel_um=0.05, cells_um=0.05)
    targets = demultiplexer.routed(channels, 0.9, 0.01)
    assert len(targets) == 6
    with pytest.raises(ValueError, match="1470nm"):
        Problem(demultiplexer.problem.space, demultiplexer.simulator, targets)
    for target in targets:
        target.check(simulator.fidelities[0])
