from __future__ import annotations

import numpy as np
import pytest
import torch

from invdesign.targets import CustomTarget, Target, TensorResponse
from physics.base import Fidelity, Quantity

AXES = {"port": ("in", "out", "tap"), "wavelength_um": (1.5, 1.55, 1.6)}
FIDELITY = Fidelity("f", 1.0, (Quantity("power", AXES), Quantity("s", AXES, "1", complex)))


def response(power: object) -> dict[str, torch.Tensor]:
    values = torch.as_tensor(np.broadcast_to(np.asarray(power, dtype=float), (3, 3)).copy())
    return {"power": values, "s": values.sqrt().to(torch.complex128) * 1j}


def test_distance_is_zero_exactly_within_the_band() -> None:
    target = Target("power", at={"port": "out"}, lower=0.4, upper=0.6)
    assert target.distance(response(0.4), FIDELITY) == 0
    assert target.distance(response(0.6), FIDELITY) == 0
    assert target.distance(response(0.399), FIDELITY) == pytest.approx(0.001)
    assert target.distance(response(0.75), FIDELITY) == pytest.approx(0.15)


def test_regions_choose_coordinates() -> None:
    power = np.arange(9.0).reshape(3, 3)
    cases = [
        ({"port": "out"}, [3, 4, 5]),
        ({"port": ["in", "tap"], "wavelength_um": 1.55}, [1, 7]),
        ({"port": "tap", "wavelength_um": slice(1.52, None)}, [7, 8]),
        ({"wavelength_um": slice(None, 1.5)}, [0, 3, 6]),
    ]
    for at, wanted in cases:
        chosen = Target("power", at=at, lower=0).values(response(power), FIDELITY)
        assert chosen.flatten().tolist() == wanted


def test_decibels_of_powers_and_amplitudes_agree() -> None:
    for quantity in ("power", "s"):
        values = Target(quantity, lower=-30, scale="db").values(response(0.01), FIDELITY)
        torch.testing.assert_close(values, torch.full((3, 3), -20.0, dtype=torch.float64))


def test_decibel_gradient_is_finite_at_zero() -> None:
    values = {"power": torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)}
    Target("power", upper=-20, scale="db").loss(values, FIDELITY).backward()
    assert torch.isfinite(values["power"].grad).all()  # type: ignore[arg-type]


