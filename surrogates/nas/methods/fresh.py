"""Networks that a search has not tried yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.space import SMALL, ArchitectureSpace

DRAWS = 100


def fresh(
    space: ArchitectureSpace,
    rng: np.random.Generator,
    tried: Collection[Architecture],
    draw: Callable[[], Architecture] | None = None,
) -> Architecture | None:
    """A network that is not among those tried; None where a small space has no other.

    Args:
        space: to draw from.
        rng: of the draws.
        tried: a set.
        draw: how to draw; uniformly from the space if None, and wherever ``draw`` gives nothing new.
    """
    for how in (draw, lambda: space.sample(rng)):
        for _ in range(DRAWS if how is not None else 0):
            drawn = how() if how is not None else space.sample(rng)
            if drawn not in tried:
                return drawn
    if space.size > SMALL:
        return None
    left = [architecture for architecture in space.everything() if architecture not in tried]
    return left[rng.integers(len(left))] if left else None
