"""Ready-made devices with several ways out: crossing, demultiplexer, mode converter."""

from __future__ import annotations

from collections.abc import Sequence

from physics.devices.library import BAND_UM, GLASS, SILICON, guided_device
from physics.devices.port_device import PortDevice
from physics.fdfd.dispersion import Medium
from physics.fdfd.values import real, reals, whole


def waveguide_crossing(
    wavelength_um: float | Sequence[float] = BAND_UM,
    *,
    design_um: float = 2.0,
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """Two guides that cross: "in" from the west, "through" to the east, crosstalk to "north" and "south".

    The device has all symmetries of the square; designs for both guides alike have the symmetries "rotation90" and
    "mirror_y", with which the two crosstalks are equal. Arguments as :func:`~physics.devices.waveguide_bend`.
    """
    side = real("design_um", design_um)
    return guided_device(
        "waveguide_crossing",
        {
            "in": ("west", 0.0, 0),
            "through": ("east", 0.0, 0),
            "north": ("north", 0.0, 0),
            "south": ("south", 0.0, 0),
        },
        wavelength_um,
        size_um=(side, side),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )


def demultiplexer(
    channels_um: Sequence[float] = (1.47, 1.60),
    *,
    wavelength_um: Sequence[float] | None = None,
    design_um: Sequence[float] = (2.8, 2.8),
    spacing_um: float = 1.4,
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """A demultiplexer: "in" from the west, a guide to the east for each channel, the first one lowest.

    The channels' ports are called by their wavelength as :func:`channel_name` has it, "1470nm" and "1600nm". Which
    light goes where is for the targets to say. Other arguments as :func:`~physics.devices.waveguide_bend`.

    Args:
        channels_um: vacuum wavelengths of the channels, two or more.
        wavelength_um: wavelengths to simulate; the channels if None.
        design_um: design region along x and y.
        spacing_um: from centre to centre of neighbouring guides.
    """
    channels, spacing = reals("channels_um", channels_um), real("spacing_um", spacing_um)
    if len(channels) < 2:
        raise ValueError(f"Expected two channels or more. Got channels_um={channels}.")
    width, height = reals("design_um", design_um, 2)
    places = {"in": ("west", 0.0, 0)}
    for number, channel in enumerate(channels):
        places[channel_name(channel)] = ("east", (number - (len(channels) - 1) / 2) * spacing, 0)
    if len(places) != len(channels) + 1:
        raise ValueError(f"Expected channels_um that differ by 0.1 nm or more. Got {channels}.")
    return guided_device(
        "demultiplexer",
        places,
        channels if wavelength_um is None else wavelength_um,
        size_um=(width, height),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )


def channel_name(channel_um: float) -> str:
    """What a :func:`demultiplexer` calls the port of a channel: its wavelength in nanometres to a tenth."""
    return f"{round(1000 * channel_um, 1):g}nm"


def mode_converter(
    wavelength_um: float | Sequence[float] = BAND_UM,
    *,
    mode: int = 1,
    design_um: Sequence[float] = (2.4, 2.0),
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """A mode converter: the fundamental "in" from the west, to the east a higher mode "out" beside the "fundamental".

    It is its own mirror image in y = 0, but a design with that symmetry cannot turn an even mode into an odd one.
    Other arguments as :func:`~physics.devices.waveguide_bend`.

    Args:
        mode: of the guide in the east that "out" stands for, 1 or more; the guide must carry it.
        design_um: design region along x and y.
    """
    wanted = whole("mode", mode)
    if wanted < 1:
        raise ValueError(f"Expected mode 1 or more. Got {mode}.")
    width, height = reals("design_um", design_um, 2)
    return guided_device(
        "mode_converter",
        {"in": ("west", 0.0, 0), "out": ("east", 0.0, wanted), "fundamental": ("east", 0.0, 0)},
        wavelength_um,
        size_um=(width, height),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )
