"""The benchmark's figures on a made-up table, and its tables on a few real trainings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks import search_methods, search_tables
from benchmarks.search_methods import Job, bootstrap, bootstrap_mean, curve, fixed_nets, methods, processes, reached
from benchmarks.search_problems import PROBLEMS, SearchProblem
from surrogates.nas.lab import Found, search_with
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import RUNGS, SMALL, live_task, made_up_table


def last_line(capsys) -> dict:
    """The JSON object printed last."""
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_figures_of_a_replay_by_hand():
    table = made_up_table()
    order = np.argsort(table.final)
    best, middle = (table.architectures[row] for row in (order[0], order[len(order) // 2]))
    found = Found("by hand", best, 0.0, (), 9.0, ((2.0, middle), (5.0, best)))
    assert reached(found, table) == 5.0 and reached(replace(found, incumbents=((2.0, middle),)), table) == np.inf
    np.testing.assert_allclose(curve(found, table, np.array([1.0, 2.0, 5.0])), [1, 1, 0], atol=1e-12)
    assert bootstrap(np.array([3.0] * 50)) == (3.0, 3.0)
    low, high = bootstrap(np.array([1.0] * 20 + [np.inf] * 20))
    assert low == 1.0 and high == np.inf
    near = next(row for row in order[1:] if table.final[row] > 1.01 * table.final.min())
    close = replace(found, incumbents=((1.0, table.architectures[near]),))
    assert reached(close, table) == np.inf
    assert reached(close, table, table.final[near] / table.final.min() - 1 + 1e-9) == 1.0


def test_interval_of_a_mean_is_that_of_normal_theory():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    half = 1.645 * values.std() / 400**0.5
    np.testing.assert_allclose(bootstrap_mean(values), values.mean() + half * np.array([-1, 1]), atol=0.15 * half)


def bend_table(folder):
    """A made-up table in a file named after a problem."""
    space = PROBLEMS["bend"].space
    table = replace(made_up_table(), space=space, architectures=tuple(space.everything()))
    table.save(folder / "bend.npz")
    return table


def test_methods_are_compared_on_a_table(tmp_path, capsys):
    table = bend_table(tmp_path)
    given = ["--workers", "1", "--method", "random", "top-K", "--table", str(tmp_path / "bend.npz")]
    search_methods.main(["--quick", *given])
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert report["seeds"] == 50
    names = {"random", "one-epoch top-K", "random, confirmed", "one-epoch top-K, confirmed"}
    assert all(set(report[figure]["bend"]) == names for figure in search_methods.FIGURES)
    for name in names:
        one, five = (report[f"cpu_to_within_{near}"]["bend"][name] or np.inf for near in ("1pct", "5pct"))
        assert five <= one
        low, high = report["regret_interval"]["bend"][name]
        assert low <= report["regret"]["bend"][name] <= high
        assert report["regret"]["bend"][name] == report["anytime"]["bend"][name][-1]
    regret = report["anytime"]["bend"]
    assert all((np.diff(values) <= 1e-9).mean() > 0.5 for values in regret.values())
    facts = report["tables"]["bend"]
    assert facts["networks"] == len(table.architectures)
    assert facts["within_5pct"] == (table.final <= 1.05 * table.final.min()).sum() >= facts["within_1pct"] >= 1
    last = table.error[:, -1]
    assert facts["correlation_of_seeds"] == pytest.approx(spearmanr(last[:, 0], last[:, 1]).statistic, abs=2e-3)
    assert f"{facts['within_1pct']} networks are within 1 %" in out
    with pytest.raises(SystemExit, match="named after"):
        search_methods.main(["--table", str(tmp_path / "other.npz")])


def test_replays_do_not_depend_on_the_number_of_processes(tmp_path):
    bend_table(tmp_path)
    chosen = methods(PROBLEMS["bend"].space)[:2]
    jobs = [Job(tmp_path / "bend.npz", m, seeds, 0.05) for m in chosen for seeds in (range(3), range(3, 5))]
    with processes(1) as run:
        alone = list(run(jobs))
    with processes(2) as run:
        together = list(run(jobs))
    assert [one.regret.shape[0] for one in alone] == [3, 2, 3, 2]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.spent, other.spent)
        np.testing.assert_array_equal(one.regret, other.regret)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problems_space_holds_the_fixed_nets(problem):
    space = PROBLEMS[problem].space
    assert len(fixed_nets(space)) == 4 and set(fixed_nets(space)) <= set(space.everything())


def test_every_method_runs_on_a_problems_table():
    space = PROBLEMS["bend"].space
    table = replace(made_up_table(), space=space, architectures=tuple(space.everything()))
    known = methods(space)
    assert len({method.name for method in known}) == len(known) == 22
    budget = 0.02 * float(table.cpu_seconds[:, :, 0].sum())
    for method in known:
        assert search_with(method, TableLab(table, budget), 0).best in table.number


def test_without_a_table_the_benchmark_says_how_to_make_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(search_methods, "TABLES", tmp_path)
    search_methods.main(["--quick"])
    out = capsys.readouterr().out
    assert "python -m benchmarks.search_tables" in out
    assert json.loads(out.splitlines()[-1])["cpu_to_within_1pct"] == {}


def test_tables_are_made_in_pieces(tmp_path, capsys, monkeypatch):
    toy = SearchProblem(
        "bend", SMALL, lambda folder, draw: live_task(rungs=RUNGS[:2]), lambda folder: live_task().held_out, "toy"
    )
    monkeypatch.setattr(search_tables, "PROBLEMS", {"bend": toy})
    monkeypatch.setattr(search_tables, "TABLES", tmp_path)
    folder = ["--folder", str(tmp_path / "trials")]
    search_tables.main(["--problem", "bend", "--pilot", "2", *folder])
    assert last_line(capsys)["bend"]["networks"] == 7
    search_tables.main(["--limit-cpu-seconds", "0.3", *folder])
    first = last_line(capsys)["bend"]
    assert first["done"] < first["of"] == 14 and not (tmp_path / "bend.npz").exists()
    search_tables.main(folder)
    assert last_line(capsys)["bend"]["done"] == 14
    table = search_tables.SearchTable.load(tmp_path / "bend.npz", SMALL)
    assert np.isfinite(table.error).all() and table.seeds == 2
