"""The live comparison of searches, that of their objectives, and what both print."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks import darts_gap, search_live, search_picks, search_problems
from benchmarks.paired import against, interval
from benchmarks.search_live import Size
from benchmarks.search_objectives import GRADIENT, QUICK, RESPONSE, Draw, agreement, answer, device
from benchmarks.search_problems import SearchProblem
from surrogates.nas.lab import Rung
from tests.surrogates.nas.problems import SMALL, live_task, made_up_table

LIVE = SearchProblem(
    "bend", SMALL, lambda folder, draw: live_task(rungs=(Rung(1), Rung(2))), lambda folder: live_task().held_out, "toy"
)


def test_interval_holds_the_mean_and_narrows():
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.645 * values.std() / 20, rel=0.15)
    assert np.isnan(interval(values[:2])).all()


def test_intervals_of_a_few_values_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(1)
    found = [interval(rng.normal(size=3)) for _ in range(2000)]
    assert np.mean([low < 0 < high for low, high in found]) == pytest.approx(0.9, abs=0.02)


def test_seeds_of_a_draw_count_as_one(capsys):
    told = against({"plain": [[0.0, 0.0], [0.2, 0.4], [1.0, 1.2]]}, "plain", "figure")
    once = against({"plain": [0.0, 0.3, 1.1]}, "plain", "figure")
    assert told == once


def test_differences_are_of_the_same_repeats(capsys):
    hard = [0.0, 1.0, 5.0]
    told = against({"plain": hard, "better": [v + 0.1 for v in hard]}, "plain", "some figure")
    assert told["better"]["difference_interval"] == pytest.approx([0.1, 0.1])
    assert told["plain"]["difference"] == 0
    assert told["better"]["some_figure"] == pytest.approx(2.1)
    assert "less plain" in capsys.readouterr().out


def test_live_searches_are_tested_and_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(search_live, "PROBLEMS", {"bend": LIVE})
    monkeypatch.setattr(search_live, "QUICK", Size(0.5, 1, (4,), (Rung(1), Rung(2))))
    found = []
    for _ in range(2):
        search_live.main(["--quick", "--method", "halving", "--folder", str(tmp_path)])
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert set(found[0]["bend"]) == {"random", "halving"}
    assert found[0]["bend"] == found[1]["bend"]
    assert 0 < found[0]["bend"]["halving"]["test_error"] < 3
    with pytest.raises(SystemExit):
        search_live.main(["--quick", "--method", "alchemy", "--folder", str(tmp_path)])


def test_each_objective_picks_its_own_best(tmp_path):
    draw = Draw(0, QUICK, device(), tmp_path)
    a, b, c, d = draw.order[:4]
    tried = {
        a: {"value_error": 0.3, "latent_cosine": 0.1, "field_error": 0.5},
        b: {"value_error": 0.2, "latent_cosine": 0.2, "field_error": 0.6},
        c: {"value_error": 0.4, "latent_cosine": 0.9, "field_error": 0.4},
        d: {"value_error": 0.9, "latent_cosine": 0.0},
    }
    picks = draw.picks(tried)
    assert [picks[name] for name in (RESPONSE, GRADIENT, "field", "none")] == [b, c, c, a]
    rank, count = agreement(tried, RESPONSE, GRADIENT)
    assert (rank, count) == (pytest.approx(0.4), 4)
    assert agreement(tried, RESPONSE, "field")[1] == 3


def test_gradients_are_judged_in_the_variables_of_the_ascents():
    rng, late = np.random.default_rng(0), range(search_problems.STEPS // 2, search_problems.STEPS)
    latent, direction = rng.normal(size=(2, 8, 8))
    weight = rng.normal(size=(8, 8))

    def density(x, step):
        smooth = gaussian_filter(x, search_problems.FILTER_PIXELS, mode="constant")
        return 1 / (1 + np.exp(-search_problems.steepness(step) * smooth))

    designs = np.stack([density(latent, step) for step in late])
    pulled = search_problems.late_latent()(designs, np.stack([weight] * len(late)))
    h = 1e-5
    for step, gradient in zip(late, pulled, strict=True):
        ends = [(weight * density(latent + sign * h * direction, step)).sum() for sign in (1, -1)]
        assert (gradient * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)
    with pytest.raises(ValueError, match="Expected 5 designs of every ascent"):
        search_problems.late_latent()(designs[:3], designs[:3])


def test_fields_are_those_of_the_design_window(tmp_path):
    draw = Draw(0, QUICK, device(), tmp_path)
    train, check = draw.field_data
    assert train.field_shape == train.design_shape == draw.simulator.design_shape
    assert len(train) == 80
    assert len(check) == 10
    assert not set(train.groups) & set(check.groups)


def test_the_answer_says_what_the_intervals_say():
    def told(low, high):
        return {"difference_interval": [low, high]}

    text = answer(2, 3, {"gradient": told(0.01, 0.02), "field": told(-0.02, 0.01)})
    assert "2 of 3" in text
    assert "gradient are better" in text
    assert "field are neither" in text
    assert "Too few" in answer(0, 1, {"gradient": told(None, None), "field": told(None, None)})


def test_picks_of_a_whole_table_are_the_best_by_means_over_seeds():
    table, rng = made_up_table(), np.random.default_rng(0)
    measures = {name: rng.random(table.error.shape) for name in search_picks.PICKED_BY.values()}
    measures["gradient_cosine"][5, -1] = 2.0
    measures["value_error"][6, -1] = 0.0
    measures["value_error"][8, -1] = -1.0, np.nan
    picks = search_picks.picks(replace(table, measures=measures), 0)
    assert [table.number[picks[name]] for name in (GRADIENT, RESPONSE)] == [5, 6]
    assert len({search_picks.picks(replace(table, measures=measures), seed)["none"] for seed in range(8)}) > 4


def test_picks_design_once_and_go_on(tmp_path, capsys, monkeypatch):
    table = made_up_table()
    measures = dict.fromkeys(search_picks.PICKED_BY.values(), table.error)
    monkeypatch.setattr(search_picks.SearchTable, "load", lambda path, space: replace(table, measures=measures))
    asked = []
    monkeypatch.setattr(search_picks, "designed", lambda pick, *rest: asked.append(rest[-1]) or 0.5)
    search_picks.main(["--quick", "--seeds", "3", "--folder", str(tmp_path)])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["designs"]["gradient"]["difference_interval"] == [0.0, 0.0]
    assert len(asked) == 9 and asked[0].parent.is_dir()


def test_the_gap_of_darts_is_measured_for_all_variants(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(darts_gap, "PROBLEMS", {"bend": LIVE})
    darts_gap.main(["--quick", "--draws", "3", "--folder", str(tmp_path)])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["bend"]
    assert set(told) == {"darts", "darts-sparsemax-annealed", "darts-perturbation"}
    for one in told.values():
        assert one["gap"] == pytest.approx(one["pruned"] - one["supernet"], abs=2e-5)
        low, high = one["gap_interval"]
        assert low <= one["gap"] <= high and 0 <= one["last spread"] <= 1 and one["retrained"] > 0
    assert told["darts-sparsemax-annealed"]["last spread"] < told["darts"]["last spread"]
