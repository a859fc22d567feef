import numpy as np
import pytest
import torch
from scipy.stats import chi2

from surrogates import TrainingConfig
from surrogates.data import DataError
from surrogates.evaluation import mean_cosine
from surrogates.families import mlp
from surrogates.online import OnlineTrainer, Reservoir
from tests.surrogates.toy import Toy, level_data, smooth_designs

SMALL = mlp(width=48, depth=2, resolution=8)


def test_every_item_is_kept_with_the_same_probability():
    capacity, n, runs = 5, 40, 2000
    counts = np.zeros(n)
    for seed in range(runs):
        reservoir = Reservoir(capacity, seed)
        for item in range(n):
            reservoir.offer(item)
        assert len(reservoir.items) == capacity
        counts[reservoir.items] += 1
    share = capacity / n
    # Of a fixed number of draws without replacement: the counts' variance is runs * share * (1 - share).
    statistic = ((counts - runs * share) ** 2).sum() / (runs * share * (1 - share)) * (n - 1) / n
    assert chi2.ppf(0.001, n - 1) < statistic < chi2.ppf(0.999, n - 1)


def test_it_learns_from_a_stream_longer_than_its_memory():
    stream = level_data(Toy(), runs=60, steps=5, seed=1)
    trainer = OnlineTrainer(SMALL, config=TrainingConfig(batch_size=16, learning_rate=3e-3), capacity=120, seed=0)
    fresh = level_data(Toy(), runs=20, steps=5, seed=2)
    errors, losses = [], []
    design = torch.from_numpy(fresh.designs.copy())
    for row in range(len(stream)):
        one = {name: value[row] for name, value in stream.responses.items()}
        v = {"t": stream.cotangents["t"][row]}
        trainer.feed(stream.designs[row], one, stream.gradients[row], v)
        losses.append(trainer.step())
        if row in (20, 299):
            with torch.no_grad():
                errors.append((trainer.predict(design)["t"] - fresh.tensors("responses")["t"]).abs().square().mean())
    assert losses[:7] == [None] * 7
    assert trainer.steps == 293
    assert len(trainer.reservoir.items) == 120
    assert errors[1] < 0.5 * errors[0]
    spread = np.mean(np.abs(fresh.responses["t"] - stream.responses["t"].mean(axis=0)) ** 2)
    assert errors[1] < 0.4 * spread
    free = design.requires_grad_(True)
    product = (torch.from_numpy(fresh.cotangents["t"].copy()).conj() * trainer.predict(free)["t"]).real.sum()
    (gradient,) = torch.autograd.grad(product, free)
    assert mean_cosine(gradient.numpy(), fresh.gradients) > 0.5
    assert len(trainer.samples()) == 120


def test_new_units_do_not_change_the_answers():
    data = level_data(Toy(), runs=32, steps=1, seed=1)
    trainer = OnlineTrainer(SMALL, warmup=16, seed=0)
    design = torch.from_numpy(smooth_designs(np.random.default_rng(0), 4))
    for row in range(32):
        trainer.feed(data.designs[row], {name: value[row] for name, value in data.responses.items()})
        if row == 16:
            trainer.step()
    before, codec = trainer.predict(design)["t"], trainer._codec
    trainer._refit()
    assert trainer._codec is not codec
    torch.testing.assert_close(trainer.predict(design)["t"], before, rtol=1e-4, atol=1e-5)


def test_misuse():
    trainer = OnlineTrainer(SMALL)
    with pytest.raises(ValueError, match="a step first"):
        trainer.predict(torch.rand(1, 24, 20))
    with pytest.raises(DataError, match="neither"):
        trainer.feed(np.zeros((24, 20)), {"y": np.zeros(2)}, gradient=np.zeros((24, 20)))
    with pytest.raises(DataError, match="finite"):
        trainer.feed(np.zeros((24, 20)), {"y": np.full(2, np.nan)})
    trainer.feed(np.zeros((24, 20)), {"y": np.zeros(2)})
    with pytest.raises(DataError, match="with responses"):
        trainer.feed(np.zeros((24, 20)), {"z": np.zeros(2)})
    with pytest.raises(ValueError, match="warmup"):
        OnlineTrainer(SMALL, capacity=4)
