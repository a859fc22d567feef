"""Ready-made materials against published refractive indices, and what is refused."""

from dataclasses import asdict

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.fdfd import Rectangle
from physics.fdfd.dispersion import Constant, Material, Sellmeier, Table, check_permittivity, medium, number
from physics.fdfd.materials import (
    AIR,
    GOLD,
    SILICA,
    SILICON,
    SILICON_ABSORBING,
    SILICON_NITRIDE,
    SILVER,
    TITANIA,
)

ALL = (AIR, GOLD, SILICA, SILICON, SILICON_ABSORBING, SILICON_NITRIDE, SILVER, TITANIA)


def index(material, wavelength_um, **temperature):
    return np.sqrt(complex(material.permittivity(wavelength_um, **temperature)))


@pytest.mark.parametrize(
    ("material", "wavelength_um", "published", "tolerance"),
    [
        # Malitson 1965, table of computed indices at the Fraunhofer lines and in the infrared.
        (SILICA, 0.587562, 1.45846, 1e-5),
        (SILICA, 0.656272, 1.45637, 1e-5),
        (SILICA, 1.01398, 1.45024, 1e-5),
        (SILICA, 1.52952, 1.44427, 1e-5),
        # Salzberg and Villa 1957, measured at 26 C; the fit's residuals are some 1e-4.
        (SILICON, 1.3570, 3.4975, 5e-4),
        (SILICON, 1.5295, 3.4795, 5e-4),
        (SILICON, 2.4373, 3.4408, 5e-4),
        # Green 2008, rows that are not in the thinned table.
        (SILICON_ABSORBING, 0.47, 4.497 + 0.062086j, 0.008),
        (SILICON_ABSORBING, 0.65, 3.844 + 0.014431j, 0.003),
        (SILICON_ABSORBING, 0.93, 3.600 + 0.0015467j, 0.002),
        # Johnson and Christy 1972.
        (GOLD, 0.6168, 0.21 + 3.272j, 1e-12),
        (SILVER, 1.088, 0.04 + 7.795j, 1e-12),
        # Devore 1951, ordinary ray at the sodium line, as tabulated by him.
        (TITANIA, 0.5893, 2.613, 1e-3),
        # Luke 2015 is quoted as 1.996 at 1.55 um.
        (SILICON_NITRIDE, 1.55, 1.9963, 1e-4),
    ],
)
def test_published_indices(material, wavelength_um, published, tolerance):
    at = {"temperature_k": 299.15} if material is SILICON else {"temperature_k": getattr(material, "reference_k", 0)}
    assert abs(index(material, wavelength_um, **at) - published) < tolerance


def test_silicon_against_the_other_compilation_at_two_temperatures():
    """Li, J. Phys. Chem. Ref. Data 9, 561 (1980): 3.4757 at 293 K and 3.4865 at 350 K, 1.55 um; accuracy 2e-3."""
    assert abs(index(SILICON, 1.55, temperature_k=293.0) - 3.4757) < 2e-3
    assert abs(index(SILICON, 1.55, temperature_k=350.0) - 3.4865) < 2e-3
    rise = index(SILICON, 2.0, temperature_k=350.0) - index(SILICON, 2.0, temperature_k=293.0)
    assert abs(rise - (3.4612 - 3.4510)) < 1e-3  # dn/dT is taken at 1.55 um


@pytest.mark.parametrize("material", ALL)
def test_materials_are_passive_hashable_canonical_and_bounded(material):
    assert isinstance(material, Material)
    assert hash(material) == hash(type(material)(**asdict(material)))
    lower, upper = material.range_um
    for wavelength_um in np.linspace(lower, min(upper, 20.0), 50):
        if wavelength_um > 0:
            check_permittivity(material.permittivity(float(wavelength_um)))
    if np.isfinite(upper):
        for outside in (0.99 * lower, 1.01 * upper, np.nan):
            with pytest.raises(ValueError, match="within the material's data"):
                material.permittivity(outside)


def test_tables_from_permittivities_and_in_between():
    table = Table.of_permittivity([1.0, 2.0], [-4.0 + 0.4j, 9.0])
    assert_allclose(table.permittivity(1.0), -4.0 + 0.4j)
    middle = (np.sqrt(-4.0 + 0.4j) + 3.0) / 2
    assert_allclose(table.permittivity(1.5), middle**2)
    assert_allclose(Constant(2.0, dn_dt=1e-3).permittivity(1.0, 303.15), 2.01**2)


def test_media_become_numbers():
    assert medium("m", 4) == 4.0
    assert isinstance(medium("m", 4.0 + 0j), float)
    assert medium("m", SILICA) is SILICA
    assert isinstance(number(SILICA, 1.55), float)
    assert number(GOLD, 0.6168) == (0.21 + 3.272j) ** 2
    shape = Rectangle((0, 1), (0, 1), SILICON)
    assert shape.resolved(1.55, 299.15).permittivity == SILICON.permittivity(1.55, 299.15).real
    assert shape.resolved(1.55).resolved(2.0) == shape.resolved(1.55)


def test_what_is_refused():
    for value, message in (
        (2 - 1j, "passive"),
        (-3.0, "above 0"),
        (0, "above 0"),
        (np.nan, "finite"),
        ("Si", "number"),
    ):
        with pytest.raises(ValueError, match=message):
            medium("the permittivity", value)
    check_permittivity(-100 + 1e-3j)
    for make, message in (
        (lambda: Table((2.0, 1.0), (1.0, 1.0), (0.0, 0.0)), "ascending"),
        (lambda: Table((1.0, 2.0), (1.0,), (0.0, 0.0)), "equally many"),
        (lambda: Table((1.0, 2.0), (1.0, 1.0), (0.0, -0.1)), "passive"),
        (lambda: Sellmeier((1.0,), (), (1.0, 2.0)), "equally many"),
        (lambda: Sellmeier((1.0,), (0.1,), (2.0, 1.0)), "lower < upper"),
        (lambda: Constant(np.inf), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
