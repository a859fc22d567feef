"""Thresholds and lengths, minimum features as a constraint and as a repair; imageruler is the referee."""

from __future__ import annotations

from dataclasses import dataclass, replace

import imageruler
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from invdesign.export import feature_sizes
from invdesign.spaces.border import Border, surround
from invdesign.spaces.constraints import MinimumFeature, penalty
from invdesign.spaces.corners import fabrication_corners
from invdesign.spaces.density import SYMMETRIES, conic_filter, conic_kernel
from invdesign.spaces.lengthscale import edge_shift_threshold, eroded_threshold, threshold_edge_shift
from invdesign.spaces.repair import _Case, _touched, disc, repair
from invdesign.spaces.space import DensitySpace, LengthScaleWarning
from tests.invdesign.taylor import taylor_rates


def noise(seed: int, shape: tuple[int, int], radius_px: float, **kwargs: object) -> np.ndarray:
    """A thresholded filtered random field, half solid."""
    rng = np.random.default_rng(seed)
    filtered = conic_filter(torch.from_numpy(rng.random(shape)), radius_px, **kwargs).numpy()  # type: ignore[arg-type]
    return filtered > np.median(filtered)


def measured(pattern: np.ndarray, periodic: tuple[bool, bool] = (False, False)) -> tuple[int, int]:
    if pattern.all() or not pattern.any():
        return 10**6, 10**6
    return imageruler.minimum_length_scale(pattern, periodic=periodic)


def test_edge_shift_is_the_cones_volume() -> None:
    """Against the volume of a finely sampled cone."""
    kernel = conic_kernel(200.0).sum(1).numpy()
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    for u in (0.05, 0.3, 0.62, 0.95):
        share = kernel[np.abs(offsets) <= u * 200].sum() / 2
        assert edge_shift_threshold(u, 1.0) == pytest.approx(share, abs=3e-3)
    assert edge_shift_threshold(1.0, 1.0) == pytest.approx(0.5)
    assert edge_shift_threshold(-0.3, 1.0) == -edge_shift_threshold(0.3, 1.0)
    for shift in (-0.07, 0.0, 0.01, 0.09):
        assert threshold_edge_shift(edge_shift_threshold(shift, 0.1), 0.1) == pytest.approx(shift, abs=1e-12)


def test_eroded_threshold_is_that_of_a_strip() -> None:
    """A hat filter over strips: where 1/2 gives the width b, the peak is the threshold."""
    x = np.linspace(-4, 4, 4001)
    hat = np.clip(1 - np.abs(x), 0, None)
    for ratio in (0.4, 1.0, 1.3, 1.9):
        low, high = 0.01, 3.0
        for _ in range(14):  # the strip whose filtered width at 1/2 is the ratio
            strip = (low + high) / 2
            field = np.convolve((np.abs(x) < strip / 2).astype(float), hat, "same") / hat.sum()
            low, high = (strip, high) if (field > 0.5).mean() * 8 < ratio else (low, strip)
        assert eroded_threshold(ratio, 1.0) == pytest.approx(field.max(), abs=4e-3)
    with pytest.raises(ValueError, match="above half the length"):
        eroded_threshold(0.2, 0.1)


@pytest.mark.parametrize("delta_um", [0.01, 0.025, 0.04])
def test_corners_move_a_straight_edge_by_what_was_asked(delta_um: float) -> None:
    space = DensitySpace((40, 20), 0.01, filter_radius_um=0.1, projection="smoothed", beta=np.inf)
    theta = np.zeros((40, 20))
    theta[:20] = 1
    eroded, dilated = fabrication_corners(delta_um, space)
    for scenario, sign in ((eroded, -1), (dilated, 1)):
        density = space.offset(scenario.erosion).decode(torch.from_numpy(theta.ravel())).numpy()
        edge_um = density[:, 10].sum() * 0.01
        assert edge_um - 0.2 == pytest.approx(sign * delta_um, abs=0.001)


def test_corners_move_the_rim_of_a_disc() -> None:
    """Within a tenth of the shift where the radius is five times that of the filter."""
    x = (np.arange(100) - 49.5) * 0.01
    r = np.hypot(x[:, None], x[None, :])
    space = DensitySpace((100, 100), 0.01, filter_radius_um=0.08, projection="smoothed", beta=np.inf)
    theta = torch.from_numpy((r < 0.4).astype(float).ravel())

    def radius(shift: float) -> float:
        return float(np.sqrt(float(space.offset(shift).decode(theta).sum()) * 0.01**2 / np.pi))

    for scenario, sign in zip(fabrication_corners(0.02, space), (-1, 1), strict=True):
        assert radius(scenario.erosion) - radius(0.0) == pytest.approx(sign * 0.02, rel=0.1)


