"""What trainings an ensemble consists of: one a member, each with a seed of its own, all through the memo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from surrogates.memo import Memo, Payload


def charged(memo: Memo, kind: str, inputs: Mapping[str, Any], compute: Callable[[], Payload]) -> tuple[Payload, float]:
    """A payload by the memo without its ``cpu_seconds``, and those."""
    payload = dict(memo(kind, inputs, compute))
    return payload, float(payload.pop("cpu_seconds"))


def train_members(
    memo: Memo,
    kind: str,
    members: int,
    seed: int,
    inputs: Callable[[int], Mapping[str, Any]],
    work: Callable[[int, int], Payload],
) -> tuple[list[Payload], float]:
    """Train ``members`` networks.

    Args:
        memo: each training goes through it, under ``kind``.
        kind: of result.
        members: how many.
        seed: of the ensemble; member m is trained with ``1000 * seed + m``.
        inputs: member -> what its result depends on, beside its number and the seed.
        work: (member, its seed) -> its payload, with ``cpu_seconds``.

    Returns:
        The payloads without ``cpu_seconds``, and the sum of those, replayed ones included.
    """
    done = [
        charged(memo, kind, {**inputs(m), "member": m, "seed": seed}, partial(work, m, 1000 * seed + m))
        for m in range(members)
    ]
    return [payload for payload, _ in done], sum(seconds for _, seconds in done)
