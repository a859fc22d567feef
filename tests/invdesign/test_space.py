from __future__ import annotations

import numpy as np
import pytest
import torch

from invdesign.density import SYMMETRIES, conic_filter, conic_kernel, tanh_projection
from invdesign.space import DensitySpace


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
