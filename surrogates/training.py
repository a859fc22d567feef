"""Fits one network a level to values and adjoint gradients, each level starting from the one below."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.batches import LevelTensors, gradient_of, prepare
from surrogates.data import Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import State, load_state, pack, save_state, unpack

ReportEpoch = Callable[[int, float], bool]
MONITORS = ("gradient", "value", "both")
TRAINING_VERSION = 3
"""Raised with every change of what training the same networks on the same samples gives: part of what results are
stored under."""


class TrainingDiverged(FloatingPointError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; with an architecture, the data and a seed it determines the result.

    Args:
        epochs: passes over the reference level.
        pretraining_epochs: passes over each level below it.
        batch_size: samples a step.
        learning_rate: peak of AdamW's cosine schedule.
        weight_decay: AdamW's.
        gradient_weight: of the gradient term beside the value term; both start near 1. 0 trains on values only.
        transfer_rate: learning rate of weights taken over from another level or an earlier fit, relative to
            ``learning_rate``; the head learns at the full rate.
        patience: epochs without improvement before a level stops, 0 for never. The best epoch's weights are kept.
        monitor: what "best" means on the held-out groups: ``gradient`` (1 - cosine), ``value`` (error) or ``both``
            (their mean). Data without gradients is judged by value.
        device: ``auto``, ``cpu``, ``cuda``, ...
    """

    epochs: int = 40
    pretraining_epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    gradient_weight: float = 1.0
    transfer_rate: float = 0.5
    patience: int = 0
    monitor: str = "both"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.monitor not in MONITORS:
            raise ValueError(f"Expected a monitor among {', '.join(MONITORS)}. Got {self.monitor!r}.")
        for name in ("epochs", "pretraining_epochs", "batch_size"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"Expected {name} of at least 1. Got {getattr(self, name)}.")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"Expected a finite learning rate above 0. Got {self.learning_rate}.")
        for name in ("weight_decay", "gradient_weight", "transfer_rate"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"Expected a finite {name} of at least 0. Got {getattr(self, name)}.")
        if not self.patience >= 0:
            raise ValueError(f"Expected patience of at least 0. Got {self.patience}.")

    @classmethod
    def suggest(cls, trial: optuna.trial.BaseTrial, base: TrainingConfig, has_gradients: bool) -> TrainingConfig:
        """``base`` with the learning rate and the gradients' weight as the trial proposes.

        Ranges are widened to include the base's own. A weight of 0 stays, as any does where there are no gradients.
        """

        def gene(name: str, low: float, high: float) -> float:
            own = getattr(base, name)
            return trial.suggest_float(name, min(low, own), max(high, own), log=True)

        config = replace(base, learning_rate=gene("learning_rate", 1e-3, 1e-2))
        if has_gradients and base.gradient_weight > 0:
            config = replace(config, gradient_weight=gene("gradient_weight", 0.1, 10.0))
        return config

    def parameters(self, has_gradients: bool) -> dict[str, float]:
        """As Optuna's parameters: the inverse of ``suggest``."""
        rate = {"learning_rate": self.learning_rate}
        return rate | ({"gradient_weight": self.gradient_weight} if has_gradients and self.gradient_weight > 0 else {})

    def to_json(self) -> dict[str, Any]:
        """Plain fields; ``TrainingConfig(**fields)`` is the inverse."""
        return asdict(self)

    def made_by(self) -> dict[str, Any]:
        """What trains, as JSON: beside configuration, data and seed, all that decides the outcome."""
        return {"training": TRAINING_VERSION, "torch": torch.__version__, "device": str(pick_device(self.device))}


@dataclass(frozen=True, eq=False)
class Trained:
    """Outcome of one training.

    Args:
        states: level -> the network's weights.
        curve: ``epochs x 4``: level, monitored value, value error, gradient cosine on the held-out groups.
        cpu_seconds: of this process.
        stopped: whether ``report`` asked to stop.
    """

    states: Mapping[int, State]
    curve: NDArray[np.float64]
    cpu_seconds: float
    stopped: bool

    @property
    def value(self) -> float:
        """The best monitored value at the last level trained."""
        return float(self.curve[self.curve[:, 0] == self.curve[-1, 0], 1].min())

    def to_payload(self) -> dict[str, NDArray[Any]]:
        """As a flat dict of numeric arrays."""
        return pack(self.states, "weights/") | {
            "curve": self.curve,
            "cpu_seconds": np.array(self.cpu_seconds),
            "stopped": np.array(self.stopped),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, NDArray[Any]]) -> Trained:
        """The inverse of ``to_payload``."""
        seconds, stopped = float(payload["cpu_seconds"]), bool(payload["stopped"])
        return cls(unpack(payload, "weights/"), payload["curve"], seconds, stopped)


