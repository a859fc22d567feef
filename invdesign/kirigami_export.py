"""Cut patterns as files: SVG and DXF for cutters at a physical size, LAMMPS data for molecular dynamics."""

from __future__ import annotations

import math
from pathlib import Path

import ezdxf
import ezdxf.units
import numpy as np
from numpy.typing import NDArray

from physics.base import Array
from physics.kirigami.md.atoms import graphene
from physics.kirigami.outlines import outlines
from physics.kirigami.sheet import Sheet

CARBON_MASS = 12.011
# Relaxed AIREBO graphene.
BOND_ANGSTROM = 1.3968
# Around the sheet in a LAMMPS box.
MARGIN_ANGSTROM = 60.0
LINE_MM = 0.1


def write_svg(pattern: Array, sheet: Sheet, path: str | Path, *, length_mm: float) -> Path:
    """Writes the outlines that a cutter follows as SVG; gives the path.

    Args:
        pattern: `rows x columns` of zeros and ones; 1 is material.
        sheet: what it is a pattern of.
        path: the file.
        length_mm: of the whole sheet, grips included, along the load (x); the width follows.

    Raises:
        ValueError: for a pattern that is not binary, or a length that is not above 0.
    """
    loops, (length, width) = _in_mm(pattern, sheet, length_mm)
    # In SVG y points down.
    parts = ["M " + " L ".join(f"{x:.6g},{width - y:.6g}" for x, y in loop) + " Z" for loop in loops]
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{length:.6g}mm" height="{width:.6g}mm" '
        f'viewBox="0 0 {length:.6g} {width:.6g}">\n'
        f'  <path d="{" ".join(parts)}" fill="none" stroke="#ff0000" stroke-width="{LINE_MM}"/>\n'
        "</svg>\n"
    )
    target = Path(path)
    target.write_text(text, encoding="utf-8")
    return target


def write_dxf(pattern: Array, sheet: Sheet, path: str | Path, *, length_mm: float) -> Path:
    """Writes the outlines as DXF R2010 in millimetres, closed polylines on the layer "CUT"; as :func:`write_svg`."""
    loops, _ = _in_mm(pattern, sheet, length_mm)
    document = ezdxf.new("R2010", units=ezdxf.units.MM)
    document.layers.add("CUT", color=1)
    space = document.modelspace()
    for loop in loops:
        space.add_lwpolyline([(float(x), float(y)) for x, y in loop], close=True, dxfattribs={"layer": "CUT"})
    target = Path(path)
    document.saveas(target)
    return target


def write_lammps_data(pattern: Array, sheet: Sheet, path: str | Path, *, bond_angstrom: float = BOND_ANGSTROM) -> Path:
    """Writes the graphene sheet with its cuts as LAMMPS data, `atom_style atomic`, `units metal`; gives the path.

    Types are 1 free, 2 left grip, 3 right grip.

    Args:
        pattern, sheet: see :func:`physics.kirigami.md.atoms.graphene`.
        path: the file.
        bond_angstrom: of the potential's crystal.

    Raises:
        ValueError: for a pattern that is not binary or is severed, or a sheet that is not made of whole cells.
    """
    atoms = graphene(pattern, sheet, bond_angstrom)
    low, high = atoms.positions.min(axis=0), atoms.positions.max(axis=0)
    lines = ["graphene sheet with cuts, units metal, atom_style atomic", "", f"{len(atoms.positions)} atoms"]
    lines += ["3 atom types", ""]
    for axis, a, b in zip("xyz", low - MARGIN_ANGSTROM, high + MARGIN_ANGSTROM, strict=True):
        lines.append(f"{a:.6f} {b:.6f} {axis}lo {axis}hi")
    lines += ["", "Masses", "", *(f"{kind} {CARBON_MASS}" for kind in (1, 2, 3)), "", "Atoms # atomic", ""]
    for number, (kind, (x, y, z)) in enumerate(zip(atoms.types, atoms.positions, strict=True), start=1):
        lines.append(f"{number} {kind} {x:.6f} {y:.6f} {z:.6f}")
    target = Path(path)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _in_mm(pattern: Array, sheet: Sheet, length_mm: float) -> tuple[list[NDArray[np.float64]], tuple[float, float]]:
    """Outlines and the sheet's size in millimetres."""
    if not 0 < length_mm < math.inf:
        raise ValueError(f"Expected length_mm finite and above 0. Got {length_mm}.")
    whole = sheet.length_angstrom + 2 * sheet.grip_angstrom
    scale = length_mm / whole
    return [scale * loop for loop in outlines(pattern, sheet)], (length_mm, scale * sheet.width_angstrom)
