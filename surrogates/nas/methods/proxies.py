"""Zero-cost proxies: networks ranked before any training, the best of a sample trained.

Abdelfattah, Mehrotra, Dudziak, Lane, ICLR 2021 (arXiv 2101.08134). The number of parameters is the one to beat
(White, Khodak, Tu, Shah, Bubeck, Dey, ICLR blog track 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.batches import prepare
from surrogates.nas.cost import flops, parameters
from surrogates.nas.lab import Lab, Shapes
from surrogates.nas.live import Task
from surrogates.nas.methods.fresh import fresh
from surrogates.networks import SurrogateNetwork
from surrogates.networks.activations import Activation
from surrogates.runtime import seeded, torch_threads

Proxy = Callable[[Architecture], float]
"""Higher is better."""


UNTOLD = Shapes((40, 40), 6)
"""Stands in where a lab does not tell its problem's shapes, as tables of old: only the order of networks counts, and
networks of one width and resolution are mostly in the same order for all shapes of designs."""


@runtime_checkable
class Shaped(Protocol):
    """A proxy that takes a problem's shapes from the lab that it ranks networks for."""

    def of(self, shapes: Shapes | None) -> Proxy: ...


@dataclass(frozen=True)
class _Counted:
    design_shape: tuple[int, ...] | None = None
    n_outputs: int | None = None

    def of(self, shapes: Shapes | None) -> Self:
        """The same for a problem's shapes, as far as they were not given; for ``UNTOLD`` where they are not known."""
        known = shapes or UNTOLD
        return replace(
            self,
            design_shape=self.design_shape or known.design_shape,
            n_outputs=self.n_outputs or known.n_outputs,
        )

    @property
    def _shapes(self) -> Shapes:
        if self.design_shape is None or self.n_outputs is None:
            raise ValueError(
                f"Expected the shapes of a problem. Got {self}; give them, or take {type(self).__name__}"
                "().of(lab.shapes)."
            )
        return Shapes(self.design_shape, self.n_outputs)


@dataclass(frozen=True)
class Parameters(_Counted):
    """Trainable numbers of a network for one problem's shapes.

    Args:
        design_shape, n_outputs: of the problem; None for those of the lab that networks are ranked for.
    """

    name: ClassVar[str] = "parameter count"

    def __call__(self, architecture: Architecture) -> float:
        """Their number.

        Raises:
            ValueError: without shapes.
        """
        return float(parameters(architecture, self._shapes.design_shape, self._shapes.n_outputs))


@dataclass(frozen=True)
class Flops(_Counted):
    """Products in a prediction, for one problem's shapes.

    Args:
        design_shape, n_outputs: of the problem; None for those of the lab that networks are ranked for.
    """

    name: ClassVar[str] = "flops"

    def __call__(self, architecture: Architecture) -> float:
        """As ``surrogates.nas.cost.flops``.

        Raises:
            ValueError: without shapes.
        """
        return float(flops(architecture, self._shapes.design_shape, self._shapes.n_outputs))


Measure = Callable[[SurrogateNetwork, Tensor, Tensor], float]
"""Of a fresh network, ``b x h x w`` pooled densities, ``b x n_outputs`` responses."""


