"""Identities: one a device, however it was written down, another for whatever changes an answer."""

import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from physics.devices import port_device as port_device_module
from physics.devices import waveguide_bend
from physics.devices.identity import canonical, content_hash
from physics.fdfd import Circle, Constant, Pml, Polygon, Rectangle, Sellmeier, Table


def small(**changes):
    options = {"design_um": 1.2, "pixel_um": 0.04, "cells_um": (0.04,)} | changes
    return waveguide_bend(options.pop("wavelength_um", (1.53, 1.57)), **options)


def with_post(shape):
    device = small()
    return replace(device, shapes=(*device.shapes, shape))


def test_identity_changes_with_the_physics():
    device = small()
    others = [
        small(wavelength_um=(1.53,)),
        small(wavelength_um=(1.57, 1.53)),
        small(core_permittivity=12.2),
        small(cladding_permittivity=2.2),
        small(cells_um=(0.03,)),
        small(pixel_um=0.02),
        small(width_um=0.48),
        small(margin_um=0.9),
        small(pml_um=0.7),
        replace(device, name="another"),
        replace(device, source="out"),
        replace(device, source=("in",)),
        replace(device, source=("in", "out")),
        replace(device, source=("out", "in")),
        replace(device, polarization="Hz"),
        replace(device, ports=(device.ports[0], replace(device.ports[1], mode=1))),
        replace(device, ports=device.ports[::-1]),
        replace(device, pml=Pml(0.6, log_reflection=-20.0)),
        replace(device, permittivity=(2.1, 12.1 + 1e-9j)),
        replace(device, permittivity=(2.1 + 1e-9j, 12.1)),
        replace(device, permittivity=(2.1, Constant(math.sqrt(12.1)))),
        replace(device, permittivity=(2.1, Constant(math.sqrt(12.1), dn_dt=1e-4))),
        replace(device, permittivity=(2.1, Table((1.5, 1.6), (3.4, 3.5), (0.0, 0.0)))),
        replace(device, permittivity=(2.1, Sellmeier((10.0,), (0.3,), (1.2, 3.0)))),
        replace(device, background=2.1 + 1e-9j),
        device.with_parameters(temperature_k=300.0),
        device.with_parameters(wavelength_shift_um=0.001),
        with_post(Circle((0.0, 0.8), 0.1, 5.0)),
        with_post(Circle((0.0, 0.8), 0.1, 5.0 + 1e-9j)),
        with_post(Rectangle((-0.1, 0.1), (0.7, 0.9), 5.0)),
        with_post(Polygon(((-0.1, 0.7), (0.1, 0.7), (0.1, 0.9), (-0.1, 0.9)), 5.0)),
    ]
    assert len({device.identity, *(other.identity for other in others)}) == len(others) + 1


def test_identity_is_that_of_the_content_alone():
    device = small()
    same = [
        small(),
        small(threads=1),
        small(design_um=np.float64(1.2), cells_um=0.04),
        pickle.loads(pickle.dumps(device)),  # noqa: S301  our own bytes
        replace(device, shapes=list(device.shapes), ports=list(device.ports), cells_um=[0.04]),
        replace(device, wavelength_um=np.array([1.53, 1.57]), permittivity=[2.1, 12.1]),
        replace(device, permittivity=(np.float64(2.1), 12.1 + 0j), background=complex(2.1)),
        replace(device, shapes=tuple(replace(s, permittivity=s.permittivity + 0j) for s in device.shapes)),
        replace(device, ports=tuple(replace(port, centre_um=-0.0, mode=0.0) for port in device.ports)),
    ]
    for other in same:
        assert other == device and hash(other) == hash(device) and other.identity == device.identity
    assert small(design_um=2).identity == small(design_um=2.0).identity
    listed = replace(device, source=["in", "out"])
    copied = pickle.loads(pickle.dumps(listed))  # noqa: S301  our own bytes
    assert listed.identity == replace(device, source=("in", "out")).identity == copied.identity


PROGRAM = """
from tests.physics.test_identity import small
print(small().identity)
"""


def test_identity_is_the_same_in_another_process():
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True
    )
    assert answer.stdout.strip() == small().identity, answer.stderr


def test_identity_changes_with_the_solver(monkeypatch):
    before = small().identity
    monkeypatch.setattr(port_device_module, "SOLVER_VERSION", "another")
    assert small().identity != before


def test_canonical_forms():
    assert canonical({"b": (1, 2.0), 3: None}) == {"b": [1.0, 2.0], "3": None}
    assert canonical(1 - 0j) == {"real": 1.0, "imag": 0.0} != canonical(1.0)
    assert math.copysign(1, canonical(-0.0)) == 1 == math.copysign(1, canonical(complex(-0.0, -0.0))["imag"])
    assert canonical(np.float64(2)) == canonical(np.int64(2)) == canonical(2) == 2.0
    pml = canonical(Pml(0.6))
    assert pml.pop("is") == "Pml" and set(pml) == set(Pml.__dataclass_fields__)
    assert content_hash("v", Pml(0.6)) != content_hash("w", Pml(0.6))
    assert content_hash("v", Pml(0.6), without=("order",)) == content_hash("v", Pml(0.6, order=4.0), without=("order",))


class Plain:
    """A material that is no dataclass."""

    range_um = (1.0, 2.0)

    def permittivity(self, wavelength_um, temperature_k=293.15):
        return 12.1 + 0j


@dataclass
class Unfrozen:
    """One that may change."""

    range_um: tuple[float, float] = (1.0, 2.0)

    def permittivity(self, wavelength_um, temperature_k=293.15):
        return 12.1 + 0j


@dataclass(frozen=True)
class Own:
    """One of the user's own, as it should be."""

    index: float = 3.4
    range_um: tuple[float, float] = (1.0, 2.0)

    def permittivity(self, wavelength_um, temperature_k=293.15):
        return complex(self.index**2)


@pytest.mark.parametrize("material", [Plain(), Unfrozen()])
def test_media_that_cannot_be_told_apart_are_refused(material):
    with pytest.raises(ValueError, match="frozen dataclass"):
        replace(small(), permittivity=(2.1, material))


def test_media_of_ones_own_are_told_apart():
    one, other = (replace(small(), permittivity=(2.1, Own(index))) for index in (3.4, 3.5))
    assert one.identity != other.identity
