"""The report is one self-contained page that says what the results say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest

from invdesign.budget import Budget
from invdesign.export import read_gds
from invdesign.figures import (
    convergence_figure,
    design_figure,
    fields_figure,
    response_figure,
    search_figure,
    surrogate_figure,
)
from invdesign.figures.design import _outlines
from invdesign.figures.style import SETTINGS, colour, dash, marker
from invdesign.figures.values import charged, unit_of
from invdesign.problem import Problem
from invdesign.records import Note
from invdesign.report import write_report
from invdesign.report.comparison import comparison_table, comparison_title, costs_table, uncharged
from invdesign.report.facts import compare, overall_best, stand
from invdesign.report.lessons import learnt_table, lessons, steps_of, steps_table
from invdesign.report.page import headline, response_table
from invdesign.report.pictures import pictures
from invdesign.run import run
from invdesign.spaces import CutGrid
from invdesign.spaces.space import DensitySpace
from invdesign.strategies import Adjoint, Drawn, Random, RandomCodes
from invdesign.targets import CustomTarget, Target
from physics.base import Fidelity, Quantity
from physics.kirigami import KirigamiLadder, LatticeLevel, LinearLevel, small_graphene_sheet
from tests.invdesign.noted import ToyWithFields, some_results, toy_problem, with_notes


class Page(HTMLParser):
    """Tags, text and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data + " "


@pytest.fixture(scope="module")
def results():
    return some_results()


def test_report_is_self_contained(results, tmp_path):
    path = write_report([with_notes(results[0]), *results[1:]], tmp_path / "report")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith("data:image/") or (path.parent / link).is_file() for link in page.links)
    assert "http" not in re.sub(r"data:image/[^\"]*", "", path.read_text(encoding="utf-8"))
    for heading in ("Response", "Design", "Strategies at equal cost", "Surrogate quality", "Architecture search",
                    "Costs by phase", "Provenance"):  # fmt: skip
        assert heading in page.words
    names = {p.name for p in (path.parent / "figures").iterdir()}
    stems = ("design", "fields", "response", "convergence", "surrogate", "search")
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg")}


def test_report_leaves_out_what_is_absent(results, tmp_path):
    page = Page(write_report(results, tmp_path).read_text(encoding="utf-8"))
    assert "Surrogate" not in page.words
    assert "Architecture" not in page.words
    assert not (tmp_path / "figures" / "search.svg").exists()


def test_report_states_the_verified_best(results, tmp_path):
    best = overall_best(results)
    assert best is not None and best.best is not None and best.check is not None
    page = Page(write_report(results, tmp_path).read_text(encoding="utf-8"))
    assert best.strategy in page.words
    assert best.check.fidelity in page.words
    assert np.array_equal(np.load(tmp_path / "design.npy"), best.best.design)
    made = read_gds(tmp_path / "design.gds", (12, 12), 0.1, origin_um=(-0.6, -0.6))
    assert np.array_equal(made, best.best.design > 0.5)
    for run_key in (r.run for r in results):
        assert run_key in page.words


def test_report_of_nothing_verified(tmp_path):
    broken = toy_problem(ToyWithFields(fault="nan"))
    result = run(broken, Random(designs=2), budget=Budget(solves=4))
    page = Page(write_report([result], tmp_path).read_text(encoding="utf-8"))
    assert "No design could be verified" in page.words
    assert not (tmp_path / "design.gds").exists()
    with pytest.raises(ValueError, match="at least one result"):
        write_report([], tmp_path)


def test_names_are_escaped(results, tmp_path):
    text = write_report([replace(results[0], strategy="<b>bold</b>")], tmp_path).read_text(encoding="utf-8")
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold" in text


