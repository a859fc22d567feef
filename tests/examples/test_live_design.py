"""The live view: to specification, a few frames in each display, and what a frame shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from examples import live_design as live


def test_a_bend_is_designed_to_specification() -> None:
    shown: list[bool] = []
    result, watch = live.watched(live.bend(), lambda _, done: shown.append(done), seed=2)
    best = result.best
    assert best is not None
    assert best.response["transmission"].min() >= 0.97
    assert set(np.unique(best.design)) == {0.0, 1.0}
    assert watch.met_after is not None
    assert watch.met_after <= watch.seconds
    assert len(watch.history) == watch.iterations == result.costs.solves
    assert shown[-1] and not any(shown[:-1])
    assert "met after" in live.report(result, watch)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    result, watch = live.main(["--frames", "3", "--no-display"])
    printed = capsys.readouterr().out.splitlines()
    assert watch.iterations == 4  # the last is what would be made
    assert result.best is not None
    assert "iterations" in printed[0]
    assert printed[-1].startswith("Specification not met")


def test_a_page_and_a_terminal_show_the_density(tmp_path: Path) -> None:
    page = tmp_path / "live.html"
    _, watch = live.main(["--frames", "3", "--no-display", "--browser", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "data:image/png;base64," in text
    assert "refresh" not in text  # at the end it stays
    live.write_page(watch, page, done=False)
    assert 'http-equiv="refresh"' in page.read_text(encoding="utf-8")
    console = Console(width=120, height=30, record=True, file=(tmp_path / "terminal").open("w"))
    console.print(live.frame(watch, console))
    drawn = console.export_text()
    assert drawn.count("▀") >= 20 * 20
    assert "1550 nm" in drawn


def test_the_picture_has_y_upwards() -> None:
    watch = live.Watch(live.bend())
    watch.density = np.zeros((80, 80))
    watch.density[:40, 40:] = 1.0  # west and north
    image = live.picture(watch, 40)
    assert image.shape == (40, 40, 3)
    assert (image[0, 0] == live.BRIGHT).all()
    assert (image[-1, 0] == live.DARK).all()
    assert (image[0, -1] == live.DARK).all()


def test_the_splitter_halves_the_light_of_a_symmetric_design() -> None:
    problem = live.splitter()
    response = problem.evaluate(np.full(problem.space.size, 0.5)).responses["nominal"]
    np.testing.assert_allclose(response["transmission"][0], response["transmission"][1], atol=1e-10)
