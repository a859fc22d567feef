"""Virtual heat against exact labels, and labels against patterns drawn by hand."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from invdesign.spaces.border import Border
from invdesign.spaces.connectivity import enclosed_voids, floating_parts, overheating, temperature, warmest_connected
from invdesign.spaces.constraints import Connected, penalty
from invdesign.spaces.density import conic_filter
from invdesign.spaces.space import DensitySpace
from tests.invdesign.taylor import taylor_rates

CLOSED = Border("void", "void", "void", "void")
GUIDED = Border(left=((12, "void"), (6, "solid"), (12, "void")), right="void", bottom="void", top="void")


def flooded(pattern: np.ndarray, seeds: list[tuple[int, int]], periodic: tuple[bool, bool]) -> np.ndarray:
    """Pixels of the pattern reached from the seeds by steps over shared edges."""
    reached, queue = np.zeros_like(pattern), deque(s for s in seeds if pattern[s])
    for seed in queue:
        reached[seed] = True
    while queue:
        i, j = queue.popleft()
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            place = [i + di, j + dj]
            for axis in (0, 1):
                if periodic[axis]:
                    place[axis] %= pattern.shape[axis]
            if all(0 <= p < n for p, n in zip(place, pattern.shape, strict=True)):
                step = (place[0], place[1])
                if pattern[step] and not reached[step]:
                    reached[step] = True
                    queue.append(step)
    return reached


@pytest.mark.parametrize("periodic", [(False, False), (False, True)])
def test_labels_are_those_of_a_flood(periodic: tuple[bool, bool]) -> None:
    border = Border(left=((12, "void"), (6, "solid"), (12, "void")), right="void") if periodic[1] else GUIDED
    for seed in range(20):
        pattern = np.random.default_rng(seed).random((30, 30)) < 0.62
        held = flooded(pattern, [(0, j) for j in range(12, 18)], periodic)
        assert np.array_equal(floating_parts(pattern, border, periodic), pattern & ~held)
        rim = [(i, j) for i in range(30) for j in range(30) if i == 29 or (i == 0 and not 12 <= j < 18)]
        rim += [] if periodic[1] else [(i, j) for i in range(30) for j in (0, 29)]
        assert np.array_equal(enclosed_voids(pattern, border, periodic), ~pattern & ~flooded(~pattern, rim, periodic))


def test_floating_parts_of_known_patterns() -> None:
    pattern = np.zeros((9, 9))
    pattern[:4, 4] = 1
    pattern[4, 5] = 1  # touches by a corner only
    pattern[6:8, 6:8] = 1
    border = Border(left=((4, "void"), (1, "solid"), (4, "void")), right="void", bottom="void", top="void")
    floating = floating_parts(pattern, border)
    with pytest.raises(ValueError, match="runs of"):
        floating_parts(pattern[:, :-1], Border(left=((pattern.shape[1], "solid"),)))
    assert floating.sum() == 5
    assert not floating[:4, 4].any()
    assert np.array_equal(floating_parts(pattern, CLOSED), pattern > 0.5)
    assert floating_parts(pattern).sum() == 5  # unknown sides hold what touches them
    ring = np.zeros((9, 9))
    ring[2:7, 2:7] = 1
    ring[4, 4] = 0
    assert enclosed_voids(ring, CLOSED).sum() == 1
    assert enclosed_voids(ring, CLOSED)[4, 4]


def test_temperature_of_a_rod_is_the_parabola() -> None:
    """Heat 1 a pixel, zero one pixel to the left, no flux at the right: T_i = (i + 1) (L - i / 2)."""
    rod = torch.ones(40, 1, dtype=torch.float64)
    heat = temperature(rod, Border("solid", "void", "void", "void"), (False, False), 1e-12)[:, 0].numpy()
    i = np.arange(40)
    np.testing.assert_allclose(heat, (i + 1) * (40 - i / 2), rtol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_heat_and_labels_agree(seed: int) -> None:
    """Smooth random patterns: floating parts read about 1 and more, connected ones less, however tortuous."""
    verdicts = set()
    for share in (0.3, 0.5, 0.7):
        field = conic_filter(torch.from_numpy(np.random.default_rng(seed).random((30, 30))), 5.0, GUIDED).numpy()
        pattern = field > np.quantile(field, 1 - share)
        floating = floating_parts(pattern, GUIDED)
        for candidate in (pattern, pattern & ~floating):
            if candidate.any():
                value = float(overheating(torch.from_numpy(candidate.astype(float)), GUIDED))
                floats = bool(floating_parts(candidate, GUIDED).any())
                assert value > 0.9 if floats else value < 0.7
                verdicts.add(floats)
    assert verdicts == {True, False}


def test_a_lone_pixel_reads_about_one() -> None:
    lone = torch.zeros(30, 30, dtype=torch.float64)
    lone[20, 20] = 1
    assert 0.5 < float(overheating(lone, CLOSED)) < 1.5
    assert float(overheating(torch.zeros(30, 30, dtype=torch.float64), CLOSED)) < 0
    snake = torch.zeros(30, 30, dtype=torch.float64)
    snake[:, 12:18] = 1
    assert -2 < float(overheating(snake, GUIDED)) < 0
    assert warmest_connected((30, 30)) == 900 * 60 / 32


CASES = {
    "solid": (Connected(), DensitySpace((14, 12), 0.02, filter_radius_um=0.05, border=Border("solid"))),
    "void": (Connected(solid=False, void=True), DensitySpace((14, 12), 0.02, filter_radius_um=0.05)),
    "own border": (Connected(void=True, border=Border("solid", "void")), DensitySpace((14, 12), filter_radius_um=0.05)),
    "periodic": (
        Connected(),
        DensitySpace((14, 12), symmetry="periodic_x", filter_radius_um=0.05, border=Border(bottom="solid")),
    ),
    "both periods": (
        Connected(),
        DensitySpace((14, 12), symmetry=("periodic_x", "periodic_y"), filter_radius_um=0.05),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_gradient_passes_a_taylor_test(kind: str) -> None:
    constraint, space = CASES[kind]
    if kind != "both periods":
        constraint.check(space)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rates = taylor_rates(lambda t: constraint.value(space, t).sum(), rng.uniform(0.2, 0.8, space.size), rng, 1e-3)
        assert min(rates) > 1.8, rates


def test_constraint_takes_batches() -> None:
    constraint, space = CASES["own border"]
    thetas = torch.rand(2, 3, space.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = constraint.value(space, thetas)
    assert values.shape == (2, 3, 2)
    torch.testing.assert_close(values[1, 2], constraint.value(space, thetas[1, 2]))


def test_constraint_joins_an_island_to_the_guide() -> None:
    """Drawing a guide's stub and an island: without the constraint the island floats, with it nothing does."""
    wanted = torch.zeros(30, 30, dtype=torch.float64)
    wanted[:8, 12:18] = 1
    wanted[14:22, 12:18] = 1
    plain = DensitySpace((30, 30), 0.02, filter_radius_um=0.06, border=GUIDED)
    floats = []
    for constraints in ([], [Connected()]):
        theta = np.full(900, 0.5)
        for beta in (8.0, 16.0, 32.0):
            space = plain.at(beta)

            def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
                t = torch.from_numpy(x.copy()).requires_grad_()
                value = ((space.decode(t) - wanted) ** 2).mean() + penalty(constraints, space, t)  # noqa: B023
                return float(value.detach()), torch.autograd.grad(value, t)[0].numpy()

            theta = minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 900, options={"maxfun": 60}).x
        made = plain.binarize(theta)
        assert made[16:20, 13:17].all()
        floats.append(floating_parts(made, GUIDED).any())
    assert floats == [True, False]


def test_senseless_constraints_are_refused() -> None:
    with pytest.raises(ValueError, match="solid or void"):
        Connected(solid=False)
    with pytest.raises(ValueError, match="runs of 12 pixels"):
        Connected(border=Border(left=((3, "solid"),))).check(CASES["solid"][1])


def test_a_phase_without_an_exit_cannot_be_asked_to_have_one() -> None:
    """A period both ways, or void all round: every structure floats, whatever it is."""
    both = DensitySpace((12, 12), 0.02, symmetry=("periodic_x", "periodic_y"))
    for constraint in (Connected(), Connected(solid=False, void=True)):
        with pytest.raises(ValueError, match="somewhere outside"):
            constraint.check(both)
    islands = DensitySpace((12, 12), 0.02, border=Border("void", "void", "void", "void"))
    with pytest.raises(ValueError, match="Expected solid somewhere outside"):
        Connected().check(islands)
    Connected(solid=False, void=True).check(islands)
    Connected(border=Border(left=((6, "void"), (6, "solid")))).check(islands)