def test_loss_is_smooth_and_presses_beyond_the_edge() -> None:
    target = Target("power", lower=0.9)
    losses = [float(target.loss(response(p), FIDELITY)) for p in (0.5, 0.9, 0.92, 0.99)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(0.4, abs=1e-6)


def test_a_curve_with_tolerance_is_a_band_of_arrays() -> None:
    curve = np.array([0.1, 0.5, 0.9])
    target = Target("power", at={"port": "out"}, lower=curve - 0.05, upper=curve + 0.05)
    assert target.distance(response(curve + 0.04), FIDELITY) == 0
    assert target.distance(response(curve + np.array([0, 0, 0.06])), FIDELITY) == pytest.approx(0.01)


def test_batches_are_kept() -> None:
    batch = {"power": torch.stack([response(0.1)["power"], response(0.5)["power"]])[None].expand(4, 2, 3, 3)}
    target = Target("power", lower=0.3)
    assert target.loss(batch, FIDELITY).shape == (4, 2)
    assert target.distance(batch, FIDELITY)[0].tolist() == pytest.approx([0.2, 0.0])


def test_goals_have_a_loss_and_no_distance() -> None:
    up, down = Target("power", goal="maximize"), Target("power", goal="minimize")
    assert up.loss(response(0.7), FIDELITY) == pytest.approx(-0.7)
    assert down.loss(response(0.7), FIDELITY) == pytest.approx(0.7)
    assert up.distance(response(0.7), FIDELITY) == 0


def contrast(values: TensorResponse) -> torch.Tensor:
    power = values["power"]
    return 1 - (power[..., 1, :] - power[..., 2, :]).mean(-1)


def test_any_torch_function_is_a_target() -> None:
    target = CustomTarget(contrast, tolerance=0.5)
    target.check(FIDELITY)
    assert target.distance(response([[0.0] * 3, [0.9] * 3, [0.1] * 3]), FIDELITY) == 0
    assert target.distance(response(0.5), FIDELITY) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="one real number"):
        CustomTarget(lambda values: values["power"]).check(FIDELITY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lower": 0.9, "upper": 0.5}, "lower <= upper"),
        ({}, "lower or upper edge or a goal"),
        ({"lower": float("nan")}, "finite"),
        ({"lower": 0, "scale": "octave"}, "scale"),
        ({"lower": 0, "weight": 0}, "weight"),
        ({"lower": 0, "softness": 0}, "softness"),
        ({"goal": "improve"}, "goal"),
    ],
)
def test_senseless_targets_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Target("power", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("power", at={"port": "drop"}, lower=0), r"Expected port among \['in', 'out', 'tap'\]. Got 'drop'"),
        (Target("power", at={"angle": 3}, lower=0), "axes among port, wavelength_um"),
        (Target("flux", lower=0), "answers power, s"),
        (Target("power", at={"wavelength_um": slice(2, 3)}, lower=0), "within"),
        (Target("power", at={"wavelength_um": 1.51}, lower=0), "wavelength_um among"),
        (Target("power", at={"port": "out"}, lower=np.zeros(7)), "broadcast"),
    ],
)
def test_targets_that_do_not_fit_the_response_are_refused(target: Target, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target.check(FIDELITY)


CHEAP = Fidelity(
    "cheap", 1.0, (Quantity("strength_estimate", {}, "GPa"), Quantity("stress", {"strain": (0.1, 0.2)}, "GPa"))
)
DEAR = Fidelity("dear", 9.0, (Quantity("strength", {}, "GPa"), Quantity("stress", {"strain": (0.1, 0.15, 0.2)}, "GPa")))


def test_a_proxy_stands_in_where_the_quantity_is_not_answered() -> None:
    target = Target("strength", lower=4.0, proxies={"nothing": 1.0, "strength_estimate": 0.5})
    cheap, dear = {"strength_estimate": torch.tensor([6.0, 10.0])}, {"strength": torch.tensor([6.0, 3.0])}
    target.check(CHEAP)
    target.check(DEAR)
    assert target.distance(cheap, CHEAP).tolist() == [1.0, 0.0]
    assert target.distance(dear, DEAR).tolist() == [0.0, 1.0]
    assert target.answered(DEAR)[0].name == "strength"
    with pytest.raises(ValueError, match="Got 'strength'"):
        Target("strength", lower=4.0).check(CHEAP)


def test_a_proxy_passes_gradients() -> None:
    value = torch.tensor(6.0, dtype=torch.float64, requires_grad=True)
    target = Target("strength", goal="maximize", proxies={"strength_estimate": 0.5})
    target.loss({"strength_estimate": value}, CHEAP).backward()
    assert value.grad == -0.5


def test_one_curve_may_be_asked_on_the_grids_of_two_levels() -> None:
    band = Target("stress", at={"strain": [0.1, 0.2]}, lower=[0.0, 2.0], upper=[1.0, 4.0])
    for fidelity, stress in ((CHEAP, [0.5, 3.0]), (DEAR, [0.5, 9.0, 3.0])):
        band.check(fidelity)
        assert band.distance({"stress": torch.tensor(stress)}, fidelity) == 0


@pytest.mark.parametrize(
    "proxies", [{"strength_estimate": 0.0}, {"strength": 1.0}, {"strength_estimate": "1"}, ["strength_estimate"]]
)
def test_bad_proxies_are_refused(proxies) -> None:
    with pytest.raises(ValueError, match="Expected proxies"):
        Target("strength", lower=4.0, proxies=proxies)
