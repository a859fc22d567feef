"""Species: alike individuals share their fitness, so that none takes over and what is new has time to improve.

Stanley & Miikkulainen, "Evolving neural networks through augmenting topologies", Evolutionary Computation 10 (2002),
section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Individual = TypeVar("Individual")


def speciate(
    individuals: Sequence[Individual],
    representatives: Mapping[int, Individual],
    distance: Callable[[Individual, Individual], float],
    threshold: float,
    limit: int | None = None,
) -> dict[int, list[Individual]]:
    """Number of a species -> its members, at least one.

    An individual joins the first species whose representative is within the threshold, else founds one with the next
    number; where there are ``limit`` species already it joins the nearest.
    """
    known = dict(representatives)
    found: dict[int, list[Individual]] = {number: [] for number in known}
    for one in individuals:
        distances = {number: distance(one, other) for number, other in known.items()}
        number = next((n for n, d in distances.items() if d <= threshold), None)
        if number is None and limit is not None and len(known) >= limit:
            number = min(distances, key=distances.__getitem__)
        if number is None:
            number = max(known, default=-1) + 1
            known[number] = one
            found[number] = []
        found[number].append(one)
    return {number: members for number, members in found.items() if members}


def ranks(errors: Sequence[float]) -> NDArray[np.float64]:
    """Fitness in (0, 1], 1 the least error; equal errors have equal fitness."""
    values = np.asarray(errors, dtype=float)
    return np.array([(values >= value).mean() for value in values])


def offspring(fitness: Mapping[int, Sequence[float]], total: int) -> dict[int, int]:
    """Children of each species: ``total`` in proportion to the members' sum of fitness over the species' size."""
    shared = {number: float(np.sum(values)) / len(values) for number, values in fitness.items()}
    whole = sum(shared.values())
    wanted = {number: total * (share / whole if whole > 0 else 1 / len(shared)) for number, share in shared.items()}
    given = {number: int(want) for number, want in wanted.items()}
    rest = sorted(wanted, key=lambda number: given[number] - wanted[number])
    for number in rest[: total - sum(given.values())]:
        given[number] += 1
    return given
