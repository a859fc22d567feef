"""A network's weights as named arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates.encoding import ResponseCodec

State = dict[str, NDArray[Any]]


def load_state(network: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Copy weights into the network; ``RuntimeError`` from torch if they do not fit."""
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})


def save_state(network: nn.Module) -> State:
    """The network's weights."""
    return {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in network.state_dict().items()}


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
