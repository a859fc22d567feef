"""What a run taught: how good the networks were, which model made the steps, who met the targets when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invdesign.figures.values import BASELINE_NAMES, baselines, gains, has_bands, number, trainings
from invdesign.records import Note
from invdesign.report.facts import ended
from invdesign.report.table import Table, decimals, enumerated, percent, show
from invdesign.result import Result

# What a network costs beside its steps, as the meter calls it.
LEARNING = ("search-trial", "surrogate-member")
NETWORK = "network"


@dataclass(frozen=True)
class Steps:
    """What the steps on one model brought in one run.

    Args:
        strategy, model: whose steps.
        count, accepted: steps tried and taken.
        gain: sum of the decreases of the loss by the steps taken, over all starts.
        ratio: median of actual over predicted decrease.
        reference_solves: what judging the steps took.
        cpu_seconds: of the steps.
        learning_cpu_seconds: of architecture search and training, for steps on the network.
    """

    strategy: str
    model: str
    count: int
    accepted: int
    gain: float
    ratio: float
    reference_solves: int
    cpu_seconds: float
    learning_cpu_seconds: float

    @property
    def all_cpu_seconds(self) -> float:
        """With what the network's training cost."""
        return self.cpu_seconds + self.learning_cpu_seconds


def steps_of(result: Result) -> list[Steps]:
    """Each model's share in the steps of a run; a network that was trained but never used counts with no steps."""
    made = gains(result)
    models = dict.fromkeys(model for model, *_ in made)
    learning = sum(result.costs.cpu_seconds_by_phase.get(phase, 0.0) for phase in LEARNING)
    if made and learning > 0:
        models.setdefault(NETWORK)
    found = []
    for model in models:
        own = [(p, a, taken, note) for m, p, a, taken, note in made if m == model]
        ratios = [a / p for p, a, _, _ in own if p > 0]
        found.append(
            Steps(
                result.strategy,
                model,
                len(own),
                sum(taken for *_, taken, _ in own),
                sum(a for _, a, taken, _ in own if taken),
                float(np.median(ratios)) if ratios else float("nan"),
                len(own) * len(result.problem.cases()),
                sum(number(note.content, "cpu_seconds") or 0.0 for *_, note in own),
                learning if model == NETWORK else 0.0,
            )
        )
    return found


def steps_table(results: Sequence[Result]) -> Table | None:
    """What made the hybrid's steps: one row a run and model."""
    rows = [
        (
            steps.strategy,
            steps.model,
            str(steps.count),
            percent(steps.accepted / steps.count if steps.count else None),
            show(steps.gain, 3),
            decimals(steps.ratio),
            show(_per(steps.gain, steps.reference_solves), 2),
            f"{steps.cpu_seconds:.1f}",
            f"{steps.learning_cpu_seconds:.1f}" if steps.model == NETWORK else "–",
            show(_per(steps.gain, steps.all_cpu_seconds), 2),
        )
        for result in results
        for steps in steps_of(result)
    ]
    columns = (
        "strategy", "steps on", "steps", "accepted", "gain in loss", "actual / predicted", "gain per reference solve",
        "CPU s, steps", "CPU s, learning", "gain per CPU s",
    )  # fmt: skip
    note = (
        "Gain: the decreases of the loss by accepted steps, summed over all starts, so that a run which began farther "
        "away gains more; actual / predicted is the median. "
        "Learning (architecture search and training) counts in the network's gain per CPU second."
    )
    return Table(columns, tuple(rows), frozenset(range(2, len(columns))), note=note) if rows else None


def _per(gain: float, cost: float) -> float:
    return gain / cost if cost > 0 else float("nan")


def learnt_table(results: Sequence[Result]) -> Table | None:
    """What the surrogate learnt: the first and the last training of each run, beside the trivial models."""
    rows = []
    for result in results:
        found = trainings(result)
        chosen = {0: "first", len(found) - 1: "last"} if len(found) > 1 else dict.fromkeys(range(len(found)), "only")
        rows += [(result.strategy, word, *_learnt(found[place])) for place, word in chosen.items()]
    mean, pointing, nearest = (BASELINE_NAMES[name] for name in ("mean", "mean_gradient", "nearest"))
    columns = (
        "strategy", "training", "after CPU s", "samples", "value error", f"value error, {mean}",
        f"value error, {nearest}",
        "gradient cosine", f"gradient cosine, {pointing}", f"gradient cosine, {nearest}", "90 % interval covers",
    )  # fmt: skip
    note = (
        "At the reference fidelity, on held-out designs, beside what trivial models reach. Value error is a normalised "
        "RMSE (lower is better); the cosine is that of the predicted gradient with the adjoint's (1 is perfect)."
    )
    return Table(columns, tuple(rows), frozenset(range(2, len(columns))), note=note) if rows else None


def _learnt(training: Note) -> list[str]:
    content = training.content
    errors, pointing = baselines(content, "value_error"), baselines(content, "gradient_cosine")
    return [
        f"{training.cpu_seconds:.1f}",
        show(number(content, "samples"), 6),
        show(number(content, "value_error"), 3),
        show(errors.get(BASELINE_NAMES["mean"]), 3),
        show(errors.get(BASELINE_NAMES["nearest"]), 3),
        decimals(number(content, "gradient_cosine")),
        decimals(pointing.get(BASELINE_NAMES["mean_gradient"])),
        decimals(pointing.get(BASELINE_NAMES["nearest"])),
        percent(number(content, "coverage_90")),
    ]


def lessons(results: Sequence[Result]) -> list[str]:
    """The tables in sentences."""
    sentences = [text for result in results if (text := _shares(result))]
    if text := _times(results):
        sentences.append(text)
    return sentences


def _shares(result: Result) -> str | None:
    """Which model brought the gain, where a run had the choice."""
    steps = steps_of(result)
    total = sum(each.gain for each in steps)
    if len(steps) < 2:
        return None
    if total <= 0:
        return f"No step of “{result.strategy}” lowered the loss."
    first, *others = steps
    shares = [f"those on the {first.model} made {percent(first.gain / total)}"]
    shares += [f"those on the {each.model} {percent(each.gain / total)}" for each in others]
    return f"Of the gain of {show(total, 3)} in loss by the steps of “{result.strategy}”, {enumerated(shares)}."


def _times(results: Sequence[Result]) -> str | None:
    """When each strategy first had a verified design within all bands."""
    if not has_bands(results[0].problem):
        return None
    met: list[tuple[float, str]] = []
    without: dict[str, list[str]] = {}
    for result in results:
        times = [c.cpu_seconds for c in result.candidates if c.distance == 0]
        if times:
            met.append((min(times), result.strategy))
        else:
            without.setdefault("never" if ended(result) else "not yet", []).append(f"“{result.strategy}”")
    if not met:
        return "No strategy has met the targets."
    (first, winner), *later = sorted(met)
    words = [f"“{winner}” first met the targets after {first:.1f} CPU s"]
    words += [f"“{strategy}” after {seconds:.1f}" for seconds, strategy in later]
    words += [f"{enumerated(names)} {when}" for when, names in without.items()]
    return f"In this problem {enumerated(words, last='; ' if without else ' and ')}."
