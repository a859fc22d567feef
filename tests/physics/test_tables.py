"""Tables as simulators: exact lookup, replicates, and errors that say what is absent."""

import numpy as np
import pytest

from physics.base import Quantity, SimulationError
from physics.tables import (
    Label,
    TableSimulator,
    mos2_codes,
    mos2_sheet,
    mos2_table,
    read_csv,
    row_density,
    table_from_csv,
)
from physics.testing import check_simulator
from tests.mos2 import table_or_skip

HEADER = "a,b,strain,s1,s2\n"


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(HEADER + "0,1,0.5,1,2\n1,1,0.25,3,4\n0,1,0.75,5,6\n")
    curve = Label(Quantity("stress", {"strain": (0.1, 0.2)}, "GPa"), ("s1", "s2"))
    return table_from_csv(file, ["a", "b"], [Label.scalar("strain"), curve])


def test_it_answers_what_it_holds_and_counts_repeated_rows_as_replicates(table):
    assert table.design_shape == (2,)
    assert table.fidelities[0].stochastic
    first, second = (table.simulate(np.array([0.0, 1.0]), 0, replicate) for replicate in (0, 1))
    assert (first["strain"], second["strain"]) == (0.5, 0.75)
    assert second["stress"].tolist() == [5, 6]


def test_absent_designs_and_replicates_are_named(table):
    with pytest.raises(SimulationError, match="one of the 2 designs"):
        table.simulate(np.array([0.0, 0.0]), 0)
    with pytest.raises(SimulationError, match="replicate from 0 to 0"):
        table.simulate(np.array([1.0, 1.0]), 0, 1)


def test_it_keeps_the_contract(table):
    assert check_simulator(table).levels == ("table",)


def test_its_identity_is_that_of_its_content(table):
    same = TableSimulator(table.name, table.designs, table.quantities, table.responses)
    labels = {name: values + (name == "strain") for name, values in table.responses.items()}
    assert same.identity == table.identity
    assert TableSimulator(table.name, table.designs, table.quantities, labels).identity != table.identity


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("a,b\n1,2\n", ValueError, "columns"),
        (HEADER + "1,2,x,1,2\n", ValueError, "line 2"),
        (HEADER + "1,2\n", ValueError, "line 2"),
        (HEADER, ValueError, "non-empty"),
        (HEADER + "0,3,1,1,2\n", ValueError, r"\[0, 1\]"),
        (HEADER + "0,1,nan,1,2\n", ValueError, "finite"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, error, words):
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(error, match=words):
        table_from_csv(file, ["a", "b"], [Label.scalar("strain")])


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_csv(tmp_path / "none.csv", ["a"])
    monkeypatch.delenv("INVDESIGN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="INVDESIGN_DATA"):
        mos2_table()


def test_cuts_wrap_around_the_width():
    row = row_density(np.array(8.0), np.array(4.0), 10.0, 10)
    assert row.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert row_density(np.array(8.0), np.array(0.0), 10.0, 10).all()


def test_the_options_of_the_mos2_sheet_are_drawn_distinctly(tmp_path):
    sheet = mos2_sheet()
    options = np.array(sheet.options)
    drawn = row_density(options[:, 0], options[:, 1], sheet.width_angstrom, sheet.columns)
    assert len(np.unique(drawn, axis=0)) == 13
    lengths = (1 - drawn).sum(1) * sheet.width_angstrom / sheet.columns
    assert np.abs(lengths - options[:, 1]).max() < sheet.width_angstrom / sheet.columns / 2


def test_the_mos2_table_has_the_published_facts():
    mos2 = table_or_skip()
    strain = mos2.responses["failure_strain"]
    codes = mos2_codes(mos2)
    assert len(strain) == len(np.unique(codes, axis=0)) == 23_560
    assert (strain >= 0.3769).sum() == 24
    place = {tuple(code): row for row, code in enumerate(codes.tolist())}
    pairs = [(row, place[code[::-1]]) for code, row in place.items() if code < code[::-1]]
    first, second = np.array(pairs).T
    ceiling = 1 - (strain[first] - strain[second]).var() / 2 / strain.var()
    assert 0.93 < ceiling < 0.95
    assert check_simulator(mos2).designs == 2
