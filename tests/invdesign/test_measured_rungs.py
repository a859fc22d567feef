"""Measured rungs of a search in a run's notes and report, and networks judged by gradients in theta."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from invdesign.budget import Budget
from invdesign.report import write_report
from invdesign.report.page import rungs_table
from invdesign.run import run
from invdesign.spaces.space import DensitySpace
from invdesign.strategies import Surrogate
from invdesign.strategies.latent import latent_pull_back
from invdesign.strategies.learning import Learner
from surrogates import TrainingConfig
from surrogates.evaluation import PullBack
from surrogates.nas.choice import by_method
from surrogates.nas.description import described
from surrogates.nas.lab import Rung
from surrogates.nas.methods import RandomSearch
from surrogates.nas.rungs import Measured
from surrogates.nas.space import ArchitectureSpace
from tests.invdesign.noted import some_results, toy_problem, with_notes
from tests.invdesign.toy import Toy

SMALL = ArchitectureSpace(
    length=2, operations=(("spectral", 3), ("residual", 0), ("identity", 0)), widths=(4,), resolutions=(6,)
)


def test_a_run_notes_and_reports_its_measured_rungs(tmp_path):
    problem = toy_problem(Toy())
    search = by_method(
        RandomSearch(),
        space=SMALL,
        rungs=Measured((Rung(1), Rung(2, level=0), Rung(2)), networks=4),
        budget_cpu_seconds=1e-3,
        members=2,
        config=TrainingConfig(epochs=2, batch_size=16),
    )
    strategy = Surrogate(search, designs=(8, 8), betas=(8.0,), starts=2, steps=2, asked=1)
    result = run(problem, strategy, budget=Budget(solves=24))
    (note,) = result.noted("search")
    assert [report["rung"] for report in note["rungs"]] == ["e2-l0", "e1", "e2"]
    assert note["rungs"][-1]["admitted"]
    table = rungs_table([result])
    assert table is not None and [row[1] for row in table.rows] == ["e2-l0", "e1", "e2"]
    assert table.strong >= {2}
    page = write_report([result], tmp_path).read_text(encoding="utf-8")
    assert "Rungs of fidelity, measured" in page and "e2-l0" in page


def test_a_search_without_measured_rungs_has_no_table():
    result = with_notes(some_results()[0])
    assert rungs_table([result]) is None
    broken = [
        replace(note, content={**note.content, "rungs": [3, {}]}) for note in result.notes if note.kind == "search"
    ]
    table = rungs_table([replace(result, notes=tuple(broken))])
    assert table is not None and table.rows[0][1:3] == ("–", "–")


SPACES = [
    DensitySpace((9, 7), pixel_um=0.1, filter_radius_um=0.25, beta=5.0, eta=0.4),
    DensitySpace((9, 7), pixel_um=0.1, filter_radius_um=0.25, symmetry="mirror_x", shift=0.05),
    DensitySpace((6, 6), pixel_um=0.1, filter_radius_um=0.2, projection="none"),
    DensitySpace((6, 6), pixel_um=0.1, filter_radius_um=0.2, solid=np.eye(6), void=np.eye(6)[::-1]),
]


@pytest.mark.parametrize("space", SPACES)
def test_pulls_back_as_the_space_does(space):
    rng = np.random.default_rng(0)
    theta = torch.from_numpy(rng.uniform(size=(3, space.size))).requires_grad_(True)
    designs = space.decode(theta)
    gradients = rng.normal(size=tuple(designs.shape))
    (wanted,) = torch.autograd.grad(designs, theta, torch.from_numpy(gradients))
    found = latent_pull_back(space)(designs.detach().numpy(), gradients)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-9, atol=1e-12)


def test_another_sharpness_leaves_the_direction():
    space = DensitySpace((9, 7), pixel_um=0.1, filter_radius_um=0.25, beta=8.0)
    rng = np.random.default_rng(1)
    theta = torch.from_numpy(rng.uniform(size=(3, space.size)))
    designs = space.at(32.0).decode(theta).numpy()
    gradients = rng.normal(size=designs.shape)
    near, exact = (latent_pull_back(one)(designs, gradients) for one in (space, space.at(32.0)))
    cosines = (near * exact).sum(1) / np.linalg.norm(near, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.999


def test_pull_backs_are_known_by_their_space():
    one, same, other = (latent_pull_back(space) for space in (SPACES[0], SPACES[0], SPACES[0].at(6.0)))
    assert described(one) == described(same) != described(other)
    with pytest.raises(ValueError, match="among tanh, none"):
        latent_pull_back(replace(SPACES[0], projection="smoothed"))


def test_a_strategys_search_judges_gradients_in_theta_by_itself():
    problem = toy_problem(Toy())
    search = by_method(RandomSearch(), space=SMALL)
    learner = Learner(search, problem, None, 0)
    assert described(learner.choice.latent) == described(latent_pull_back(problem.space))
    given = PullBack("mine", lambda designs, gradients: gradients)
    assert Learner(replace(search, latent=given), problem, None, 0).choice.latent is given
    smoothed = replace(problem, space=replace(problem.space, projection="smoothed"))
    assert Learner(search, smoothed, None, 0).choice.latent is None
