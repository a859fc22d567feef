"""Lanes: order, errors, interrupts, and what a failed item leaves behind."""

import os
import signal
import threading
import time
import weakref

import pytest

from physics.fdfd.lanes import Lanes


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


class Held:
    """Something large that only a failed task's frame holds."""


@pytest.mark.parametrize("threads", [1, 2])
def test_items_come_in_order_each_from_its_own_lane(threads):
    with Lanes(6, threads) as lanes:
        first = lanes.each(lambda i: (i, threading.get_ident()))
        assert first == lanes.each(lambda i: (i, threading.get_ident()))
    assert [item for item, _ in first] == list(range(6))
    assert len({lane for _, lane in first}) == threads


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failed_item_drops_what_it_held_and_stops_the_rest(threads):
    begun, refs = [], []

    def task(i):
        begun.append(i)
        held = Held()
        refs.append(weakref.ref(held))
        time.sleep(0.02)
        raise ZeroDivisionError(i)

    with Lanes(40, threads) as lanes:
        with pytest.raises(ZeroDivisionError) as error:
            lanes.each(task)
        assert all(ref() is None for ref in refs), "the traceback holds what the task held"
        assert error.value.__traceback__ is not None
        assert len(begun) < 10
        done = []
        lanes.each(done.append)  # the clean-up of every item still runs
    assert sorted(done) == list(range(40))


@pytest.fixture
def listening():
    """Interrupts are heard, also where the tests run in a shell's background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_does_not_wait_for_what_has_not_begun(listening):
    begun, cleaned = [], []

    def task(i):
        begun.append(i)
        time.sleep(0.02)
        if i == 2:  # by now the caller waits
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), Lanes(40, 2) as lanes:
        try:
            lanes.each(task)
        finally:
            lanes.each(cleaned.append)
    assert len(begun) < 10
    assert sorted(cleaned) == list(range(40))
