"""A fitted ensemble as one safetensors file with a JSON header and a checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from surrogates.architecture import Architecture
from surrogates.calibration import Calibration
from surrogates.encoding import Array, ResponseCodec
from surrogates.files import atomic_path
from surrogates.networks import SurrogateNetwork
from surrogates.states import load_state, state_key

FORMAT = 3


DAMAGE = (SafetensorError, KeyError, TypeError, AttributeError, ValueError)
"""What reading a file that holds something else ends in."""


class CorruptSurrogateError(ValueError):
    """A file that does not hold a surrogate, or not all of it."""


@dataclass(frozen=True, eq=False)
class FittedLevel:
    """All that ``fit`` leaves behind at one level.

    Args:
        codec: units of the outputs.
        calibration: units of the spread.
        states: weights, one mapping a member.
        data_key: of the samples it was trained and calibrated on.
    """

    codec: ResponseCodec
    calibration: Calibration
    states: tuple[Mapping[str, Array], ...]
    data_key: str

    def network(
        self, architecture: Architecture, design_shape: Sequence[int], state: Mapping[str, Array]
    ) -> SurrogateNetwork:
        """A network with that state, its weights frozen."""
        network = architecture.build(design_shape, self.codec.n_outputs)
        load_state(network, state)
        return network.requires_grad_(False).eval()


def save_fitted(path: Path, header: Mapping[str, Any], fitted: Mapping[int, FittedLevel]) -> None:
    """Write whole or not at all."""
    arrays: dict[str, Array] = {}
    levels = {}
    for level, one in fitted.items():
        levels[str(level)] = {
            "codec": one.codec.to_json(),
            "member_scale": one.calibration.member_scale,
            "quantile": one.calibration.quantile,
            "data_key": one.data_key,
        }
        named = {"mean": one.codec.mean, "scale": one.codec.scale, "residual": one.calibration.residual}
        for member, state in enumerate(one.states):
            named |= {f"members/{member}/{name}": array for name, array in state.items()}
        arrays |= {f"{level}/{name}": np.ascontiguousarray(array) for name, array in named.items()}
    save_arrays(path, {**header, "levels": levels}, arrays)


def save_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Named arrays and JSON under one checksum; whole or not at all."""
    whole = {**header, "format": FORMAT}
    text = json.dumps({**whole, "sha256": _checksum(whole, arrays)}, sort_keys=True)
    with atomic_path(path) as partial:
        save_file(dict(arrays), partial, metadata={"surrogate": text})


def load_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """What ``save_arrays`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["surrogate"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if header["format"] != FORMAT:
            raise CorruptSurrogateError(f"Expected a surrogate of format {FORMAT} in {path}. Got {header['format']}.")
        if header["sha256"] != _checksum(header, arrays):
            raise CorruptSurrogateError(f"Expected the content {path} was written with. Got another; fit again.")
    except CorruptSurrogateError:
        raise
    except DAMAGE as error:
        raise CorruptSurrogateError(f"Expected a surrogate written by save in {path}. Got {error!r}.") from error
    return header, arrays


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Of the arrays and of the header but for the checksum in it."""
    rest = {name: value for name, value in header.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True).encode()
    return state_key({**arrays, "header": np.frombuffer(text, dtype=np.uint8)})


def load_fitted(path: Path) -> tuple[dict[str, Any], dict[int, FittedLevel]]:
    """The header and the levels."""
    header, arrays = load_arrays(path)
    try:
        fitted = {int(level): _level(level, entry, arrays) for level, entry in header["levels"].items()}
    except DAMAGE as error:
        raise CorruptSurrogateError(f"Expected a surrogate written by save in {path}. Got {error!r}.") from error
    return header, dict(sorted(fitted.items()))


def _level(level: str, entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> FittedLevel:
    states: dict[int, dict[str, Array]] = {}
    start = f"{level}/members/"
    for name, array in arrays.items():
        if name.startswith(start):
            member, _, rest = name.removeprefix(start).partition("/")
            states.setdefault(int(member), {})[rest] = array
    codec = ResponseCodec.from_json(entry["codec"], arrays[f"{level}/mean"], arrays[f"{level}/scale"])
    calibration = Calibration(float(entry["member_scale"]), arrays[f"{level}/residual"], float(entry["quantile"]))
    return FittedLevel(codec, calibration, tuple(states[m] for m in sorted(states)), str(entry["data_key"]))
