"""An ensemble of small networks predicts errors from the paths of a network; Thompson sampling among mutants.

White, Neiswanger, Savani, AAAI 2021 (BANANAS, arXiv 1910.11858): its algorithm with the parts that it finds best, the
truncated path encoding, an ensemble of five, and independent Thompson sampling. The predictors have three hidden layers
of 20 in place of ten, which is enough for some tens of networks, and train side by side.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.methods.kernels import feature_numbers, feature_table, paths
from surrogates.runtime import seeded, torch_threads

Matrix = NDArray[np.float64]
LAYERS, WIDTH, EPOCHS, RATE = 3, 20, 150, 0.01
BETAS = (0.9, 0.999)


def path_encoding(seen: Sequence[Architecture], asked: Sequence[Architecture], least: int = 2) -> tuple[Matrix, Matrix]:
    """How often each run of blocks, and each other gene, is in each network: ``n x paths``, ``m x paths``.

    The paper has a bit for each path from the input to the output; a chain of blocks has one such path alone, so that
    its pieces stand for it. Truncated as in the paper's section 3, to what is frequent.

    Args:
        seen: ``n`` networks.
        asked: ``m`` networks.
        least: of the networks seen that must have a run for it to count.
    """
    table, numbers = feature_table(paths, [*seen, *asked])
    having = (table[: len(seen)] > 0).sum(axis=0)
    met = {number: None for architecture in seen for number in feature_numbers(paths, architecture)}
    columns = [column for column in np.searchsorted(numbers, list(met)) if having[column] >= least]
    return table[: len(seen), columns], table[len(seen) :, columns]


def ensemble(seen: Matrix, errors: NDArray[np.float64], asked: Matrix, members: int, seed: int) -> Matrix:
    """What each predictor, trained from its own weights, says of networks: ``members x m``.

    The loss is mean |(prediction - bound) / (error - bound) - 1| (the paper's eq. 2): it counts most where errors are
    small. Trained by Adam on all samples at once.

    Args:
        seen: ``n x features``.
        errors: ``n``, finite.
        asked: ``m x features``.
        members: of the ensemble.
        seed: of the weights.
    """
    # 0, the least that errors can be, unless a made-up one is below that.
    bound = min(0.0, float(errors.min()) - float(errors.std()))
    scale = max(float(np.mean(errors - bound)), 1e-30)
    truth = torch.from_numpy(np.maximum((errors - bound) / scale, 1e-6)).float()
    x, z = (torch.from_numpy(features).float() for features in (seen, asked))
    sizes = [x.shape[1], *[WIDTH] * LAYERS, 1]
    with torch_threads(1), seeded(seed):
        layers: list[Tensor] = []
        for fan_in, fan_out in pairwise(sizes):
            deviation = (2 / max(fan_in, 1)) ** 0.5
            layers += [deviation * torch.randn(members, fan_in, fan_out), torch.zeros(members, 1, fan_out)]
        layers[-1] += 1  # the mean
        found = _forward(_trained(layers, x, truth), z)[-1].squeeze(2)
    return bound + scale * found.double().numpy()


@torch.no_grad()
def _trained(layers: Sequence[Tensor], x: Tensor, truth: Tensor) -> list[Tensor]:
    """Weights and biases in turn after ``EPOCHS`` steps of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1).

    By hand: for networks this small automatic differentiation takes most of the time.
    """
    shapes = [layer.shape for layer in layers]
    values = torch.cat([layer.flatten() for layer in layers])
    slopes, first, second = (torch.zeros_like(values) for _ in range(3))
    parts, slopes_of = _parts(values, shapes), _parts(slopes, shapes)
    for step in range(1, EPOCHS + 1):
        _differentiate(parts, slopes_of, x, truth)
        first.lerp_(slopes, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(slopes, slopes, value=1 - BETAS[1])
        spread = (second.sqrt() / (1 - BETAS[1] ** step) ** 0.5).add_(1e-8)
        values.addcdiv_(first, spread, value=-RATE / (1 - BETAS[0] ** step))
    return parts


def _parts(values: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Views of one tensor."""
    sizes = [shape.numel() for shape in shapes]
    return [part.view(shape) for part, shape in zip(values.split(sizes), shapes, strict=True)]


