"""What the worker with Meep answers. The solutions of one design are kept between a forward run and its gradient."""

from __future__ import annotations

import json

import meep as mp
import numpy as np
from model import Model
from solve import Solution, fields

mp.verbosity(0)
KEPT = 2  # models of which the calibration stays in memory

models: dict[str, Model] = {}
solution: dict[str, Solution] = {}


def model(header, arrays) -> Model:
    """The described model, with the calibrations that came along."""
    key = json.dumps(header["model"], sort_keys=True)
    if key not in models:
        while len(models) >= KEPT:
            models.pop(next(iter(models)))
        models[key] = Model(header["model"])
    found = models[key]
    for name, array in arrays.items():
        if name.startswith("port"):
            found.calibrations[int(name[4:])] = array
    return found


def prepare(header, arrays):
    """Calibrates all ports that are asked for."""
    found = model(header, arrays)
    return {}, {f"port{i}": found.calibrated(i, i in header["sources"]) for i in range(len(found.described["ports"]))}


def simulate(header, arrays):
    """S-parameters alone."""
    solution.clear()
    solved = Solution(model(header, arrays), arrays["density"], header["sources"], keep=False)
    return {"decay": solved.decay}, {"s": solved.s}


def forward(header, arrays):
    """S-parameters, with the fields kept for :func:`backward`."""
    if header["first"]:
        solution.clear()
    solved = Solution(model(header, arrays), arrays["density"], header["sources"], keep=True)
    solution[header["token"]] = solved
    return {"decay": solved.decay}, {"s": solved.s}


def backward(header, arrays):
    """The gradient at the design of the last :func:`forward` of the same token."""
    if header["token"] not in solution:
        raise RuntimeError("Expected the forward run of this design. Got none in this process.")
    solved = solution.pop(header["token"])
    return {}, {"gradient": solved.gradient(arrays["cotangent"])}


def picture(header, arrays):
    """The out-of-plane field everywhere, one a source."""
    solution.clear()
    return {}, fields(model(header, arrays), arrays["density"], header["sources"])


def version(header, arrays):
    """Of Meep and numpy."""
    return {"meep": mp.__version__, "numpy": np.__version__}, {}


def handlers():
    """Operation's name -> function."""
    return {
        "prepare": prepare,
        "simulate": simulate,
        "forward": forward,
        "backward": backward,
        "fields": picture,
        "version": version,
    }
