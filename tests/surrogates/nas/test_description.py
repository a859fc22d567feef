"""Methods described so that another process knows them again."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogates.nas.description import described
from surrogates.nas.methods import FixedNets, GaussianProcess, ProxyRanking, RandomSearch, TopK
from surrogates.nas.methods.confirmed import Confirmed
from surrogates.nas.methods.proxies import OnData, gradient_norm, synflow
from tests.surrogates.nas.problems import SMALL, live_task


def text(value) -> str:
    return json.dumps(described(value), sort_keys=True, allow_nan=False)


def some_methods() -> list:
    nets = tuple(SMALL.everything()[:2])
    return [
        RandomSearch(),
        FixedNets(nets, (1e-3,)),
        FixedNets(nets[:1], (1e-3,)),
        GaussianProcess(),
        ProxyRanking(OnData(gradient_norm, live_task())),
        ProxyRanking(OnData(synflow, live_task())),
        ProxyRanking(OnData(gradient_norm, live_task(gradients=False))),
        Confirmed(RandomSearch()),
        Confirmed(TopK()),
        Confirmed(TopK(), seeds=3),
    ]


def test_methods_that_differ_are_told_apart_and_equal_ones_are_not():
    texts = [text(method) for method in some_methods()]
    assert len(set(texts)) == len(texts)
    assert texts == [text(method) for method in some_methods()]
    assert all("0x" not in one and len(one) < 4000 for one in texts)


def test_another_process_describes_the_same():
    program = (
        "import json\nfrom tests.surrogates.nas.test_description import some_methods, text\n"
        "print(json.dumps([text(method) for method in some_methods()]))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [text(method) for method in some_methods()]


@dataclass(frozen=True)
class Holds:
    value: object


class Plain:
    def __init__(self, value):
        self.value = value

    def ask(self):
        return self.value


def adder(n):
    return lambda value: value + n


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.ones(3)),
        (np.zeros(3), np.zeros(3, dtype=np.float32)),
        (torch.zeros(2), torch.ones(2)),
        (float("inf"), float("nan")),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({1, 2}, {1, 3}),
        (np.sin, np.cos),
        (max, min),
        (int, float),
        (adder(1), adder(2)),
        (partial(adder, 1), partial(adder, 2)),
        (Plain(1), Plain(2)),
        (Plain(1).ask, Plain(2).ask),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (1j, 2j),
        (b"a", b"b"),
        (Path("a"), Path("b")),
        (lambda value: value + 1, lambda value: value - 1),
        (lambda value: value + 1, lambda value: value + 2),
    ],
)
def test_values_are_known_by_their_content(one, other):
    assert text(Holds(one)) == text(Holds(one))
    assert text(Holds(one)) != text(Holds(other))


def test_equal_content_is_equal():
    assert text({"b": 1, "a": 2}) == text({"a": 2, "b": 1})
    assert text({3, 1, 2}) == text({2, 3, 1})
    assert text(adder(1)) == text(adder(1))
    assert text(np.arange(6.0).reshape(2, 3).T) == text(np.ascontiguousarray(np.arange(6.0).reshape(2, 3).T))
    assert text(Plain(1)) == text(Plain(1))
    task = live_task()
    assert text(task) == text(replace(task)) != text(replace(task, rungs=task.rungs[:1]))


def test_what_nothing_tells_apart_is_refused():
    with pytest.raises(TypeError, match="frozen dataclass"):
        described(Holds(iter([1])))
