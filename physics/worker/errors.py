"""What can go wrong with a program in another interpreter."""

from __future__ import annotations

from physics.base import SimulationError


class WorkerError(SimulationError):
    """A worker that could not be started or used."""


class ProgramError(WorkerError):
    """The program raised; the worker goes on. `kind` is the exception's type name; the traceback is in the log."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class WorkerDied(WorkerError):
    """The worker's process ended, or answered with what is no frame and was ended."""


class WorkerTimeout(WorkerError):
    """The worker outlived a time limit and was killed."""