def test_corners_refuse_what_the_filter_cannot_express(space: DensitySpace) -> None:
    with pytest.raises(ValueError, match="below the filter radius"):
        fabrication_corners(0.2, space)
    with pytest.raises(TypeError, match="conic filter"):
        fabrication_corners(0.1, Unfiltered())  # type: ignore[arg-type]


def test_discs_are_the_referees() -> None:
    for size in range(1, 40):
        assert np.array_equal(disc(size), imageruler.kernel_for_length_scale(size))


def test_repaired_patterns_measure_what_was_asked() -> None:
    """Random filtered patterns, random lengths: the referee finds them met, and a second repair does nothing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(30, 60)), int(rng.integers(30, 60)))
        width, spacing = int(rng.integers(2, 10)), int(rng.integers(2, 10))
        pattern = noise(seed, shape, rng.uniform(0.6, 1.6) * max(width, spacing))
        found = repair(pattern, width_px=width, spacing_px=spacing)
        assert found.feasible
        solid, void = measured(found.pattern)
        assert solid >= width
        assert void >= spacing
        assert found.changed == (found.pattern != pattern).sum()
        again = repair(found.pattern, width_px=width, spacing_px=spacing)
        assert again.changed == 0


def test_repair_changes_little_where_the_filter_is_wide() -> None:
    shares = []
    for seed in range(12):
        pattern = noise(seed, (60, 60), 12)
        found = repair(pattern, width_px=5, spacing_px=5)
        assert found.feasible
        shares.append(found.changed / pattern.size)
    assert max(shares) < 0.06
    assert np.mean(shares) < 0.03


def test_repair_touches_nothing_that_is_well() -> None:
    pattern = np.zeros((50, 50), dtype=bool)
    pattern[:, 20:30] = True
    assert repair(pattern, width_px=8, spacing_px=8).changed == 0
    blemished = pattern.copy()
    blemished[10, 10] = True
    blemished[30, 24] = False
    found = repair(blemished, width_px=8, spacing_px=8)
    assert np.array_equal(found.pattern, pattern)
    assert found.changed == 2


@pytest.mark.parametrize("seed", range(6))
def test_repair_knows_its_border(seed: int) -> None:
    """With the frame drawn around it the pattern is still as wide and as far apart as asked for."""
    border = Border(left=((20, "void"), (14, "solid"), (16, "void")), right="void", bottom="solid", top="void")
    pattern = noise(seed, (50, 50), 8, border=border)
    found = repair(pattern, width_px=6, spacing_px=5, border=border)
    assert found.feasible
    framed = surround(torch.from_numpy(found.pattern.astype(float)), 12, border).numpy() > 0.5
    solid, void = measured(framed)
    assert solid >= 6
    assert void >= 5


@pytest.mark.parametrize("periodic", [(True, False), (True, True)])
def test_repair_knows_its_period(periodic: tuple[bool, bool]) -> None:
    for seed in range(4):
        pattern = noise(seed, (48, 40), 8, periodic=periodic)
        found = repair(pattern, width_px=6, spacing_px=6, periodic=periodic)
        assert found.feasible
        solid, void = measured(found.pattern, periodic)
        assert min(solid, void) >= 6


@pytest.mark.parametrize("symmetry", [*sorted(SYMMETRIES), ("mirror_x", "diagonal")])
def test_repair_keeps_symmetry(symmetry: str | tuple[str, ...]) -> None:
    space = DensitySpace(
        (40, 40), 0.02, symmetry=symmetry, filter_radius_um=0.1, minimum_width_um=0.1, minimum_spacing_um=0.12
    )
    for seed in range(2):
        made = torch.from_numpy(space.binarize(np.random.default_rng(seed).random(space.size)))
        sizes = feature_sizes(made.numpy(), 0.02)
        assert (sizes.min_width_um or 1) >= 0.1 - 1e-9
        assert (sizes.min_spacing_um or 1) >= 0.12 - 1e-9
        for name in space.symmetries:
            for image in SYMMETRIES[name]:
                assert torch.equal(image(made), made)


@pytest.mark.parametrize(
    ("symmetry", "shape"),
    [
        (("mirror_y", "periodic_x", "periodic_y"), (44, 37)),
        (("rotation180", "periodic_x"), (46, 40)),
        (("mirror_x", "mirror_y"), (44, 40)),
        (("diagonal", "periodic_x", "periodic_y"), (40, 40)),
    ],
)
def test_repair_keeps_symmetry_masks_borders_and_periods_at_once(
    symmetry: tuple[str, ...], shape: tuple[int, int]
) -> None:
    """Measured by the referee in the surroundings, across the edge of the period where there is one."""
    periodic = ("periodic_x" in symmetry, "periodic_y" in symmetry)
    guide = ((14, "void"), (shape[1] - 28, "solid"), (14, "void"))
    border = Border(
        left="continue" if periodic[0] else guide,
        right="continue" if periodic[0] else guide,
        bottom="continue" if periodic[1] else "void",
        top="continue" if periodic[1] else "void",
    )
    x, y = (np.arange(n) - (n - 1) / 2 for n in shape)
    core = np.hypot(x[:, None], y[None, :]) < 7
    for seed in range(3):
        held = {"solid": core} if seed % 2 else {"void": core}
        space = DensitySpace(
            shape, 1.0, symmetry=symmetry, filter_radius_um=5, border=border, minimum_width_um=6, minimum_spacing_um=5
        )
        space = replace(space, **held)
        made = space.binarize(np.random.default_rng(seed).random(space.size))
        assert (made[core] == seed % 2).all()
        for name in set(symmetry) & set(SYMMETRIES):
            for image in SYMMETRIES[name]:
                assert torch.equal(image(torch.from_numpy(made)), torch.from_numpy(made))
        sizes = feature_sizes(made, 1.0, border=border, periodic=periodic)
        assert (sizes.min_width_um or 99) >= 6
        assert (sizes.min_spacing_um or 99) >= 5
        if any(periodic):
            # Tiled, nothing inside is small either; only slivers that the tiling's own rim cuts off may seem so.
            tiled = np.tile(made > 0.5, [3 if wraps else 1 for wraps in periodic])
            inside = tuple(slice(n, 2 * n) if wraps else slice(None) for n, wraps in zip(shape, periodic, strict=True))
            for phase, size in ((tiled, 6), (~tiled, 5)):
                small = imageruler.length_scale_violations_solid(np.ascontiguousarray(phase), size)
                assert not small[inside].any()


def test_sizes_are_measured_across_periods_and_with_the_surroundings() -> None:
    period = np.zeros((30, 20))
    period[:3] = 1
    period[27:] = 1
    assert feature_sizes(period, 0.1, periodic=(True, False)).min_width_um == pytest.approx(0.6)
    stub = np.zeros((30, 20))
    stub[2:, 8:16] = 1
    guide = Border(left=((8, "void"), (8, "solid"), (4, "void")))
    assert feature_sizes(stub, 0.1, border=guide).min_spacing_um == pytest.approx(0.2)
    assert (feature_sizes(stub, 0.1).min_spacing_um or 1) > 0.2
    with pytest.raises(ValueError, match="runs of 20 pixels"):
        feature_sizes(stub, 0.1, border=Border(left=((3, "solid"),)))


def test_covering_counts_as_counting_afresh_does() -> None:
    """The running counts of the greedy cover against a window's plain sum."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 6, 9):
        pixels, brush = rng.random((25, 19)) < 0.5, disc(size)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, brush.shape)
        assert np.array_equal(_touched(pixels, brush), (windows & brush).sum((-2, -1)))


