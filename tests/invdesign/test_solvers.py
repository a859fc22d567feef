"""What a result says of the solver behind each level, and what becomes of a solver's own worker that fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from invdesign import Budget, DensitySpace, Problem, Target, run
from invdesign.report.page import provenance_table
from invdesign.result import solver_words, solvers
from invdesign.strategies import Drawn
from invdesign.tables import best_line
from invdesign.work import Task, execute
from physics.base import Array, Response
from physics.devices import straight_waveguide
from physics.worker import WorkerDied, WorkerTimeout
from tests.invdesign.toy import Toy


@dataclass(frozen=True)
class Failing(Toy):
    """Its worker fails as told."""

    error: type[Exception] = RuntimeError

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        raise self.error("the solver's process is gone")


@pytest.mark.parametrize(
    ("error", "failure"), [(WorkerDied, "crashed"), (WorkerTimeout, "timed out"), (RuntimeError, "raised")]
)
def test_a_worker_that_died_may_be_asked_again_and_an_error_not(error: type[Exception], failure: str) -> None:
    outcome = execute(Task(Failing(error=error), np.zeros((12, 12)), 0))
    assert outcome.failure == failure
    assert outcome.error is not None and "the solver's process is gone" in outcome.error


def test_solver_version_and_resolution_are_told_wherever_a_level_is_named() -> None:
    guide = straight_waveguide(1.55, length_um=0.8, breadth_um=1.2, cells_um=(0.05, 0.04), margin_um=1.0)
    space = DensitySpace(guide.design_shape)
    problem = Problem(space=space, simulator=guide, targets=[Target("transmission", lower=0.5)])
    result = run(problem, Drawn(np.ones(guide.design_shape)), budget=Budget(cpu_seconds=30))
    told = "fdfd-40nm (FDFD of this package fdfd-2, 40 nm cells, 2D)"
    assert solver_words(result, "fdfd-40nm") == told
    assert told in best_line([result])
    rows = dict(provenance_table([result]).rows)
    assert rows["solver at fdfd-50nm"] == "FDFD of this package fdfd-2, 50 nm cells, 2D"
    assert result.check is not None and result.check.fidelity in result.provenance["solvers"]
    assert solvers([Toy()]) == {} and solver_words(result, "toy-0") == "toy-0"
