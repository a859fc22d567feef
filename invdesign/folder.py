"""The folder of a run: its store, the experiment file as it was, and what was asked on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from invdesign.budget import Budget
from invdesign.experiment import Experiment, ExperimentError, load_experiment


@dataclass(frozen=True)
class Asked:
    """What a command asked for: enough to find its runs in the store again; `names` maps run keys to strategies."""

    file: str
    sha256: str
    seed: int
    budget: Budget
    strategies: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFolder:
    """`store.db`, `experiment.py`, `run.json` and `report/` in one folder."""

    path: Path

    @property
    def store(self) -> Path:
        """The store of all runs."""
        return self.path / "store.db"

    @property
    def experiment(self) -> Path:
        """The experiment file as it was when it was last run."""
        return self.path / "experiment.py"

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.path / "report"

    def check(self) -> None:
        """Raises `ExperimentError` where this is not the folder of a run."""
        if not self.store.is_file():
            raise ExperimentError(
                f"Expected {self.path} to hold a run (store.db). It does not; make one with "
                f"`invdesign run FILE --out {self.path}`."
            )

    def record(self, file: Path, asked: Asked) -> None:
        """Keeps a copy of the experiment file and what was asked; earlier, different copies are kept under a number."""
        content = file.read_bytes()
        if self.experiment.is_file() and self.experiment.read_bytes() != content:
            number = 1
            while (older := self.path / f"experiment-{number}.py").exists():
                number += 1
            self.experiment.rename(older)
        self.experiment.write_bytes(content)
        before = self._read()
        names = list(asked.strategies)
        if before is not None and (before.sha256, before.seed, before.budget) == (
            asked.sha256,
            asked.seed,
            asked.budget,
        ):
            names = [*before.strategies, *(n for n in names if n not in before.strategies)]
        known = {} if before is None else dict(before.names)
        entry = asdict(asked) | {"strategies": names, "names": known | dict(asked.names)}
        temporary = self.path / "run.json.new"
        temporary.write_text(json.dumps(entry, indent=2) + "\n")
        temporary.replace(self.path / "run.json")

    def asked(self) -> Asked:
        """What the last command asked for.

        Raises:
            ExperimentError: where `run.json` is missing or damaged.
        """
        found = self._read()
        if found is None:
            raise ExperimentError(
                f"Expected a readable run.json in {self.path}. There is none; run the experiment once more with "
                f"`invdesign run FILE --out {self.path}`: finished work is found in the store."
            )
        return found

    def names(self) -> dict[str, str]:
        """Run key -> name of the strategy in the experiment file, as far as recorded."""
        found = self._read()
        return {} if found is None else dict(found.names)

    def _read(self) -> Asked | None:
        try:
            entry: dict[str, Any] = json.loads((self.path / "run.json").read_text())
            budget = Budget(**entry["budget"])
            return Asked(
                entry["file"], entry["sha256"], entry["seed"], budget, tuple(entry["strategies"]), entry["names"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def load(self) -> Experiment:
        """The experiment as it was run: the original file where it is unchanged, else the copy."""
        asked = self.asked()
        original = Path(asked.file)
        copied = self.experiment.read_bytes() if self.experiment.is_file() else None
        if original.is_file() and copied in (None, original.read_bytes()):
            return load_experiment(original)
        if copied is None:
            raise ExperimentError(f"Expected the experiment at {original} or {self.experiment}. Both are missing.")
        return load_experiment(self.experiment, search=[original.parent])
