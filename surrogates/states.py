"""A network's weights as named arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates.encoding import ResponseCodec

State = dict[str, NDArray[Any]]
Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)


def load_state(network: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Copy weights into the network; ``RuntimeError`` from torch if they do not fit."""
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})


def frozen(network: Network, state: Mapping[str, NDArray[Any]], device: torch.device) -> Network:
    """The network with that state on that device, to ask and not to train."""
    load_state(network, state)
    return network.to(device).requires_grad_(False).eval()


def save_state(network: nn.Module) -> State:
    """The network's weights."""
    return {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in network.state_dict().items()}


def under(values: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Those whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def pack(states: Mapping[int, Mapping[str, NDArray[Any]]], prefix: str = "") -> State:
    """One flat mapping of the states of numbered networks: ``<prefix><number>/<name>``."""
    return {f"{prefix}{number}/{name}": array for number, state in states.items() for name, array in state.items()}


def unpack(arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> dict[int, State]:
    """The inverse of ``pack``, in ascending order; names that do not start with ``prefix`` are passed over."""
    states: dict[int, State] = {}
    for name, array in under(arrays, prefix).items():
        number, _, rest = name.partition("/")
        states.setdefault(int(number), {})[rest] = array
    return dict(sorted(states.items()))


def state_key(state: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of named arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(state.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def with_output_units(state: Mapping[str, NDArray[Any]], old: ResponseCodec, new: ResponseCodec) -> State:
    """The same function of the design, its linear head rewritten from one codec's standardised units to another's."""
    ratio = old.scale / new.scale
    bias = state["head.bias"] * ratio + (old.mean - new.mean) / new.scale
    head = {"head.weight": state["head.weight"] * ratio[:, None], "head.bias": bias}
    return {**state, **{name: array.astype(state[name].dtype) for name, array in head.items()}}
