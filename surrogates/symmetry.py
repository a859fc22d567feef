"""Samples multiplied by the symmetries of a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from surrogates.data import Array, DataError, Dataset, LevelData

Responses = Mapping[str, Array]


def _same(responses: Responses) -> Responses:
    return responses


@dataclass(frozen=True)
class Image:
    """A design of which one knows the response, given another's.

    Args:
        design: one design to its image; moves pixels and changes none, as a mirror or a rotation.
        response: name -> ``n x *quantity_shape`` of designs to that of their images; moves entries (two ports that
            change places, say) and changes none. The same if left out.
    """

    design: Callable[[Array], Array]
    response: Callable[[Responses], Responses] = _same

    def permutation(self, shape: tuple[int, ...]) -> Array:
        """Which pixel each pixel of the image is.

        Raises:
            DataError: ``design`` does not just move pixels.
        """
        size = int(np.prod(shape))
        places = np.asarray(self.design(np.arange(size, dtype=float).reshape(shape) / size)) * size
        order = np.round(places).astype(np.int64)
        if order.shape != shape or not np.array_equal(np.sort(order.ravel()), np.arange(size)):
            raise DataError(f"Expected an image that moves the pixels of {shape} designs. Got one that changes them.")
        other = np.random.default_rng(0).random(shape)
        if not np.allclose(self.design(other), other.ravel()[order.ravel()].reshape(shape)):
            raise DataError("Expected an image that moves the pixels of all designs alike. Got one that does not.")
        return order.ravel()

    def of(self, samples: LevelData) -> LevelData:
        """The image of every sample, in its group; gradients move as the pixels do, cotangents as the responses."""
        order = self.permutation(samples.design_shape)

        def moved(arrays: Array) -> Array:
            return arrays.reshape(len(arrays), len(order))[:, order].reshape(arrays.shape)

        return LevelData(
            moved(samples.designs),
            self.response(samples.responses),
            samples.groups,
            samples.gradient_rows,
            self.response(samples.cotangents),
            moved(samples.gradients),
        )


def augment(data: LevelData, images: Sequence[Image | Callable[[Array], Array]]) -> LevelData:
    """The samples and all their images. Groups are kept: a split never parts a sample from its image.

    For the training side: split first, take late rows of what is to judge, then augment what is to train. All images
    stand behind all samples, so that rows of a group are no longer those of a run in its order: ``late_rows`` of them
    would be images of early designs as well as late ones, and a sample's successor may be another design's image.

    Args:
        data: of one level.
        images: a bare function of a design means the same response. Compositions are images of their own: hand in
            all elements of the group but the identity.

    Raises:
        DataError: an image that does more than move pixels.
    """
    copies = [(one if isinstance(one, Image) else Image(one)).of(data) for one in images]
    return reduce(LevelData.concat, copies, data)


def augment_all(data: Dataset, images: Sequence[Image | Callable[[Array], Array]]) -> Dataset:
    """``augment`` at every level."""
    return Dataset({level: augment(samples, images) for level, samples in data.levels.items()})
