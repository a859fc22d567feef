"""Files of cut patterns, read back."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import ezdxf
import numpy as np
import pytest

from invdesign.figures.kirigami import deformed_figure, pattern_figure
from invdesign.kirigami_export import write_dxf, write_lammps_data, write_svg
from physics.kirigami import (
    KirigamiLadder,
    LinearLevel,
    Sheet,
    hanakata_sheet,
    material,
    mos2_sheet,
    small_graphene_sheet,
)
from physics.kirigami.outlines import outlines

SERPENTINE = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float)
HOLE = np.ones((3, 5))
HOLE[1, 2] = 0


def signed_area(loop):
    x, y = np.asarray(loop).T
    return 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


@pytest.mark.parametrize("pattern", [np.ones((3, 5)), HOLE, SERPENTINE, np.eye(3, 5)])
@pytest.mark.parametrize("sheet", [hanakata_sheet(), Sheet((3, 5), (2.0, 3.0), 1.0, 0.0)])
def test_outlines_enclose_the_material(pattern, sheet):
    grips = 2 * sheet.grip_angstrom * sheet.width_angstrom
    solid = material(pattern, sheet, (1, 1))[0, 0] * sheet.length_angstrom * sheet.width_angstrom
    assert sum(signed_area(loop) for loop in outlines(pattern, sheet)) == pytest.approx(solid + grips)


def test_loops_are_few_and_holes_run_the_other_way():
    assert len(outlines(np.ones((3, 5)), hanakata_sheet())) == 1
    areas = [signed_area(loop) for loop in outlines(HOLE, hanakata_sheet())]
    assert sorted(math.copysign(1, area) for area in areas) == [-1, 1]
    # Cells that touch in a corner are pieces of their own.
    assert len(outlines(np.eye(3), Sheet((3, 3), (1.0, 1.0), 1.0, 0.0))) == 3


def test_svg_has_the_physical_size(tmp_path):
    sheet = hanakata_sheet()
    root = ET.fromstring(write_svg(SERPENTINE, sheet, tmp_path / "a.svg", length_mm=80).read_text())
    assert root.get("width") == "80mm"
    width = 80 * sheet.width_angstrom / (sheet.length_angstrom + 2 * sheet.grip_angstrom)
    assert float(root.get("height").removesuffix("mm")) == pytest.approx(width, rel=1e-4)
    numbers = np.array(re.findall(r"[-\d.e]+,[-\d.e]+", root[0].get("d")))
    points = np.array([[float(v) for v in pair.split(",")] for pair in numbers])
    np.testing.assert_allclose(points.min(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(points.max(axis=0), [80, width], rtol=1e-4)


def test_dxf_reads_back_in_millimetres(tmp_path):
    sheet = hanakata_sheet()
    document = ezdxf.readfile(write_dxf(HOLE, sheet, tmp_path / "a.dxf", length_mm=50))
    assert document.units == ezdxf.units.MM
    lines = list(document.modelspace())
    assert len(lines) == 2 and all(line.closed and line.dxf.layer == "CUT" for line in lines)
    scale = 50 / (sheet.length_angstrom + 2 * sheet.grip_angstrom)
    found = sum(signed_area([point[:2] for point in line.get_points()]) for line in lines)
    assert found == pytest.approx(scale**2 * sum(signed_area(loop) for loop in outlines(HOLE, sheet)))
    assert not document.audit().errors


def test_lammps_data_counts_its_atoms(tmp_path):
    lines = write_lammps_data(SERPENTINE, small_graphene_sheet(), tmp_path / "a.data").read_text().splitlines()
    assert lines[2] == "816 atoms"
    rows = np.array([line.split() for line in lines[lines.index("Atoms # atomic") + 2 :]], dtype=float)
    assert len(rows) == 816
    assert set(rows[:, 1]) == {1, 2, 3}
    # Two rows of fifteen cells of four atoms a grip.
    assert (rows[:, 1] == 2).sum() == (rows[:, 1] == 3).sum() == 120


@pytest.mark.parametrize("write", [write_svg, write_dxf])
def test_bad_patterns_and_sizes_are_refused(write, tmp_path):
    with pytest.raises(ValueError, match="zeros and ones"):
        write(0.5 * SERPENTINE, hanakata_sheet(), tmp_path / "a", length_mm=10)
    with pytest.raises(ValueError, match="length_mm"):
        write(SERPENTINE, hanakata_sheet(), tmp_path / "a", length_mm=0)


@pytest.mark.parametrize("sheet", [small_graphene_sheet(), mos2_sheet(5)])
def test_figures_show_pattern_and_strain(sheet, tmp_path):
    design = np.ones(sheet.cells)
    design[1, :3] = 0
    figure = pattern_figure(design, sheet)
    image = figure.axes[0].images[0].get_array()
    assert image.mean() == pytest.approx(1 - sheet.cut_share * (1 - design.mean()), rel=1e-6)
    shape = KirigamiLadder(sheet, levels=(LinearLevel(),)).deformed(design, 0, 0.1)
    figure = deformed_figure(shape)
    faces = figure.axes[0].collections[0]
    assert len(faces.get_paths()) == (shape.material >= 0.3).sum()
    figure.savefig(tmp_path / "a.png")
