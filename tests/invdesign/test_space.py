from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from invdesign.arrays import content_key
from invdesign.spaces.border import Border
from invdesign.spaces.density import SYMMETRIES, conic_filter, conic_kernel, images, symmetrize, tanh_projection
from invdesign.spaces.space import DensitySpace
from tests.invdesign.taylor import taylor_rates


@pytest.mark.parametrize("symmetry", sorted(SYMMETRIES))
def test_decoded_and_binarized_designs_have_the_symmetry(symmetry: str) -> None:
    space = DensitySpace((11, 11), pixel_um=0.1, symmetry=symmetry, filter_radius_um=0.25)
    theta = np.random.default_rng(0).random(space.size)
    density = space.decode(torch.from_numpy(theta))
    binary = torch.from_numpy(space.binarize(theta))
    for image in SYMMETRIES[symmetry]:
        torch.testing.assert_close(image(density), density, rtol=0, atol=1e-12)
        assert torch.equal(image(binary), binary)
    assert not torch.allclose(density, density.flip(-1).rot90(1)) or symmetry in ("rotation90", "diagonal")


def test_two_symmetries_compose() -> None:
    space = DensitySpace((8, 8), pixel_um=0.1, symmetry=("mirror_x", "mirror_y"), filter_radius_um=0)
    density = space.decode(torch.rand(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(density, density.flip(0))
    torch.testing.assert_close(density, density.flip(1))


def test_conic_kernel_is_the_published_cone() -> None:
    kernel = conic_kernel(3.0)
    raw = {0: 3.0, 1: 2.0, 2: 1.0}
    centre = kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1.0)
    for distance, weight in raw.items():
        assert kernel[centre, centre + distance] / kernel[centre, centre] == pytest.approx(weight / 3.0)


def test_filter_keeps_constants_up_to_the_edge() -> None:
    constant = torch.full((9, 7), 0.37, dtype=torch.float64)
    torch.testing.assert_close(conic_filter(constant, 3.3), constant)


def test_projection_keeps_its_ends_and_its_threshold() -> None:
    ends = tanh_projection(torch.tensor([0.0, 1.0], dtype=torch.float64), 16.0, 0.4)
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64))
    sharp = tanh_projection(torch.tensor([0.39, 0.41], dtype=torch.float64), 1e4, 0.4)
    assert sharp[0] < 1e-6
    assert sharp[1] > 1 - 1e-6


def test_decode_is_differentiable() -> None:
    space = DensitySpace((4, 5), pixel_um=0.1, symmetry="mirror_x", filter_radius_um=0.2)
    theta = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(space.decode, (theta,))


def test_decode_takes_batches(space: DensitySpace) -> None:
    thetas = torch.rand(3, space.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch = space.decode(thetas)
    assert batch.shape == (3, 12, 12)
    torch.testing.assert_close(batch[1], space.decode(thetas[1]))


def test_continuation_approaches_the_binarized_design(space: DensitySpace) -> None:
    theta = np.random.default_rng(3).random(space.size)
    binary = space.binarize(theta)
    gaps = [np.abs(space.at(b).decode(torch.from_numpy(theta)).numpy() - binary).mean() for b in (4, 16, 64, 4096)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.02
    assert space.beta == 8.0


def test_offset_erodes_and_dilates(space: DensitySpace) -> None:
    theta = np.random.default_rng(3).random(space.size)
    areas = [space.offset(shift).binarize(theta).sum() for shift in (-0.05, 0.0, 0.05)]
    assert areas[0] > areas[1] > areas[2]


def test_encode_starts_from_a_structure(space: DensitySpace) -> None:
    structure = np.zeros(space.shape)
    structure[:, 4:9] = 1
    assert np.array_equal(space.binarize(space.encode(structure)), structure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (0, 4)}, "shape"),
        ({"shape": (4,)}, "shape"),
        ({"shape": (12.5, 12)}, "whole pixel"),
        ({"border": "solid"}, "Expected a Border"),
        ({"symmetry": "spiral"}, "Expected symmetries among diagonal"),
        ({"shape": (12, 10), "symmetry": "diagonal"}, "square"),
        ({"filter_radius_um": -1}, "filter_radius_um"),
        ({"filter_radius_um": 50.0}, "below the design's width"),
        ({"projection": "step"}, "projection"),
        ({"eta": 1.5}, "eta"),
        ({"beta": 0}, "beta"),
    ],
)
def test_senseless_spaces_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DensitySpace(**({"shape": (12, 12)} | arguments))  # type: ignore[arg-type]


def test_wrong_sizes_are_refused(space: DensitySpace) -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 144\)"):
        space.decode(torch.zeros(7))
    with pytest.raises(ValueError, match=r"\(12, 12\)"):
        space.encode(np.zeros((3, 3)))


GUIDED = Border(left=((4, "void"), (4, "solid"), (4, "void")), right="void", bottom="void", top="void")


def test_border_removes_tips_and_keeps_the_guide_open() -> None:
    """A field that half wants to be solid everywhere: along a void side nothing stays, at the guide it does."""
    theta = np.full(144, 0.6)
    unknown, known = (
        DensitySpace((12, 12), pixel_um=0.1, filter_radius_um=0.35, border=b).binarize(theta)
        for b in (Border(), GUIDED)
    )
    assert unknown.all()
    assert known[0, 5:7].all()
    assert not known[0, :3].any()
    assert not known[-1].any()