def gradient_norm(network: SurrogateNetwork, pooled: Tensor, outputs: Tensor) -> float:
    """Norm of the loss's gradient in the weights (Abdelfattah et al., section 3.2)."""
    loss = ((network.from_pooled(pooled) - outputs) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return float(sum((g**2).sum() for g in gradients if g is not None)) ** 0.5


def synflow(network: SurrogateNetwork, pooled: Tensor, outputs: Tensor) -> float:
    """log sum |theta dR/dtheta|, with R the summed output on a density of ones, every weight replaced by its modulus.

    Tanaka, Kunin, Yamins, Ganguli, NeurIPS 2020 (arXiv 2006.05467), eq. 3.
    """
    parameters = list(network.double().parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    total = network.from_pooled(torch.ones_like(pooled[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    score = sum(
        float((p.detach() * g).abs().sum()) for p, g in zip(parameters, gradients, strict=True) if g is not None
    )
    return float(np.log(max(score, 1e-300)))


def jacobian_covariance(network: SurrogateNetwork, pooled: Tensor, outputs: Tensor) -> float:
    """How differently the outputs depend on the inputs of different samples.

    Mellor, Turner, Storkey, Crowley, arXiv 2006.04647v1, eq. 3: -sum(log(v + k) + 1 / (v + k)) over the eigenvalues v
    of the correlation of the samples' Jacobians.
    """
    inputs = pooled.detach().requires_grad_(True)
    (jacobian,) = torch.autograd.grad(network.from_pooled(inputs).sum(), inputs)
    rows = jacobian.flatten(1).double().numpy()
    norms = np.linalg.norm(rows - rows.mean(axis=1, keepdims=True), axis=1)
    if (norms == 0).any():
        return -np.inf
    values = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    return float(-np.sum(np.log(np.maximum(values, 1e-5)) + 1 / np.maximum(values, 1e-5)))


def activation_codes(network: SurrogateNetwork, pooled: Tensor, outputs: Tensor) -> float:
    """log det of the Hamming kernel of which units are above 0 in each sample.

    Mellor, Turner, Storkey, Crowley, ICML 2021 (NASWOT, arXiv 2006.04647), eq. 2; for smooth activations by the sign of
    what goes in.
    """
    codes: list[Tensor] = []

    def hear(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        codes.append((given[0] > 0).flatten(1).double())

    hooks = [m.act.register_forward_pre_hook(hear) for m in network.modules() if isinstance(m, Activation)]
    with torch.no_grad():
        network.from_pooled(pooled)
    for hook in hooks:
        hook.remove()
    if not codes:
        return -np.inf
    units = torch.cat(codes, dim=1).numpy()
    kernel = units @ units.T + (1 - units) @ (1 - units).T
    sign, value = np.linalg.slogdet(kernel)
    return float(value) if sign > 0 else -np.inf


@dataclass(frozen=True, eq=False)
class OnData:
    """A measure of the freshly initialised network on one batch of a task.

    Args:
        measure: such as ``gradient_norm``.
        task: whose data and shapes.
        samples: of the batch.
        seed: of weights and batch.
    """

    measure: Measure
    task: Task
    samples: int = 32
    seed: int = 0

    @property
    def name(self) -> str:
        """Of the measure."""
        return getattr(self.measure, "__name__", "measure").replace("_", " ")

    def __call__(self, architecture: Architecture) -> float:
        """The measure; minus infinity where it is not finite."""
        reference = self.task.train.levels[self.task.train.reference]
        rows = np.random.default_rng(self.seed).permutation(len(reference))[: self.samples]
        codec = self.task.codec
        with seeded(self.seed), torch_threads(1):
            network = architecture.build(reference.design_shape, codec.n_outputs)
            batch = prepare(network, codec, reference.take(rows), torch.device("cpu"))
            value = self.measure(network, batch.pooled, batch.outputs)
        return value if np.isfinite(value) else -np.inf


@dataclass(frozen=True, eq=False)
class ProxyRanking:
    """Trains networks of a sample to the last rung in the order of a proxy, charging what the proxy took.

    Args:
        proxy: higher is better; ``Parameters`` and ``Flops`` take the problem's shapes from the lab.
        networks: of a sample.
        keep: of them trained.
        rounds: None to go on until the budget is spent, or nothing is left.
        name: the proxy's if empty.
    """

    proxy: Proxy = field(default_factory=Parameters)
    networks: int = 100
    keep: int = 10
    rounds: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not callable(self.proxy) or isinstance(self.proxy, type):
            raise TypeError(f"Expected a proxy, a function of an architecture. Got {self.proxy!r}; give Parameters().")
        object.__setattr__(self, "name", self.name or getattr(self.proxy, "name", "proxy"))
        if not 1 <= self.keep <= self.networks:
            raise ValueError(f"Expected to keep from 1 to {self.networks} networks. Got {self.keep}.")
        if self.rounds is not None and self.rounds < 1:
            raise ValueError(f"Expected rounds of at least 1, or None. Got {self.rounds}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Round after round."""
        proxy = self.proxy.of(lab.shapes) if isinstance(self.proxy, Shaped) else self.proxy
        tried: set[Architecture] = set()
        done = 0
        while self.rounds is None or done < self.rounds:
            drawn: list[Architecture] = []
            while len(drawn) < self.networks and (one := fresh(lab.space, rng, {*tried, *drawn})) is not None:
                drawn.append(one)
            if not drawn:
                return
            started = time.process_time()
            scores = [proxy(architecture) for architecture in drawn]
            lab.charge(time.process_time() - started)
            for place in np.argsort(-np.array(scores), kind="stable")[: self.keep]:
                tried.add(drawn[place])
                lab.ask(drawn[place])
            done += 1
