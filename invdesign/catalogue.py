"""The built-in simulators, found among the public functions that make one without being told anything."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from physics.base import Differentiable, HasFields, HasRefinement, Simulator

# Modules whose `__all__` is looked through.
SOURCES = ("physics.devices",)


@dataclass(frozen=True)
class Entry:
    """A function that makes a simulator."""

    name: str
    module: str
    summary: str
    parameters: dict[str, str]
    make: Callable[[], Simulator]

    def described(self) -> dict[str, Any]:
        """Everything about it, JSON-able; makes the simulator with its default parameters."""
        simulator = self.make()
        return {
            "name": self.name,
            "module": self.module,
            "summary": self.summary,
            "parameters": self.parameters,
            "design_shape": list(simulator.design_shape),
            "gradients": isinstance(simulator, Differentiable),
            "fields": isinstance(simulator, HasFields),
            "refinement": isinstance(simulator, HasRefinement),
            "fidelities": [
                {
                    "name": fidelity.name,
                    "relative_cost": fidelity.cost,
                    "response": {q.name: [list(q.coords), list(q.shape), q.unit] for q in fidelity.response},
                }
                for fidelity in simulator.fidelities
            ],
        }


def catalogue() -> list[Entry]:
    """The built-in simulators, by name."""
    found = []
    for source in SOURCES:
        module = importlib.import_module(source)
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function):
                continue
            signature = inspect.signature(function, eval_str=True)
            returned = signature.return_annotation
            makes = inspect.isclass(returned) and hasattr(returned, "simulate")
            defaults = {key: p.default for key, p in signature.parameters.items()}
            if not makes or any(default is inspect.Parameter.empty for default in defaults.values()):
                continue
            summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
            parameters = {key: repr(default) for key, default in defaults.items()}
            found.append(Entry(name, source, summary, parameters, function))
    return sorted(found, key=lambda entry: entry.name)
