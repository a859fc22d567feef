"""One trial after another: propose, train under the pruner's eye, record, replay."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.choice import TrialRecord
from surrogates.data import DataError, Dataset
from surrogates.encoding import ResponseCodec
from surrogates.families import suggest
from surrogates.memo import Memo, Payload
from surrogates.nas.cost import latency_ms
from surrogates.splitting import split
from surrogates.training import ReportEpoch, TrainingConfig, TrainingDiverged, train

DIVERGED, MEMORY = "training diverged", "out of memory"
SLOW, LARGE = "over the latency cap", "over the size cap"
FAILURES = ("", DIVERGED, MEMORY, SLOW, LARGE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialRules:
    """What a trial may be and when it ends.

    Args:
        families: to draw architectures from.
        config: of a trial, learning rate and gradient weight aside; of no patience, as the pruner compares trials
            epoch by epoch and a level that stopped early would be up against another one.
        max_parameters, max_latency_ms: a trial above either fails.
        held_out: share of the samples, by groups, to validate on.
        min_epochs, reduction_factor: Hyperband's smallest rung, and the factor between rungs.
    """

    families: tuple[str, ...]
    config: TrainingConfig
    max_parameters: int
    max_latency_ms: float | None
    held_out: float
    min_epochs: int
    reduction_factor: int


class TrialRunner:
    """The state of one pass over the trials of a study."""

    def __init__(self, rules: TrialRules, data: Dataset, seed: int, memo: Memo) -> None:
        self.rules, self.data, self.seed, self.memo = rules, data, seed, memo
        self.has_gradients = any(len(samples.gradients) for samples in data.levels.values())
        if rules.config.monitor == "gradient" and not len(data.levels[data.reference].gradients):
            raise DataError('Expected gradients at the reference. Got none; search with objective="value".')
        self.train, self.held_out = split(data, rules.held_out, seed)
        self.codecs = {level: ResponseCodec.fit(part.responses) for level, part in self.train.levels.items()}
        self.total_epochs = rules.config.epochs + (len(data.levels) - 1) * rules.config.pretraining_epochs
        self.records: list[TrialRecord] = []
        self.seconds_in_memo = 0.0
        self._history = hashlib.sha256()

    def run(self, trial: optuna.Trial) -> TrialRecord:
        """Train what the trial proposes, or take it from the memo; the pruner hears the same either way."""
        architecture = suggest(trial, self.rules.families)
        config = TrainingConfig.suggest(trial, self.rules.config, self.has_gradients)
        n_outputs = self.codecs[self.data.reference].n_outputs
        if architecture.n_parameters(self.data.design_shape, n_outputs) > self.rules.max_parameters:
            payload = _payload(failure=FAILURES.index(LARGE))
        else:
            payload = self._trained(trial, architecture, config, n_outputs)
        failure, curve = int(payload["failure"]), payload["curve"]
        state = "failed" if failure else "pruned" if bool(payload["stopped"]) else "complete"
        at_reference = curve[curve[:, 0] == self.data.reference, 1]
        record = TrialRecord(
            number=trial.number,
            architecture=architecture,
            config=config,
            state=state,
            curve=curve,
            value=float(at_reference.min()) if state == "complete" else float("nan"),
            cpu_seconds=float(payload["cpu_seconds"]),
            latency_ms=float(payload["latency_ms"]),
            error=FAILURES[failure],
        )
        self._history.update(f"{record.state}|{architecture.key}|".encode() + np.ascontiguousarray(curve).tobytes())
        self.records.append(record)
        return record

    def _trained(
        self, trial: optuna.Trial, architecture: Architecture, config: TrainingConfig, n_outputs: int
    ) -> Payload:
        live = False

        def report(epoch: int, value: float) -> bool:
            trial.report(value, epoch)
            return epoch < self.total_epochs and trial.should_prune()

        def compute() -> Payload:
            nonlocal live
            live = True
            return self._compute(architecture, config, n_outputs, report)

        inputs = {
            "architecture": architecture.to_json(),
            "config": config.to_json(),
            "held_out": self.held_out.key,
            "history": self._history.hexdigest(),  # of the trials before, on which pruning depends
            "made_by": config.made_by(),
            "max_latency_ms": self.rules.max_latency_ms,
            "min_epochs": self.rules.min_epochs,
            "number": trial.number,
            "reduction_factor": self.rules.reduction_factor,
            "seed": self.seed,
            "train": self.train.key,
        }
        started = time.process_time()
        try:
            payload = self.memo("search-trial", inputs, compute)
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            # A fact about the machine at that moment, hence outside the memo.
            _log.warning("Architecture %s failed: %s", architecture.key, error)
            payload = _payload(failure=FAILURES.index(MEMORY), cpu_seconds=time.process_time() - started)
        self.seconds_in_memo += time.process_time() - started
        if not live:
            for epoch, row in enumerate(payload["curve"], start=1):
                report(epoch, float(row[1]))
        return payload

    def _compute(
        self, architecture: Architecture, config: TrainingConfig, n_outputs: int, report: ReportEpoch
    ) -> Payload:
        started = time.process_time()
        rows: list[float] = []

        def noted(epoch: int, value: float) -> bool:
            rows.append(value)
            return report(epoch, value)

        try:
            trained = train(architecture, config, self.train, self.held_out, self.codecs, seed=self.seed, report=noted)
        except TrainingDiverged as error:
            _log.warning("Architecture %s failed: %s", architecture.key, error)
            return _payload(
                failure=FAILURES.index(DIVERGED),
                curve=np.array([[np.nan, value, np.nan, np.nan] for value in rows]).reshape(-1, 4),
                cpu_seconds=time.process_time() - started,
            )
        latency = (
            float("nan")
            if trained.stopped
            else latency_ms(architecture, self.data.design_shape, n_outputs, config.device)
        )
        return _payload(
            failure=FAILURES.index(SLOW) if latency > (self.rules.max_latency_ms or np.inf) else 0,
            curve=trained.curve,
            stopped=trained.stopped,
            latency_ms=latency,
            cpu_seconds=time.process_time() - started,
        )


def _payload(
    failure: int,
    curve: NDArray[Any] | None = None,
    stopped: bool = False,
    latency_ms: float = float("nan"),
    cpu_seconds: float = 0.0,
) -> Payload:
    return {
        "failure": np.array(failure),
        "curve": np.zeros((0, 4)) if curve is None else curve,
        "stopped": np.array(stopped),
        "latency_ms": np.array(latency_ms),
        "cpu_seconds": np.array(cpu_seconds),
    }
