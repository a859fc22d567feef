"""Training while the solver keeps producing: from a reservoir in memory, no pass over a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.batches import prepare
from surrogates.data import Array, DataError, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.prediction import check_designs
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import load_state, save_state, with_output_units
from surrogates.training import TrainingConfig, TrainingDiverged, batch_loss

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """A uniform sample of all that was offered, of bounded size (Vitter, ACM Trans. Math. Softw. 1985, algorithm R).

    Args:
        capacity: items kept.
        seed: of the choice.

    Attributes:
        items: those kept.
        seen: how many were offered.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise ValueError(f"Expected a capacity of at least 1. Got {capacity}.")
        self.capacity = capacity
        self.items: list[Item] = []
        self.seen = 0
        self._rng = np.random.default_rng(seed)

    def offer(self, item: Item) -> bool:
        """Keeps the n-th item with probability capacity / n, in place of a random one; says whether it did."""
        self.seen += 1
        if len(self.items) < self.capacity:
            self.items.append(item)
            return True
        slot = int(self._rng.integers(self.seen))
        if slot < self.capacity:
            self.items[slot] = item
            return True
        return False


@dataclass(frozen=True, eq=False)
class _Sample:
    design: Array
    response: Mapping[str, Array]
    cotangents: Mapping[str, Array] | None
    gradient: Array | None


class OnlineTrainer:
    """One network, trained step by step on a reservoir of what the solver gave so far.

    Units of the outputs are fitted anew to the reservoir each time the number of samples has doubled; the head is
    rewritten exactly, so that the network's answers do not jump.

    Args:
        architecture: of the network.
        config: batch size, learning rate (constant), weight decay, gradient weight (the architecture's own goes
            before it) and device are used.
        capacity: samples kept.
        warmup: samples to wait for before the first step.
        seed: of the weights, the reservoir and the batches.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        config: TrainingConfig | None = None,
        capacity: int = 1000,
        warmup: int = 8,
        seed: int = 0,
    ) -> None:
        if not 2 <= warmup <= capacity:
            raise ValueError(f"Expected a warmup between 2 and the capacity ({capacity}). Got {warmup}.")
        self.architecture, self.config, self.warmup, self.seed = architecture, config or TrainingConfig(), warmup, seed
        self.reservoir: Reservoir[_Sample] = Reservoir(capacity, seed)
        self.steps = 0
        self._rng = np.random.default_rng([seed, 1])
        self._fitted_at = 0
        self._codec: ResponseCodec | None = None

    def feed(
        self,
        design: Array,
        response: Mapping[str, Array],
        gradient: Array | None = None,
        cotangents: Mapping[str, Array] | None = None,
    ) -> None:
        """One sample, as the solver gave it.

        Args:
            design: density in [0, 1].
            response: name -> value.
            gradient: J^T v, shaped like the design, with the cotangents it belongs to; both or neither.
            cotangents: v, name -> array in torch's convention.

        Raises:
            DataError: not finite, outside [0, 1], or unlike the samples before.
        """
        if (gradient is None) != (cotangents is None):
            raise DataError("Expected a gradient with its cotangents, or neither. Got one of the two.")
        sample = _Sample(
            np.array(design),
            _copied(response),
            None if cotangents is None else _copied(cotangents),
            None if gradient is None else np.array(gradient),
        )
        _level([*self.reservoir.items[:1], sample])
        self.reservoir.offer(sample)

    def step(self) -> float | None:
        """One step on a batch from the reservoir: its loss, or None while warming up.

        Raises:
            TrainingDiverged: the loss is no longer finite.
        """
        if self.reservoir.seen < self.warmup:
            return None
        with torch_threads(1):
            if self.reservoir.seen >= 2 * self._fitted_at and (
                not self._fitted_at or self._fitted_at < self.reservoir.capacity
            ):
                self._refit()
            assert self._codec is not None
            size = min(self.config.batch_size, len(self.reservoir.items))
            rows = self._rng.choice(len(self.reservoir.items), size=size, replace=False)
            batch = _level([self.reservoir.items[row] for row in rows])
            data = prepare(self._network, self._codec, batch, pick_device(self.config.device))
            own = self.architecture.gradient_weight
            weight = self.config.gradient_weight if own is None else own
            loss = batch_loss(self._network, data, np.arange(size), weight, self._rng)
            if not torch.isfinite(loss):
                raise TrainingDiverged(f"Expected a finite loss. Got {loss.item()} in step {self.steps + 1}.")
            self._optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
            self._optimiser.step()
        self.steps += 1
        return loss.item()

    def predict(self, design: Tensor) -> dict[str, Tensor]:
        """Name -> ``b x *quantity_shape`` of ``b x *design_shape`` densities, differentiable in them."""
        if self._codec is None:
            raise ValueError(f"Expected {self.warmup} samples and a step first. Got {self.reservoir.seen} samples.")
        check_designs(design, self.reservoir.items[0].design.shape)
        first = next(self._network.parameters())
        return self._codec.decode(self._network(design.to(first)))

    def samples(self) -> LevelData:
        """What the reservoir holds, each sample a group of its own: to fit an ensemble to, say.

        Raises:
            DataError: it holds none.
        """
        if not self.reservoir.items:
            raise DataError("Expected one sample at least. Got none; feed some first.")
        return _level(self.reservoir.items)

    def _refit(self) -> None:
        samples = self.samples()
        codec = ResponseCodec.fit(samples.responses)
        with seeded(self.seed):
            if self._codec is None:
                network = self.architecture.build(samples.design_shape, codec.n_outputs)
                self._network = network.to(pick_device(self.config.device))
                self._optimiser = torch.optim.AdamW(
                    self._network.parameters(), self.config.learning_rate, weight_decay=self.config.weight_decay
                )
            else:
                load_state(self._network, with_output_units(save_state(self._network), self._codec, codec))
        self._codec, self._fitted_at = codec, self.reservoir.seen


def _copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The caller may reuse its own."""
    return {name: np.array(array) for name, array in arrays.items()}


def _level(samples: list[_Sample]) -> LevelData:
    """The samples as one level, checked."""
    shape, responses_of = samples[0].design.shape, {n: v.shape for n, v in sorted(samples[0].response.items())}
    for sample in samples:
        found = {name: value.shape for name, value in sorted(sample.response.items())}
        if sample.design.shape != shape or found != responses_of:
            raise DataError(
                f"Expected designs {shape} with responses {responses_of}. Got {sample.design.shape} with {found}."
            )
        if sample.gradient is not None and sample.gradient.shape != shape:
            raise DataError(f"Expected a gradient of the design's shape {shape}. Got {sample.gradient.shape}.")
    with_gradient = [row for row, sample in enumerate(samples) if sample.gradient is not None]
    responses = {name: np.stack([sample.response[name] for sample in samples]) for name in responses_of}
    cotangents = {}
    for name, value in responses.items():
        own = [(samples[row].cotangents or {}).get(name, np.zeros_like(value[row])) for row in with_gradient]
        if own:
            cotangents[name] = np.stack(own)
    return LevelData(
        np.stack([sample.design for sample in samples]),
        responses,
        np.arange(len(samples)),
        np.array(with_gradient, dtype=np.int64),
        cotangents,
        np.array([samples[row].gradient for row in with_gradient]).reshape(len(with_gradient), *shape),
    )
