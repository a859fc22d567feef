from dataclasses import replace

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


def test_samples_are_copies_of_what_was_fed():
    trainer = OnlineTrainer(SMALL)
    samples = level_data(Toy(), runs=2, steps=1, seed=1)
    arrays = {"design": samples.designs[0].copy(), "gradient": samples.gradients[0].copy()}
    response = {name: value[0].copy() for name, value in samples.responses.items()}
    cotangents = {name: value[0].copy() for name, value in samples.cotangents.items()}
    trainer.feed(arrays["design"], response, arrays["gradient"], cotangents)
    for array in (*arrays.values(), *response.values(), *cotangents.values()):
        array *= 0.5
    kept, given = (part.arrays() for part in (trainer.samples(), samples.take(np.array([0]))))
    for name in ("designs", "gradients", "responses/t", "responses/loss", "cotangents/t"):
        np.testing.assert_array_equal(kept[name], given[name])


def test_what_does_not_fit_is_refused():
    trainer = OnlineTrainer(SMALL, warmup=2)
    with pytest.raises(DataError, match="one sample"):
        trainer.samples()
    samples = level_data(Toy(), runs=3, steps=1, seed=1)
    responses = [{name: value[k] for name, value in samples.responses.items()} for k in range(3)]
    cotangents = {name: value[0] for name, value in samples.cotangents.items()}
    with pytest.raises(DataError, match="gradient"):
        trainer.feed(samples.designs[0], responses[0], samples.gradients[0].T, cotangents)
    trainer.feed(samples.designs[0], responses[0])
    with pytest.raises(DataError, match="responses"):
        trainer.feed(samples.designs[1], {**responses[1], "t": responses[1]["t"][:2]})
    trainer.feed(samples.designs[1], responses[1])
    trainer.step()
    with pytest.raises(ValueError, match="b x"):
        trainer.predict(torch.from_numpy(samples.designs.copy()).transpose(1, 2))


def test_the_architectures_own_weight_of_gradients_counts():
    samples = level_data(Toy(), runs=4, steps=1, seed=1)
    losses = []
    for architecture, weight in ((SMALL, 0.0), (replace(SMALL, gradient_weight=0.0), 1.0)):
        trainer = OnlineTrainer(architecture, config=TrainingConfig(gradient_weight=weight), warmup=4)
        for k in range(4):
            response = {name: value[k] for name, value in samples.responses.items()}
            cotangents = {name: value[k] for name, value in samples.cotangents.items()}
            trainer.feed(samples.designs[k], response, samples.gradients[k], cotangents)
        losses.append([trainer.step() for _ in range(3)])
    assert losses[0] == losses[1]