def test_fine_noise_is_repaired_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far finer than the lengths: mending either way is given up as soon as it stalls, and what is given is sound."""
    rounds = []
    mend = _Case._mend

    def counted(self: _Case, pattern: np.ndarray, solid: bool, way: str) -> np.ndarray:
        rounds.append(way)
        return mend(self, pattern, solid, way)  # type: ignore[arg-type]

    monkeypatch.setattr(_Case, "_mend", counted)
    found = repair(noise(5, (110, 110), 3), width_px=8, spacing_px=8)
    assert found.feasible
    assert min(measured(found.pattern)) >= 8
    assert rounds.count("either") <= 20
    asked = len(rounds)
    again = repair(noise(5, (110, 110), 3), width_px=8, spacing_px=8)
    assert np.array_equal(again.pattern, found.pattern)
    assert len(rounds) == asked


def test_repair_leaves_fixed_pixels_and_says_what_they_forbid() -> None:
    solid = np.zeros((40, 40), dtype=bool)
    solid[18:22, :] = True  # a bar narrower than the least width
    wanted = {"minimum_width_um": 0.16, "minimum_spacing_um": 0.16, "filter_radius_um": 0.16}
    free = DensitySpace((40, 40), 0.02, solid=solid, **wanted)
    theta = np.random.default_rng(0).random(free.size)
    made = free.binarize(theta)
    assert (made[solid] == 1).all()
    assert (feature_sizes(made, 0.02).min_width_um or 1) >= 0.16 - 1e-9
    # A free column across a narrow fixed bar between fixed gaps can be neither solid nor void.
    column = np.arange(40) == 20
    gaps = np.roll(solid, 4, 0) | np.roll(solid, -4, 0)
    stuck = DensitySpace((40, 40), 0.02, solid=solid & ~column, void=gaps & ~column, **wanted)
    with pytest.warns(LengthScaleWarning, match="no repair removed"):
        stuck.binarize(theta)
    assert not stuck.repaired(theta).feasible


def test_etching_acts_on_the_repaired_pattern() -> None:
    space = DensitySpace((60, 60), 0.02, filter_radius_um=0.12, minimum_width_um=0.12, minimum_spacing_um=0.12)
    theta = np.random.default_rng(1).random(space.size)
    nominal = space.binarize(theta)
    eroded, dilated = (space.offset(s.erosion).binarize(theta) for s in fabrication_corners(0.02, space))
    assert (eroded <= nominal).mean() > 0.995
    assert (dilated >= nominal).mean() > 0.995
    assert eroded.sum() < nominal.sum() < dilated.sum()


@dataclass(frozen=True)
class Unfiltered:
    """A space of bare pixels, as another kind of space may be."""

    shape: tuple[int, int] = (30, 30)
    pixel_um: float = 0.02
    size: int = 900

    def decode(self, theta: Tensor) -> Tensor:
        return theta.reshape(*theta.shape[:-1], *self.shape)


SPACES = {
    "tanh": DensitySpace((30, 30), 0.02, filter_radius_um=0.1, beta=16.0),
    "smoothed": DensitySpace((30, 30), 0.02, filter_radius_um=0.1, projection="smoothed", beta=np.inf),
    "border": DensitySpace((30, 30), 0.02, filter_radius_um=0.1, border=Border("solid", "void", "void", "void")),
    "periodic": DensitySpace((30, 30), 0.02, symmetry="periodic_y", filter_radius_um=0.1),
    "unfiltered": Unfiltered(),
}


@pytest.mark.parametrize("kind", SPACES)
def test_constraint_gradient_passes_a_taylor_test(kind: str) -> None:
    space, constraint = SPACES[kind], MinimumFeature(0.1, 0.08)
    constraint.check(space)  # type: ignore[arg-type]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        theta = rng.uniform(0.1, 0.9, 900)
        for function in (
            lambda t: constraint.value(space, t).sum(),  # type: ignore[arg-type]
            lambda t: penalty([constraint], space, t),  # type: ignore[arg-type]
        ):
            rates = taylor_rates(function, theta, rng, 2e-4)
            assert min(rates) > 1.7, rates


def test_constraint_takes_batches() -> None:
    space, constraint = SPACES["tanh"], MinimumFeature(0.1, 0.08)
    thetas = torch.rand(2, 3, 900, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = constraint.value(space, thetas)  # type: ignore[arg-type]
    assert values.shape == (2, 3, 2)
    torch.testing.assert_close(values[1, 2], constraint.value(space, thetas[1, 2]))  # type: ignore[arg-type]


def test_constraint_tells_wide_bars_from_narrow_ones() -> None:
    """Bars whose width is found by the referee; width and spacing are told apart."""
    space = DensitySpace((60, 60), 0.02, filter_radius_um=0.12, beta=64.0)
    constraint = MinimumFeature(0.12, 0.12)

    def bars(width_px: int, gap_px: int) -> np.ndarray:
        row = np.arange(60) % (width_px + gap_px) < width_px
        theta = torch.from_numpy(np.repeat(row[:, None], 60, 1).astype(float).ravel())
        return constraint.value(space, theta).numpy()

    assert (bars(12, 12) <= 0).all()
    for narrow, wide, values in ((0, 1, bars(5, 14)), (1, 0, bars(14, 5))):
        assert values[narrow] > 10
        assert values[wide] <= 0


def test_constraint_in_the_loop_leaves_little_to_repair() -> None:
    """Drawing a pattern of fine features: with the constraint the result needs a fraction of the repair."""
    length = 0.1
    plain = DensitySpace((40, 40), 0.02, filter_radius_um=length)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        wanted = torch.from_numpy(DensitySpace((40, 40), 0.02, filter_radius_um=0.06).binarize(rng.random(1600)))
        changed = []
        for constraints in ([], [MinimumFeature(length, length)]):
            theta = 0.5 + 0.01 * rng.standard_normal(1600)
            for beta in (8.0, 16.0, 32.0, 64.0):
                space = plain.at(beta)

                def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
                    t = torch.from_numpy(x.copy()).requires_grad_()
                    value = ((space.decode(t) - wanted) ** 2).mean() + penalty(constraints, space, t)  # noqa: B023
                    return float(value.detach()), torch.autograd.grad(value, t)[0].numpy()

                options = {"maxfun": 60}
                theta = minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 1600, options=options).x
            changed.append(repair(plain.binarize(theta) > 0.5, width_px=5, spacing_px=5).changed)
        assert changed[1] < 0.25 * changed[0], changed


def test_senseless_constraints_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        MinimumFeature(0.0)
    with pytest.raises(ValueError, match="weight > 0"):
        MinimumFeature(0.1, weight=0)
    with pytest.raises(ValueError, match="above half the length"):
        MinimumFeature(0.3).check(SPACES["tanh"])  # type: ignore[arg-type]
