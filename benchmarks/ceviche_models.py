"""The standard problems in ceviche_challenges' own classes, with the specifications of invrs-gym 1.6.2.

The power splitter is, there as here, a wavelength demultiplexer's model with other windows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from physics.devices.challenges import FULL_BAND_UM, LIGHTWEIGHT_BAND_UM

WDM_NM = {  # (side of the design region, from its corner to the outer edge of the output guides): full, lightweight
    "wdm": ((6400, 320), (3200, 400)),
    "power_splitter": ((1600, 120), (1600, 120)),
}


def ceviche_model(name: str, *, lightweight: bool = False, wavelength_um: Sequence[float] | None = None) -> Any:
    """A ceviche_challenges model of a standard problem; ``ImportError`` where that package is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes and comparisons, when its modules are compiled
        import ceviche_challenges as cc
        from ceviche_challenges import units as u
        from ceviche_challenges.wdm.model import WdmModel

    grid_nm = 40 if lightweight else 10
    band_um = wavelength_um or (LIGHTWEIGHT_BAND_UM if lightweight else FULL_BAND_UM)
    nm = u.nm
    simulation = cc.params.CevicheSimParams(
        resolution=grid_nm * nm, wavelengths=u.Array([round(1000 * w, 6) for w in band_um], nm)
    )
    material = {"cladding_permittivity": 2.25, "slab_permittivity": 12.25}
    common = material | {"input_monitor_offset": 40 * nm, "pml_width": 20}
    guides = common | {"wg_length": 720 * nm, "port_pml_offset": 40 * nm}
    square = {"padding": 400 * nm, "variable_region_size": (1600 * nm, 1600 * nm)}
    width = {"wg_width": 400 * nm, "wg_mode_padding": 520 * nm}
    if name == "waveguide_bend":
        bend = cc.waveguide_bend.spec.WaveguideBendSpec(**width, **square, **guides)
        return cc.waveguide_bend.model.WaveguideBendModel(simulation, bend)
    if name == "mode_converter":
        sides = {f"{side}_{key}": value for side in ("left", "right") for key, value in width.items()}
        orders = {"left_wg_mode_order": 1, "right_wg_mode_order": 2}
        converter = cc.mode_converter.spec.ModeConverterSpec(**sides, **orders, **square, **guides)
        return cc.mode_converter.model.ModeConverterModel(simulation, converter)
    if name == "beam_splitter":
        splitter = cc.beam_splitter.spec.BeamSplitterSpec(
            wg_separation=1120 * nm,
            variable_region_size=(3200 * nm, 2000 * nm),
            design_symmetry=None,
            **width,
            **guides,
        )
        return cc.beam_splitter.model.BeamSplitterModel(simulation, splitter)
    side, offset = WDM_NM[name][int(lightweight)]
    pml = 20 * grid_nm
    length, breadth, output = side + 2 * (720 + pml), side + 2 * (400 + pml), side / 2 - 200 - offset
    low, high = ((u.Array([(n + sign * side) / 2 for n in (length, breadth)], nm)) for sign in (-1, 1))
    demultiplexer = cc.wdm.spec.WdmSpec(
        extent_ij=u.Array([length, breadth], nm),
        input_wg_j=breadth / 2 * nm,
        output_wgs_j=u.Array([breadth / 2 - output, breadth / 2 + output], nm),
        input_mode_i=(pml + 40) * nm,
        output_mode_i=(length - pml - 40) * nm,
        variable_region=(low, high),
        **width,
        **common,
    )
    return WdmModel(simulation, demultiplexer)


def ceviche_scattering(model: Any, density: np.ndarray) -> np.ndarray:
    """Its S-parameters of a density for the first port excited, ``ports x wavelengths``, in its time convention."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sparse formats and numpy types
        s, _ = model.simulate(density, max_parallelizm=1)
    return np.asarray(s)[:, 0, :].T