def train(
    architecture: Architecture,
    config: TrainingConfig,
    train_data: Dataset,
    held_out: Dataset,
    codecs: Mapping[int, ResponseCodec],
    *,
    seed: int,
    init: Mapping[int, State] | None = None,
    keep: frozenset[int] = frozenset(),
    report: ReportEpoch | None = None,
) -> Trained:
    """Train level by level, cheapest first; a level starts from the one below it.

    Every level keeps its own copy of the weights, so a level below stays as accurate as it was when the next one is
    fine-tuned. Deterministic for a given seed on one machine; torch's global generator is left as it was.

    Args:
        architecture, config: what to train and how.
        train_data, held_out: the two sides of a split, same levels.
        codecs: level -> the codec its responses are standardised with.
        seed: of weights and batches.
        init: level -> weights to start from instead.
        keep: levels whose ``init`` is taken as it is.
        report: called after each epoch with its number (over all levels) and the monitored value; True stops.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    started = time.process_time()
    device = pick_device(config.device)
    if architecture.gradient_weight is not None:
        config = replace(config, gradient_weight=architecture.gradient_weight)
    init = init or {}
    states: dict[int, State] = {}
    curve: list[tuple[float, ...]] = []
    stopped = False
    below: tuple[ResponseCodec, State] | None = None
    with torch_threads(1), seeded(seed):
        for level, samples in train_data.levels.items():
            network = architecture.build(train_data.design_shape, codecs[level].n_outputs).to(device)
            fresh = list(network.parameters())
            if level in init:
                load_state(network, init[level])
                fresh = list(network.head.parameters())
            elif below is not None:
                fresh = _inherit(network, codecs[level], *below)
            if not (level in keep and level in init) and not stopped:
                epochs = config.epochs if level == train_data.reference else config.pretraining_epochs
                stopped = _train_level(
                    network, fresh, replace(config, epochs=epochs), level, samples, held_out.levels[level],
                    codecs[level], seed, curve, report,
                )  # fmt: skip
            states[level] = save_state(network)
            below = codecs[level], states[level]
    rows = np.array(curve, dtype=np.float64).reshape(-1, 4)
    return Trained(states, rows, time.process_time() - started, stopped)


def _inherit(network: SurrogateNetwork, codec: ResponseCodec, below: ResponseCodec, state: State) -> list[nn.Parameter]:
    """Start from the level below: its trunk, and its head too if it answers the same quantities.

    Both heads speak in standardised units, so a constant factor or offset between two levels is already made up for.
    """
    head = {name: array for name, array in save_state(network).items() if name.startswith("head.")}
    load_state(network, state if below.fields == codec.fields else {**state, **head})
    return list(network.head.parameters())


def _train_level(
    network: SurrogateNetwork,
    fresh: list[nn.Parameter],
    config: TrainingConfig,
    level: int,
    samples: LevelData,
    held_out: LevelData,
    codec: ResponseCodec,
    seed: int,
    curve: list[tuple[float, ...]],
    report: ReportEpoch | None,
) -> bool:
    device = pick_device(config.device)
    data, check = (prepare(network, codec, part, device) for part in (samples, held_out))
    rng = np.random.default_rng([seed, level])
    ids = {id(p) for p in fresh}
    inherited = [p for p in network.parameters() if id(p) not in ids]
    groups = [{"params": fresh, "lr": config.learning_rate}]
    if inherited:
        groups.append({"params": inherited, "lr": config.learning_rate * config.transfer_rate})
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = -(-len(samples) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * steps)
    best, best_epoch, weights = float("inf"), 0, save_state(network)
    for epoch in range(config.epochs):
        order = rng.permutation(len(samples))
        for batch in np.array_split(order, steps):
            loss = batch_loss(network, data, batch, config.gradient_weight, rng)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        value, cosine = check.score(network)
        monitored = _monitored(config.monitor, value, cosine)
        if not np.isfinite(monitored):
            raise TrainingDiverged(f"Expected a finite loss. Got NaN or infinity in epoch {epoch + 1}, level {level}.")
        curve.append((float(level), monitored, value, cosine))
        if monitored < best:
            best, best_epoch, weights = monitored, epoch, save_state(network)
        if report is not None and report(len(curve), monitored):
            load_state(network, weights)
            return True
        if config.patience and epoch - best_epoch >= config.patience:
            break
    load_state(network, weights)
    return False


def batch_loss(
    network: SurrogateNetwork, data: LevelTensors, batch: NDArray[Any], gradient_weight: float, rng: np.random.Generator
) -> Tensor:
    """Mean squared standardised error, plus the mean squared gradient error over the mean squared gradient."""
    rows, has_row = data.draw_rows(batch, rng)
    if gradient_weight == 0 or not has_row.any():
        return ((network.from_pooled(data.pooled[batch]) - data.outputs[batch]) ** 2).mean()
    predicted, gradient = gradient_of(network, data.pooled[batch], data.cotangents[rows], create_graph=True)
    value = ((predicted - data.outputs[batch]) ** 2).mean()
    chosen = torch.as_tensor(has_row, device=gradient.device)
    error = ((gradient - data.gradients[rows]) ** 2).sum(dim=(1, 2))[chosen].mean()
    return value + gradient_weight * error / data.gradient_power


def _monitored(monitor: str, value: float, cosine: float) -> float:
    if monitor == "value" or np.isnan(cosine):
        return value
    return 1 - cosine if monitor == "gradient" else (value + 1 - cosine) / 2
