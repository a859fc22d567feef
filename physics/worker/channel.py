"""Sending and receiving frames on non-blocking pipes, with a deadline."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from typing import Any

from physics.worker.child import frames
from physics.worker.process import Process

LONGEST_POLL_S = 86_400.0


class GoneError(Exception):
    """The process ended."""


class LateError(Exception):
    """The deadline passed."""


def send(process: Process, chunks: Iterable[bytes | memoryview], deadline: float | None) -> None:
    """Writes a frame.

    Raises:
        GoneError, LateError: see there.
        frames.FrameError: for bytes that come before they were asked for.
    """
    for chunk in chunks:
        view = memoryview(chunk)
        while len(view):
            if _ready(process, process.request, select.POLLOUT, deadline, unasked=True):
                try:
                    view = view[os.write(process.request, view) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError as error:
                    raise GoneError from error


def receive(process: Process, deadline: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of the next frame.

    Raises:
        GoneError, LateError: see there.
        frames.FrameError: for anything else than a frame.
    """
    prefix = _read(process, frames.PREFIX_BYTES, deadline)
    return frames.decode(_read(process, frames.length(bytes(prefix)), deadline))


def _read(process: Process, count: int, deadline: float | None) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        if _ready(process, process.reply, select.POLLIN, deadline):
            try:
                got = os.readv(process.reply, [view])
            except BlockingIOError:
                continue
            if got == 0:
                raise GoneError
            view = view[got:]
    return data


def _ready(process: Process, fd: int, event: int, deadline: float | None, unasked: bool = False) -> bool:
    """Waits until `fd` can be used; False if it should be tried again."""
    if fd < 0:
        raise GoneError
    poll = select.poll()
    poll.register(fd, event)
    if unasked:
        poll.register(process.reply, select.POLLIN)
    if process.death >= 0:
        # A child of the worker may hold its pipe open beyond its death.
        poll.register(process.death, select.POLLIN)
    left = LONGEST_POLL_S if deadline is None else min(LONGEST_POLL_S, deadline - time.monotonic())
    if left <= 0:
        raise LateError
    found = dict(poll.poll(left * 1000))
    if unasked and found.get(process.reply, 0) & select.POLLIN:
        raise frames.FrameError("Expected no answer before the question. Got bytes.")
    if found.get(fd):
        return True
    if found:
        raise GoneError
    return False