def test_equal_results_give_equal_figures(results, tmp_path):
    for folder in ("a", "b"):
        write_report(results, tmp_path / folder)
    for path in sorted((tmp_path / "a").rglob("*.svg")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_figures_leave_no_global_state(results):
    before = dict(matplotlib.rcParams)
    assert convergence_figure(results) is not None and response_figure(results) is not None
    assert dict(matplotlib.rcParams) == before
    assert any(matplotlib.rcParams[key] != value for key, value in SETTINGS.items())
    assert "matplotlib.pyplot" not in str(convergence_figure(results).canvas.manager)


def test_figures_without_anything_to_show(results):
    empty = replace(results[0], candidates=(), check=None)
    assert convergence_figure([empty]) is None
    assert response_figure([empty]) is None
    assert design_figure(results[0].problem, np.zeros(5)) is None
    fields = results[0].problem.simulator.fields(np.ones((12, 12)), 1)
    assert fields_figure(results[0].problem, replace(fields, values={})) is None


@pytest.mark.parametrize("fates", [("met", "good"), ("unconfirmed", "fair"), ("missed", "poor")])
def test_headline_tells_met_from_missed(results, fates):
    fate, state = fates
    result = next(r for r in results if r.check is not None)
    distance = 0.2 if fate == "missed" else 0.0
    candidate = replace(result.best, distance=distance)
    check = replace(result.check, drift=0.5 if fate == "unconfirmed" else 0.001, distance=distance)
    told = headline([replace(result, candidates=(candidate,), check=check)])
    assert told.state == state
    assert ("not" in told.title) == (fate != "met")


def test_comparison_is_at_equal_cost(results):
    early, late = (
        replace(results[0].best, cpu_seconds=1.0, distance=0.5),
        replace(results[0].best, cpu_seconds=9.0, distance=0.1),
    )
    spent = results[2].notes
    assert any(note.kind == "budget spent" for note in spent)
    costs = replace(results[0].costs, cpu_seconds_by_phase={})
    slow = replace(results[0], candidates=(early, late), notes=spent, costs=replace(costs, cpu_seconds=10.0))
    fast = replace(results[0], candidates=(early,), notes=spent, costs=replace(costs, cpu_seconds=5.0))
    compared = compare([slow, fast])
    assert compared.cpu_seconds == 5.0
    assert [row.best for row in compared.rows] == [early, early]
    # One that ended by itself is granted what the others spent, and does not cut them short.
    done = replace(fast, notes=())
    compared = compare([slow, done])
    assert compared.cpu_seconds == 10.0
    assert compared.rows[0].best == late
    assert compare([replace(slow, notes=()), done]).cpu_seconds is None
    assert comparison_table([slow, done]).strong == {0}


def test_comparison_is_at_the_reference_solves_that_were_asked(results):
    late = replace(results[0].best, cpu_seconds=9.0)
    spent, asked = results[2].notes, Budget(reference_solves=7)
    assert any(note.kind == "budget spent" for note in spent)
    costs = replace(results[0].costs, cpu_seconds_by_phase={})
    slow = replace(results[0], candidates=(late,), notes=spent, costs=replace(costs, cpu_seconds=10.0), budget=asked)
    fast = replace(slow, costs=replace(costs, cpu_seconds=5.0))
    compared = compare([slow, fast])
    assert compared.cpu_seconds is None and compared.limit == "7 reference solves"
    assert [row.best for row in compared.rows] == [late, late]
    assert comparison_title([slow, fast]) == "Strategies at 7 reference solves each"
    assert "up to 7 reference solves" in comparison_table([slow, fast]).note
    # Otherwise at what the least of them used.
    assert compare([slow, replace(fast, budget=Budget(reference_solves=8))]).cpu_seconds == 5.0


def test_a_sheet_is_drawn_between_its_grips_and_stretched(tmp_path):
    sheet = small_graphene_sheet()
    ladder = KirigamiLadder(sheet, levels=(LinearLevel(), LatticeLevel(strain=(0.1, 0.2))))
    problem = Problem(CutGrid(sheet.cells), ladder, [Target("modulus", upper=400.0)])
    result = run(problem, RandomCodes(), budget=Budget(reference_solves=2))
    drawn = dict(pictures([result], result))
    assert {"design", "fields", "response"} <= set(drawn)
    assert "grips" in drawn["design"].caption and "strain of 0.2" in drawn["fields"].caption
    assert write_report([result], tmp_path).is_file()


def test_worst_value_is_over_all_cases(results):
    best = results[0].best
    transmission = stand(results[0].problem, best.responses)[0]
    assert transmission.name == "transmission out"
    assert transmission.worst == min(r["transmission"].min() for r in best.responses.values())
    assert transmission.met == (transmission.worst >= 0.12)
    magnitude = stand(results[0].problem, best.responses)[1]
    assert magnitude.worst == pytest.approx(max(np.abs(r["s"][0]).max() for r in best.responses.values()))


def test_response_table_has_the_verified_values(results):
    table = response_table(results[0])
    assert table is not None
    shown = [float(row[3]) for row in table.rows if row[0].startswith("transmission")]
    assert shown == pytest.approx(list(results[0].best.response["transmission"][0]), abs=6e-4)


def test_response_table_judges_by_the_worst_corner(results):
    best = results[0].best
    corner = next(case for case in best.responses if case != "nominal")
    dark = {name: np.zeros_like(values) for name, values in best.responses[corner].items()}
    table = response_table(with_responses(results[0], {**best.responses, corner: dark}))
    assert table is not None
    assert table.columns == ("quantity", "at", "wanted", "verified", "worst corner", "refined check", "")
    rows = [row for row in table.rows if row[0].startswith("transmission")]
    assert rows
    for row in rows:
        assert (float(row[4]), row[-1]) == (0, "missed")
    alone = response_table(with_responses(results[0], {"nominal": best.responses["nominal"]}))
    assert alone is not None
    assert "worst corner" not in alone.columns


@pytest.mark.parametrize(
    ("axis", "unit"),
    [("wavelength_um", " µm"), ("angle_deg", "°"), ("temperature_k", " K"), ("k", ""), ("x", ""), ("order", "")],
)
def test_axes_have_their_units(axis, unit):
    assert unit_of(axis) == unit


def test_goals_alone_are_not_said_to_be_met():
    wanted = [Target("transmission", goal="maximize")]
    result = run(toy_problem(targets=wanted), Drawn(np.ones((12, 12))), budget=Budget(solves=3))
    assert comparison_table([result]).rows[0][1] == "–"
    assert "targets are met" not in " ".join(headline([result]).sentences)


@pytest.mark.parametrize("shape", [(12, 1), (1, 12)])
def test_a_row_of_pixels_can_be_seen(shape):
    problem = Problem(DensitySpace(shape, pixel_um=0.1, filter_radius_um=0.1), Row(shape), [Target("x", lower=0)])
    (axes,) = design_figure(problem, np.linspace(0, 1, 12).reshape(shape)).axes
    (image,) = axes.get_images()
    assert np.array_equal(np.ravel(image.get_array()), np.linspace(0, 1, 12))
    box = axes.get_position()
    assert axes.get_aspect() == "auto"
    assert box.height > 0.05


@dataclass(frozen=True)
class Row:
    """A simulator of one row of pixels."""

    design_shape: tuple[int, int]
    identity: str = "row"
    fidelities: tuple[Fidelity, ...] = (Fidelity("only", 1.0, (Quantity("x", {}),)),)

    def simulate(self, design, level, replicate=0):
        return {"x": np.asarray(design.mean())}


def test_all_materials_are_outlined():
    """Air, a coating and a rod; averages at the edges are no materials, and grey has only its middle."""
    plane = np.ones((40, 40))
    plane[10:30, 10:30] = 2.25
    plane[15:25, 15:25] = 12.0
    plane[15, 15] = 7.0
    assert _outlines(plane) == pytest.approx([1.625, 7.125])
    assert _outlines(np.linspace(1, 3, 1600).reshape(40, 40)) == pytest.approx([2])
    assert _outlines(np.ones((4, 4))) == []


def with_responses(result, responses):
    """The same result, its only candidate the best one with other responses."""
    return replace(result, candidates=(replace(result.best, responses=responses),))


def small(response):
    return response["transmission"].mean((-1, -2))


@pytest.mark.parametrize(
    "targets",
    [
        [CustomTarget(small, tolerance=0.5)],
        [Target("transmission", goal="maximize")],
        [Target("transmission", at={"wavelength_um": 1.5}, lower=-9, upper=-3, scale="db")],
        [
            Target("transmission", at={"wavelength_um": 1.5}, lower=0.2),
            Target("transmission", at={"wavelength_um": 1.6}, upper=0.1),
        ],
    ],
    ids=["custom", "goal", "decibel", "demultiplexer"],
)
def test_report_of_other_targets(targets, tmp_path):
    problem: Problem = toy_problem(targets=targets)
    result = run(problem, Adjoint(starts=1, evaluations=3), budget=Budget(solves=30))
    page = Page(write_report([result], tmp_path).read_text(encoding="utf-8"))
    assert "Verified" in page.words or "verified" in page.words
    standings = stand(problem, result.best.responses)
    assert len({s.name for s in standings}) == len(targets)


def test_report_of_a_grey_drawing_says_so():
    grey = np.full((12, 12), 0.4)
    result = run(toy_problem(), Drawn(grey), budget=Budget(solves=5))
    assert "grey" in headline([result]).sentences[0]


@pytest.mark.parametrize("draw", [response_figure, convergence_figure])
def test_legends_of_many_long_names_fit(results, draw):
    names = [f"a strategy of thirty-five letters {n:2}" for n in range(8)]
    many = [replace(results[n % 3], strategy=name) for n, name in enumerate(names)]
    figure = draw(many)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    told = {text.get_text().replace("\n", " ").replace("  ", " ") for text in legend.get_texts()}
    assert {name.replace("  ", " ") for name in names} <= told
    inner, outer = legend.get_window_extent(), figure.bbox
    assert inner.x0 >= outer.x0 and inner.x1 <= outer.x1 and inner.y0 >= outer.y0
    assert all(not inner.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_ten_series_are_told_apart():
    assert len({(colour(n), marker(n), str(dash(n))) for n in range(10)}) == 10
    assert len({colour(n) for n in range(10)}) == len({marker(n) for n in range(10)}) == 10


def at_costs(result, *, cpu_seconds, check=0.0, setup=0.0):
    phases = {"toy-1": cpu_seconds, "check": check} if check else {"toy-1": cpu_seconds}
    costs = replace(result.costs, cpu_seconds=cpu_seconds + check, cpu_seconds_by_phase=phases, setup_cpu_seconds=setup)
    return replace(result, costs=costs)


def test_check_and_setup_are_not_charged(results):
    result = at_costs(results[0], cpu_seconds=8.0, check=30.0, setup=2.5)
    assert charged(result) == 8.0
    table = comparison_table([result])
    assert table.rows[-1][table.columns.index("CPU s used")] == "8.0"
    assert "check of each best design 30.0 CPU s" in table.note and "set-up, shared, 2.5 CPU s" in table.note
    costs = costs_table([result])
    assert costs.rows[-2:] == (("charged", "8.00"), ("refined check, not charged", "30.00"))
    assert uncharged([at_costs(results[0], cpu_seconds=8.0)]) == ""
    (line, *_) = convergence_figure([result]).axes[0].get_lines()
    assert max(line.get_xdata()) == 8.0


def test_convergence_has_a_line_of_its_own(results):
    early = replace(results[0].best, cpu_seconds=2.0, distance=0.1)
    late = replace(results[0].best, cpu_seconds=9.0, distance=0.0)
    notes = (Note("converged", 3.0, {"start": 1}),)
    result = at_costs(replace(results[0], candidates=(early, late), notes=notes), cpu_seconds=10.0)
    first, whole = compare([result]).rows
    assert (first.label, first.best, first.cpu_seconds, first.verified) == (
        f"{result.strategy}, at its convergence",
        early,
        3.0,
        1,
    )
    assert (whole.label, whole.best, whole.cpu_seconds) == (f"{result.strategy}, full budget", late, 10.0)
    assert comparison_table([result]).strong == {1}
    # Where it converged at its very end, one line says all; where it was cut before, there is no convergence yet.
    at_end = replace(result, notes=(Note("converged", 9.9, {}),))
    assert [row.label for row in compare([at_end]).rows] == [result.strategy]
    cut = at_costs(replace(result, notes=(Note("budget spent", 1.0, {}),)), cpu_seconds=2.5)
    assert [row.early for row in compare([result, cut]).rows] == [False, False]


def test_lessons_come_from_the_numbers(results):
    def step(model, predicted, actual):
        content = {"model": model, "predicted": predicted, "actual": actual, "accepted": actual > 0, "cpu_seconds": 2.0}
        return Note("step", 1.0, content)

    notes = [step("surrogate", 0.1, -0.2), step("surrogate", 0.1, 0.02), step("low_fidelity", 0.1, 0.06)]
    hybrid = replace(results[0], strategy="hybrid", notes=tuple(notes), candidates=())
    costs = replace(hybrid.costs, cpu_seconds_by_phase={"search-trial": 3.0, "surrogate-member": 1.0})
    hybrid = replace(hybrid, costs=costs)
    network, low = steps_of(hybrid)
    assert (network.count, network.accepted, network.gain) == (2, 1, 0.02)
    assert network.ratio == pytest.approx(-0.9)
    assert (network.cpu_seconds, network.all_cpu_seconds, low.all_cpu_seconds) == (4.0, 8.0, 2.0)
    assert low.reference_solves == len(hybrid.problem.cases())
    table = steps_table([hybrid])
    assert table is not None and [row[1] for row in table.rows] == ["network", "low fidelity"]
    met = replace(results[0], strategy="quick", candidates=(replace(results[0].best, cpu_seconds=4.0, distance=0.0),))
    shares, times = (text.replace("\N{NO-BREAK SPACE}", " ") for text in lessons([hybrid, met]))
    assert "0.08" in shares and "network made 25 %" in shares and "low fidelity 75 %" in shares
    assert times == "In this problem “quick” first met the targets after 4.0 CPU s; “hybrid” never."
    assert lessons([hybrid])[-1] == "No strategy has met the targets."
    # A network that was trained, but never asked, is seen as well.
    (unused, _) = sorted(steps_of(replace(hybrid, notes=(notes[-1],))), key=lambda steps: steps.count)
    assert (unused.model, unused.count, unused.all_cpu_seconds) == ("network", 0, 4.0)
    assert lessons([replace(met, problem=toy_problem(targets=[Target("transmission", goal="maximize")]))]) == []


def test_surrogate_is_told_beside_trivial_models(results):
    table = learnt_table([with_notes(results[0])])
    assert table is not None
    assert [row[1] for row in table.rows] == ["first", "last"]
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert first["samples"] == "64"
    assert (first["value error"], first["value error, mean of the training set"]) == ("0.11", "1")
    assert (first["gradient cosine"], first["gradient cosine, mean gradient"]) == ("0.71", "0.29")
    figure = surrogate_figure([with_notes(results[0])])
    assert figure is not None
    ticks = [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
    assert not any("_" in text for text in ticks)
    assert "nearest neighbour" in ticks


def test_search_curves_part_at_the_reference(results):
    search = with_notes(results[0]).noted("search")[0]
    figure = search_figure(search, ("toy-0", "toy-1"))
    assert figure is not None
    (axes,) = figure.axes
    assert "toy-1" in axes.get_xlabel() and "gradient cosine" in axes.get_ylabel()
    assert "toy-0" in axes.texts[0].get_text()
    spans = [(min(line.get_xdata()), max(line.get_xdata())) for line in axes.get_lines() if len(line.get_xdata())]
    assert all(high < 1 or low >= 1 for low, high in spans)
    assert min(low for low, _ in spans) == -3
    plain = {**search, "trials": [{k: v for k, v in t.items() if k != "levels"} for t in search["trials"]]}
    assert search_figure(plain).axes[0].get_xlabel() == "epoch"
