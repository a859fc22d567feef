"""Finished trials and checkpoints, shared by searches and, in a folder, by processes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surrogates.files import atomic_path


@dataclass(frozen=True, eq=False)
class Entry:
    """What a trial gave: see ``Trial``; the CPU seconds are those since the rung below."""

    error: float
    measures: Mapping[str, float]
    curve: NDArray[np.float64]
    cpu_seconds: float


class TrialCache:
    """Entries by key; in memory, and in a folder where one is given.

    Files are written whole or not at all, so that a kill loses the rung that was running and several processes may
    share a folder. What does not read counts as absent, a checkpoint that another process has dropped included.

    Args:
        folder: made if absent.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._entries: dict[str, Entry] = {}
        self._checkpoints: dict[str, bytes] = {}

    def entry(self, key: str) -> Entry | None:
        """A finished trial."""
        if key not in self._entries and self.folder is not None:
            try:
                told = json.loads((self.folder / f"{key}.json").read_text())
                self._entries[key] = Entry(
                    float(told["error"]), told["measures"], np.array(told["curve"]), told["cpu_seconds"]
                )
            except (OSError, ValueError, KeyError, TypeError):
                return None
        return self._entries.get(key)

    def checkpoint(self, key: str) -> bytes | None:
        """What training goes on from after a trial; None where it was dropped."""
        if key not in self._checkpoints and self.folder is not None:
            try:
                content = (self.folder / f"{key}.npz").read_bytes()
                with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                    archive["epoch"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                return None
            return content
        return self._checkpoints.get(key)

    def keep(self, key: str, entry: Entry, checkpoint: bytes | None) -> None:
        """Enters a trial; the checkpoint is on disk before the entry is."""
        if self.folder is None:
            if checkpoint is not None:
                self._checkpoints[key] = checkpoint
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            if checkpoint is not None:
                with atomic_path(self.folder / f"{key}.npz") as partial:
                    partial.write_bytes(checkpoint)
            told = {
                "error": entry.error,
                "measures": dict(entry.measures),
                "curve": entry.curve.tolist(),
                "cpu_seconds": entry.cpu_seconds,
            }
            with atomic_path(self.folder / f"{key}.json") as partial:
                partial.write_text(json.dumps(told))
        self._entries[key] = entry

    def forget_checkpoint(self, key: str) -> None:
        """Frees the room of a checkpoint that nothing will go on from."""
        self._checkpoints.pop(key, None)
        if self.folder is not None:
            (self.folder / f"{key}.npz").unlink(missing_ok=True)
