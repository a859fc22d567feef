"""Fitted surrogates as safetensors files with a JSON header and a checksum."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from surrogates.calibration import Calibration
from surrogates.encoding import Array, ResponseCodec
from surrogates.files import atomic_path
from surrogates.states import pack, state_key, unpack

FORMAT = 3


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


@contextmanager
def reading(path: Path, wanted: str) -> Iterator[None]:
    """Raises ``CorruptSurrogateError`` for whatever making sense of a file that holds something else ends in."""
    try:
        yield
    except CorruptSurrogateError:
        raise
    except (SafetensorError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise CorruptSurrogateError(f"Expected {wanted} written by save in {path}. Got {error!r}.") from error


def check_model(path: Path, header: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Whether a file is of this model, as ``to_json`` describes it.

    Raises:
        CorruptSurrogateError: it is of no model.
        ValueError: it is of another.
    """
    with reading(path, "a model's description"):
        found = header["model"]
    if found != model:
        raise ValueError(f"Expected the model {path} was saved with, {found}. Got {model}.")


def to_text(header: Mapping[str, Any], **options: Any) -> str:
    """JSON with sorted keys; numbers of numpy as plain ones."""
    return json.dumps(header, sort_keys=True, default=lambda number: number.item(), **options)


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
        named |= pack(dict(enumerate(one.states)), "members/")
        arrays |= {f"{level}/{name}": array for name, array in named.items()}
    save_arrays(path, {**header, "levels": levels}, arrays)


def save_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Named arrays and JSON under one checksum; whole or not at all."""
    whole, ordered = {**header, "format": FORMAT}, {name: np.asarray(a, order="C") for name, a in arrays.items()}
    text = to_text({**whole, "sha256": _checksum(whole, ordered)})
    with atomic_path(path) as partial:
        save_file(ordered, partial, metadata={"surrogate": text})


def load_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """What ``save_arrays`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
    with reading(path, "a surrogate"):
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["surrogate"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if header["format"] != FORMAT:
            raise CorruptSurrogateError(f"Expected a surrogate of format {FORMAT} in {path}. Got {header['format']}.")
        if header["sha256"] != _checksum(header, arrays):
            raise CorruptSurrogateError(f"Expected the content {path} was written with. Got another; fit again.")
    return header, arrays


def load_fitted(path: Path) -> tuple[dict[str, Any], dict[int, FittedLevel]]:
    """The header and the levels, in ascending order."""
    header, arrays = load_arrays(path)
    with reading(path, "a surrogate"):
        fitted = {int(level): _level(level, entry, arrays) for level, entry in header["levels"].items()}
    return header, dict(sorted(fitted.items()))


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Of the arrays and of the header but for the checksum in it."""
    text = to_text({name: value for name, value in header.items() if name != "sha256"}).encode()
    return state_key({**arrays, "header": np.frombuffer(text, dtype=np.uint8)})


def _level(level: str, entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> FittedLevel:
    codec = ResponseCodec.from_json(entry["codec"], arrays[f"{level}/mean"], arrays[f"{level}/scale"])
    calibration = Calibration(float(entry["member_scale"]), arrays[f"{level}/residual"], float(entry["quantile"]))
    states = tuple(unpack(arrays, f"{level}/members/").values())
    return FittedLevel(codec, calibration, states, str(entry["data_key"]))
