"""What a search's outcome depends on, as JSON that is the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from surrogates.architecture import Architecture
from surrogates.data import Dataset, LevelData
from surrogates.evaluation import PullBack


def described(value: Any) -> Any:
    """A value as JSON by which equal values are known, such as a method with methods inside.

    Dataclasses and other objects by their class and fields, architectures by their own JSON, data and arrays by hash,
    functions and classes by qualified name; a function that has none, such as a lambda, by its code and what it closes
    over.

    Raises:
        TypeError: for what has nothing to be known by.
    """
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, (complex, bytes, Path, Enum, np.generic, np.ndarray, torch.Tensor)):
        return _plain(value)
    if isinstance(value, Architecture):
        return value.to_json()
    if isinstance(value, (Dataset, LevelData)):
        return {"is": _name(type(value)), "key": value.key}
    if isinstance(value, PullBack):
        return {"is": _name(type(value)), "identity": value.identity}
    if isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType, partial)):
        return _function(value)
    if isinstance(value, Mapping):
        pairs = [[described(key), described(one)] for key, one in value.items()]
        return {"mapping": sorted(pairs, key=_text)}
    if isinstance(value, (list, tuple)):
        return [described(one) for one in value]
    if isinstance(value, Set):
        return {"set": sorted((described(one) for one in value), key=_text)}
    if isinstance(value, np.random.Generator):
        return {"is": "generator", "state": described(value.bit_generator.state)}
    return _object(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"is": _name(type(value)), "name": value.name}
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, complex):
        return [described(value.real), described(value.imag)]
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Path):
        return {"path": str(value)}
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    if array.dtype.hasobject:
        return {"shape": list(array.shape), "values": described(array.ravel().tolist())}
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"array": content, "shape": list(array.shape), "dtype": array.dtype.str}


def _function(value: Any) -> Any:
    if isinstance(value, partial):
        return {"partial": described(value.func), "given": [described(value.args), described(value.keywords)]}
    own = getattr(value, "__self__", None)
    # A builtin's own is its module.
    if own is not None and not isinstance(value, type) and not isinstance(own, ModuleType):
        return {"method": value.__name__, "of": described(own)}
    name = _name(value)
    if not isinstance(value, FunctionType) or "<" not in name:
        return {"named": name}
    closed_over = [described(cell.cell_contents) for cell in value.__closure__ or ()]
    return {
        "named": name,
        "code": described(_code(value.__code__)),
        "closed over": closed_over,
        "defaults": [described(value.__defaults__), described(value.__kwdefaults__)],
    }


def _code(code: CodeType) -> list[Any]:
    constants = [_code(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    return [code.co_code, code.co_names, [repr(one) if one is Ellipsis else one for one in constants]]


def _object(value: Any) -> Any:
    told: dict[str, Any]
    if is_dataclass(value):
        told = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    elif hasattr(value, "__dict__"):
        told = vars(value)
    else:
        raise TypeError(
            f"Expected something to know a {type(value).__name__} by, such as a dataclass's fields. Got {value!r}; "
            "make it a frozen dataclass or a function at the top of a module."
        )
    return {"is": _name(type(value)), **{name: described(one) for name, one in told.items()}}


def _name(value: Any) -> str:
    return f"{value.__module__}:{value.__qualname__}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
