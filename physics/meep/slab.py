"""The effective-index method: the planar device that stands for a layered one in two dimensions.

A guide of a layer of thickness t between claddings is replaced by one in two dimensions whose core has the square of
the layer's effective index as its permittivity (Knox and Toulios, Proc. MRI Symp. Submillimeter Waves, 497 (1970)).
Light polarised mostly in the plane (quasi-TE) has its magnetic field out of the plane, hence "Hz", and the layer's TE
mode; light polarised mostly out of the plane (quasi-TM) is "Ez", and the layer's TM mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from physics.devices.port_device import PortDevice
from physics.fdfd.dispersion import Medium, number
from physics.fdfd.modes import analytic_slab_index

__all__ = ["effective_device", "effective_permittivity"]


def effective_permittivity(
    core: float, cladding: float, thickness_um: float, wavelength_um: float, polarization: str
) -> float:
    """Square of the effective index of a symmetric layer's fundamental mode.

    Args:
        core, cladding: permittivities, core above cladding.
        thickness_um: of the layer.
        wavelength_um: in vacuum.
        polarization: "Hz" for quasi-TE, "Ez" for quasi-TM.

    Raises:
        ValueError: for another polarisation.
    """
    # Within the layer's own cross-section, the TE mode has its electric field along the layer: there it is "Ez".
    across = {"Hz": "Ez", "Ez": "Hz"}.get(polarization, polarization)
    return analytic_slab_index(thickness_um, core, cladding, wavelength_um, 0, across) ** 2


@dataclass(frozen=True)
class _Layer:
    """What replaces a medium of a layer at the middle of a device's wavelengths."""

    thickness_um: float
    wavelength_um: float
    cladding: float
    device: PortDevice

    def __call__(self, value: Medium) -> float:
        core = complex(number(value, self.wavelength_um, self.device.temperature_k))
        if core.imag:
            raise ValueError(
                f"Expected lossless media in a layered device. Got {core}; give the effective permittivity yourself, "
                "as a device without slab_um."
            )
        if core.real <= self.cladding:
            return core.real
        return effective_permittivity(
            core.real, self.cladding, self.thickness_um, self.wavelength_um, self.device.polarization
        )


def effective_device(device: PortDevice, thickness_um: float) -> PortDevice:
    """A layered device, described by its true permittivities, in two dimensions.

    Media denser than the background, which is also what lies above and below, take their effective permittivity at the
    middle of the wavelengths; the others stay.

    Args:
        device: of true permittivities.
        thickness_um: of the layer.

    Raises:
        ValueError: for absorbing media.
    """
    middle = (min(device.wavelength_um) + max(device.wavelength_um)) / 2 + device.wavelength_shift_um
    cladding = complex(number(device.background, middle, device.temperature_k)).real
    layer = _Layer(thickness_um, middle, cladding, device)
    return replace(
        device,
        permittivity=(layer(device.permittivity[0]), layer(device.permittivity[1])),
        background=layer(device.background),
        shapes=tuple(replace(shape, permittivity=layer(shape.permittivity)) for shape in device.shapes),  # type: ignore[type-var]
    )