def test_fixed_pixels_stay_and_the_filter_sees_them() -> None:
    solid = np.zeros((12, 12), dtype=bool)
    solid[:, 5:7] = True
    void = np.zeros((12, 12), dtype=bool)
    void[3:6, 9:] = True
    space = DensitySpace((12, 12), pixel_um=0.1, filter_radius_um=0.25, solid=solid, void=void)
    for theta in (np.zeros(144), np.random.default_rng(0).random(144)):
        for made in (space.decode(torch.from_numpy(theta)).numpy(), space.binarize(theta)):
            assert (made[solid] == 1).all()
            assert (made[void] == 0).all()
    beside = space.filtered(torch.zeros(144, dtype=torch.float64)).numpy()
    assert beside[6, 4] > 0.2
    assert hash(space) == hash(DensitySpace((12, 12), 0.1, filter_radius_um=0.25, solid=space.solid, void=void))
    assert content_key(space) != content_key(replace(space, solid=None))
    assert content_key(space) == content_key(replace(space, beta=8.0))


@pytest.mark.parametrize("axis", [0, 1])
def test_periodic_designs_move_around(axis: int) -> None:
    space = DensitySpace((12, 10), 0.1, symmetry=("periodic_x", "periodic_y")[axis], filter_radius_um=0.35)
    theta = np.random.default_rng(0).random((12, 10))
    moved = np.roll(theta, 3, axis)
    for function in (space.binarize, lambda t: space.decode(torch.from_numpy(t)).numpy()):
        np.testing.assert_allclose(function(moved.ravel()), np.roll(function(theta.ravel()), 3, axis), atol=1e-12)


def test_a_group_has_all_images() -> None:
    """A mirror and a diagonal together generate the eight maps of the square."""
    assert [len(images(names)) for names in ((), ("mirror_x",), ("rotation90",), ("mirror_x", "mirror_y"))] == [
        1,
        2,
        4,
        4,
    ]
    assert len(images(("mirror_x", "diagonal"))) == 8
    array = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = symmetrize(array, ("mirror_x", "diagonal"))
    for names in SYMMETRIES:
        torch.testing.assert_close(symmetrize(whole, (names,)), whole)
    torch.testing.assert_close(whole.mean(), array.mean())


@pytest.mark.parametrize("kind", ["tanh", "smoothed", "infinite", "none", "fixed"])
def test_decode_passes_a_taylor_test(kind: str) -> None:
    space = {
        "tanh": DensitySpace((12, 12), 0.1, filter_radius_um=0.3, border=GUIDED),
        "smoothed": DensitySpace((12, 12), 0.1, filter_radius_um=0.3, border=GUIDED, projection="smoothed"),
        "infinite": DensitySpace((12, 12), 0.1, filter_radius_um=0.3, projection="smoothed", beta=np.inf),
        "none": DensitySpace((12, 12), 0.1, "periodic_x", filter_radius_um=0.3, projection="none"),
        "fixed": DensitySpace((12, 12), 0.1, "diagonal", filter_radius_um=0.3, solid=np.eye(12)),
    }[kind]
    weights = torch.rand(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        # The square gives linear maps a remainder as well.
        rates = taylor_rates(lambda t: (space.decode(t) ** 2 * weights).sum(), rng.uniform(0.1, 0.9, 144), rng, 1e-4)
        assert min(rates) > 1.7, rates


def test_smoothed_designs_are_the_binarized_ones_but_for_edges() -> None:
    space = DensitySpace((40, 40), 0.02, filter_radius_um=0.1, projection="smoothed", beta=np.inf)
    for seed in range(3):
        theta = np.random.default_rng(seed).random(space.size)
        density, made = space.decode(torch.from_numpy(theta)).numpy(), space.binarize(theta)
        sharp = (density == 0) | (density == 1)
        assert np.array_equal(density[sharp], made[sharp])
        assert np.abs(density - made).max() < 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": np.inf}, "finite beta for the tanh"),
        ({"projection": "smoothed", "filter_radius_um": 0.02}, "above a pixel"),
        ({"border": GUIDED, "symmetry": "mirror_x"}, "fixed pixels and a border with the symmetry 'mirror_x'"),
        ({"border": GUIDED, "symmetry": "periodic_y"}, "no border on the periodic sides bottom and top"),
        ({"border": Border(left=((3, "solid"),))}, "runs of 12 pixels in all on the left"),
        ({"solid": np.triu(np.ones((12, 12))), "symmetry": "diagonal"}, "with the symmetry 'diagonal'"),
        ({"solid": np.eye(12), "void": np.eye(12)}, "both solid and void"),
        ({"solid": np.eye(11)}, r"shape \(12, 12\)"),
        ({"minimum_width_um": -0.1}, "minimum_width_um from 0"),
        ({"symmetry": ("periodic_x", "diagonal")}, "periods along both axes"),
        ({"shift": 0.6}, "eta \\+ shift"),
    ],
)
def test_misfits_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DensitySpace(**({"shape": (12, 12)} | arguments))  # type: ignore[arg-type]


def test_documented_examples_run() -> None:
    """All snippets of docs/design_spaces.md in turn; they assert what they claim."""
    text = (Path(__file__).parents[2] / "docs" / "design_spaces.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(snippets) >= 5
    exec(compile("\n".join(snippets), "design_spaces.md", "exec"), {})
