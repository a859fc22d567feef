"""Evolution of normalisation-activation layers, judged in several networks, the hopeless ones rejected early.

Liu, Brock, Simonyan & Le, NeurIPS 2020 (arXiv 2004.02967): tournaments on the Pareto front over several networks
(section 3.3), rejection for quality and for stability (section 3.4).
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.batches import prepare
from surrogates.nas.lab import BudgetSpent, Lab
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods.expressions import LayerSpace, affine
from surrogates.networks.expressions import Expression
from surrogates.runtime import pick_device, seeded, torch_threads


@dataclass(frozen=True)
class EvoNorm:
    """Searches layers for networks of the lab's space.

    Args:
        layers: the space of layers.
        anchors: networks to judge a layer in, those beyond the cap of the lab's space left out; empty for ``n_anchors``
            of the space at random.
        population, tournament: sizes; the oldest layer leaves.
        rounds: layers to be made after the first population.
        slack: a layer is rejected whose error at the first rung, in any network, is more than this times that of the
            network's own activation.
        growth_limit: a layer is rejected whose gradient norm grows more than this under weights moved to make it grow;
            infinite for no such check.
        finalists: layers to be trained to the last rung at the end, the best in their mean error.
    """

    layers: LayerSpace = LayerSpace()  # noqa: RUF009
    anchors: tuple[Architecture, ...] = ()
    n_anchors: int = 3
    population: int = 16
    tournament: int = 4
    rounds: int = 100
    slack: float = 1.3
    growth_limit: float = 1e8
    finalists: int = 3
    name: str = "evonorm"

    def __post_init__(self) -> None:
        for name, least in (("population", 1), ("tournament", 1), ("rounds", 0), ("finalists", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"Expected {name} of at least {least}. Got {getattr(self, name)}.")
        if not self.anchors and self.n_anchors < 1:
            raise ValueError(f"Expected n_anchors of at least 1, or anchors. Got {self.n_anchors}.")
        if not self.slack > 0 or not self.growth_limit > 0:
            raise ValueError(f"Expected slack and growth_limit above 0. Got {self.slack} and {self.growth_limit}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        evolve_layers(self, lab, rng)


@dataclass(frozen=True, eq=False)
class Layers:
    """What the evolution found, as far as the budget allowed.

    Args:
        judged: layer -> its error in each network at the first rung; all that were not rejected.
        rejected: layer -> ``quality``, ``stability``, or ``cap`` where a network with it is beyond that of the
            space.
        best: of least mean error over the networks at the last rung; at the first where ``finals`` is empty.
        finals: layer -> that mean, of the finalists that were trained to the last rung in every network.
    """

    judged: dict[Expression, tuple[float, ...]]
    rejected: dict[Expression, str]
    best: Expression
    finals: dict[Expression, float]


def evolve_layers(method: EvoNorm, lab: Lab, rng: np.random.Generator) -> Layers:
    """The search itself; the budget ends it, and what was found until then is given.

    Raises:
        TypeError: for a lab that does not train.
        ValueError: where all given networks are beyond the cap.
        BudgetSpent: if the budget was spent before one layer was judged in every network.
        RuntimeError: if every layer of the first population is rejected again and again.
    """
    if not isinstance(lab, LiveLab):
        raise TypeError(f"Expected a LiveLab: layers not in a table must be trained. Got {type(lab).__name__}.")
    anchors = tuple(anchor for anchor in method.anchors if lab.space.admits(anchor))
    if method.anchors and not anchors:
        keys = ", ".join(anchor.key for anchor in method.anchors)
        raise ValueError(
            f"Expected one network at least within the cap. Got {keys}; raise {lab.space.cap}, or give smaller ones."
        )
    anchors = anchors or tuple(lab.space.sample(rng) for _ in range(method.n_anchors))
    limits = [method.slack * lab.ask(anchor, 0).error for anchor in anchors]
    judged: dict[Expression, tuple[float, ...]] = {}
    rejected: dict[Expression, str] = {}

    def accepted(layer: Expression) -> bool:
        if layer in judged or layer in rejected:
            return layer in judged
        networks = [replace(anchor, activation=str(affine(layer))) for anchor in anchors]
        if not all(lab.space.admits(network) for network in networks):
            rejected[layer] = "cap"
            return False
        errors: list[float] = []
        for network, limit in zip(networks, limits, strict=True):
            if not _stable(network, method, lab):
                rejected[layer] = "stability"
                return False
            errors.append(lab.ask(network, 0).error)
            if not errors[-1] <= limit:
                rejected[layer] = "quality"
                return False
        judged[layer] = tuple(errors)
        return True

    def evolved() -> None:
        population: deque[Expression] = deque(maxlen=method.population)
        for _ in range(100 * method.population):
            if len(population) == method.population:
                break
            layer = method.layers.sample(rng)
            if accepted(layer):
                population.append(layer)
        if not population:
            raise RuntimeError(
                "Expected a layer that trains at all in the first population. Got none; raise slack, growth_limit "
                "or the cap."
            )
        for _ in range(method.rounds):
            drawn = rng.choice(len(population), min(method.tournament, len(population)), replace=False)
            front = pareto([population[k] for k in drawn], judged)
            child = method.layers.mutate(front[rng.integers(len(front))], rng)
            if accepted(child):
                population.append(child)

    try:
        evolved()
    except BudgetSpent:
        if not judged:
            raise
    order = sorted(judged, key=lambda layer: float(np.mean(judged[layer])))
    finals: dict[Expression, float] = {}
    with suppress(BudgetSpent):
        for layer in order[: method.finalists]:
            errors = [lab.ask(replace(a, activation=str(affine(layer)))).error for a in anchors]
            finals[layer] = float(np.mean(errors))
    return Layers(judged, rejected, min(finals, key=finals.__getitem__) if finals else order[0], finals)


def _stable(network: Architecture, method: EvoNorm, lab: LiveLab) -> bool:
    if method.growth_limit == float("inf"):
        return True
    lab.charge(0.0)  # ends here where nothing is left
    started = time.process_time()
    growth = gradient_growth(network, lab.task)
    lab.charge(time.process_time() - started)
    return growth <= method.growth_limit


def pareto(layers: list[Expression], judged: dict[Expression, tuple[float, ...]]) -> list[Expression]:
    """Those no other is better than in some network without being worse in another."""
    errors = np.array([judged[layer] for layer in layers])
    return [
        layer
        for layer, own in zip(layers, errors, strict=True)
        if not ((errors <= own).all(axis=1) & (errors < own).any(axis=1)).any()
    ]


def gradient_growth(
    architecture: Architecture, task: Task, *, steps: int = 8, rate: float = 0.1, samples: int = 8, seed: int = 0
) -> float:
    """How much the norm of the loss's gradient in the weights grows when they move to make it grow.

    ``steps`` steps along the gradient of the squared norm, each as long as ``rate`` times the weights' own norm; the
    largest norm met, over the first. Infinite where it overflows. Section 3.4 of the paper, "stability".
    """
    data = task.train.levels[task.train.reference]
    device = pick_device(task.config.device)
    with torch_threads(1), seeded(seed):
        network = architecture.build(data.design_shape, task.codec.n_outputs).to(device)
        batch = prepare(network, task.codec, data.take(np.arange(min(samples, len(data)))), device)
        weights = [p for p in network.parameters() if p.ndim > 1]
        norms: list[float] = []
        for _ in range(steps + 1):
            loss = ((network.from_pooled(batch.pooled) - batch.outputs) ** 2).mean()
            squared = _squared(torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True))
            norms.append(float(squared.detach()) ** 0.5)
            if not np.isfinite(norms[-1]) or norms[0] == 0:
                return float("inf")
            ascent = torch.autograd.grad(squared, weights, allow_unused=True)
            length = float(_squared(ascent)) ** 0.5
            if not np.isfinite(length):
                return float("inf")
            if length == 0:
                break
            own = float(_squared(tuple(weights)).detach()) ** 0.5
            if not np.isfinite(own):
                return float("inf")
            with torch.no_grad():
                for weight, direction in zip(weights, ascent, strict=True):
                    if direction is not None:
                        # In double precision: where gradients all but vanish, the factor is beyond single.
                        weight.add_((direction.double() * (rate * own / length)).to(weight.dtype))
    return max(norms) / norms[0]


def _squared(tensors: tuple[Tensor | None, ...]) -> Tensor:
    # In double precision: squares of large gradients overflow early.
    return torch.stack([t.double().square().sum() for t in tensors if t is not None]).sum()