def _forward(parts: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """What goes into each layer, and the predictions, ``members x n x 1``, last."""
    found = [x.expand(len(parts[0]), *x.shape)]
    for weight, bias in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        found.append(torch.baddbmm(bias, found[-1], weight).relu_())
    return [*found, torch.baddbmm(parts[-1], found[-1], parts[-2])]


def _differentiate(parts: Sequence[Tensor], slopes: Sequence[Tensor], x: Tensor, truth: Tensor) -> None:
    """Fills in the gradient of every member's mean |prediction / truth - 1| in weights and biases."""
    *inputs, predicted = _forward(parts, x)
    slope = (predicted / truth[:, None] - 1).sign_() / len(truth) / truth[:, None]
    for k in reversed(range(len(inputs))):
        torch.bmm(inputs[k].transpose(1, 2), slope, out=slopes[2 * k])
        torch.sum(slope, dim=1, keepdim=True, out=slopes[2 * k + 1])
        if k:
            slope = torch.bmm(slope, parts[2 * k].transpose(1, 2)).mul_(inputs[k] > 0)


@dataclass(frozen=True)
class Bananas:
    """Trains, to the last rung, batches of the mutants that a draw from the ensemble's forecast likes best.

    Args:
        initial: random networks first.
        batch: networks between two trainings of the ensemble.
        mutants: candidates for each batch at most, each one gene away from one of the ``parents`` best.
        parents: that are mutated.
        members: of the ensemble; its spread is what is drawn from.
        networks: None to go on until the budget is spent, or nothing is left.
    """

    initial: int = 10
    batch: int = 10
    mutants: int = 100
    parents: int = 5
    members: int = 5
    networks: int | None = None
    name: str = "BANANAS"

    def __post_init__(self) -> None:
        if min(self.initial, self.batch, self.mutants, self.parents) < 1 or self.members < 2:
            raise ValueError(f"Expected numbers of at least 1, and two members. Got {self}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Batch by batch; the ensemble is charged for its own time."""
        errors: dict[Architecture, float] = {}
        while self.networks is None or len(errors) < self.networks:
            if len(errors) < self.initial:
                drawn = fresh(lab.space, rng, errors)
                chosen = [] if drawn is None else [drawn]
            else:
                started = time.process_time()
                chosen = self._batch(lab, errors, rng)
                lab.charge(time.process_time() - started)
            if not chosen:
                return
            for architecture in chosen[: None if self.networks is None else self.networks - len(errors)]:
                errors[architecture] = lab.ask(architecture).error

    def _batch(self, lab: Lab, errors: dict[Architecture, float], rng: np.random.Generator) -> list[Architecture]:
        parents = sorted(errors, key=errors.__getitem__)[: self.parents]
        around = dict.fromkeys(mutant for parent in parents for mutant in lab.space.neighbours(parent))
        new = [architecture for architecture in around if architecture not in errors]
        candidates = [new[k] for k in rng.permutation(len(new))[: self.mutants]]
        if not candidates:
            drawn = fresh(lab.space, rng, errors)
            return [] if drawn is None else [drawn]
        values = np.array(list(errors.values()))
        finite = values[np.isfinite(values)]
        filled = np.where(np.isfinite(values), values, finite.max() if len(finite) else 1.0)
        seen, asked = path_encoding(list(errors), candidates)
        told = ensemble(seen, filled, asked, self.members, int(rng.integers(2**31)))
        drawn_errors = rng.normal(told.mean(axis=0), told.std(axis=0, ddof=1))
        return [candidates[k] for k in np.argsort(drawn_errors, kind="stable")[: self.batch]]
