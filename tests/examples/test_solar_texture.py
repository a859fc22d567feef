"""The textured film of the demo, in short: the numbers its story rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples import solar_texture as example
from invdesign import Budget, low_fidelity, run
from invdesign.spaces.connectivity import floating_parts
from physics.devices.open.library import SOLAR_BAND_UM, enhancement, ray_limit, single_pass, solar_texture
from tests.physics.layers import transfer


def test_a_short_descent_traps_more_light_than_any_flat_film() -> None:
    simulator = solar_texture(SOLAR_BAND_UM[::2], angle_deg=(0.0, 20.0), cells_um=(0.02,))
    problem = replace(example.problem, simulator=simulator)
    strategy = low_fidelity(betas=(4.0, 16.0), evaluations=24, starts=1)
    result = run(problem, strategy, budget=Budget(solves=50), seed=example.seed)
    best = result.best
    assert best is not None
    flats = [np.tile(np.arange(15) < rows, (35, 1)).astype(float) for rows in range(2, 16)]
    gains = [
        enhancement(simulator, design, answer["design_absorption"]).mean()
        for design, answer in [(best.design, best.response), *((flat, simulator.simulate(flat, 0)) for flat in flats)]
    ]
    alike = min(range(len(flats)), key=lambda i: abs(flats[i].mean() - best.design.mean()))
    assert gains[0] > 2 * gains[1 + alike] and gains[0] > max(gains[1:]), gains
    assert not floating_parts(best.design, example.problem.space.border, (True, False)).any()  # type: ignore[attr-defined]


def test_a_flat_film_absorbs_as_transfer_matrices_say() -> None:
    simulator = solar_texture((0.8,), cells_um=(0.005,), angle_deg=(0.0, 30.0))
    for polarization in ("Ez", "Hz"):
        film = replace(simulator, polarization=polarization)
        found = film.simulate(example.flat, 0)["design_absorption"][:, 0]
        omega, index = 2 * np.pi / 0.8, 3.5 + 5e-3j
        for angle, absorbed in zip(film.angle_deg, found, strict=True):
            kx = omega * np.sin(np.radians(angle))
            r, _ = transfer(polarization, omega, kx, [(0.3, index**2)], (1.0, -1e9 + 1j))
            np.testing.assert_allclose(absorbed, 1 - abs(r) ** 2, rtol=0.1)


def test_limits_and_enhancement() -> None:
    assert np.isclose(ray_limit(3.5, 0.0), 3.5 * np.pi) and np.isclose(ray_limit(3.5, 0.0, axes=2), 49)
    passes = single_pass(example.simulator, 0.2)
    np.testing.assert_allclose(passes[0], 4 * np.pi * 5e-3 / 0.75 * 0.2, rtol=1e-9)
    half = np.where(np.arange(15) < 10, example.flat, 0.0)
    shape = (len(example.simulator.angle_deg), len(passes))
    np.testing.assert_allclose(enhancement(example.simulator, half, np.broadcast_to(passes, shape)), 1, rtol=1e-9)
