"""Builds Meep simulations of a described device. Runs in the interpreter that has Meep; knows no other package of ours.

A description is plain JSON, lengths in micrometres; Meep's unit of length is 1 um and a frequency is 1 / wavelength:

    dimensions       2 or 3
    polarization     "Ez" or "Hz": parity odd or even in z
    resolution       cells per um
    size             of the whole cell, PML included, 2 or 3 numbers
    pml              thickness
    background       permittivity
    shapes           later ones cover earlier ones: {"kind": "block", "x": [a, b], "y": [a, b]}, {"kind": "circle",
                     "centre", "radius"} or {"kind": "polygon", "vertices"}, each with "permittivity", a number or
                     [real, imaginary]
    thickness        of all shapes and the design in z, 3 dimensions only
    design           {"size": 2 or 3 numbers, "values": [nx, ny], "profile": shares of the density over z,
                     "permittivity": [low, high]}, a ring of surroundings included
    ports            {"axis": 0 or 1, "outward": 1 or -1, "plane", "source_plane": positions along the axis, "centre",
                     "span": across, "height": in z, "mode", "distance": from the design to the plane, "strips": shapes
                     of the same guide running straight through the whole cell}
    frequencies      ascending
    centre, width    frequency and width of the source's pulse
    run_time         after the sources end
"""

from __future__ import annotations

import math

import meep as mp
import meep.adjoint as mpa
import numpy as np

ADJOINT_PULSE = 0.2  # width of its spectrum, relative to its centre: that of the forward pulse, or less
HALF_LOBE = 0.3  # of its peak, the field that begins a mode's first lobe
SAMPLES = 400  # points across a port


def medium(permittivity, centre):
    """A Meep medium of a constant permittivity; absorption as a conductivity, right at the frequency ``centre``."""
    real, imaginary = permittivity if isinstance(permittivity, (list, tuple)) else (permittivity, 0.0)
    if not imaginary:
        return mp.Medium(epsilon=real)
    return mp.Medium(epsilon=real, D_conductivity=2 * math.pi * centre * imaginary / real)


def shape(described, thickness, centre):
    """A geometric object of Meep."""
    material = medium(described["permittivity"], centre)
    height = mp.inf if thickness is None else thickness
    if described["kind"] == "block":
        (x0, x1), (y0, y1) = described["x"], described["y"]
        return mp.Block(
            size=mp.Vector3(x1 - x0, y1 - y0, height),
            center=mp.Vector3((x0 + x1) / 2, (y0 + y1) / 2),
            material=material,
        )
    if described["kind"] == "circle":
        return mp.Cylinder(
            radius=described["radius"], height=height, center=mp.Vector3(*described["centre"]), material=material
        )
    low = 0.0 if thickness is None else -thickness / 2
    vertices = [mp.Vector3(x, y, low) for x, y in described["vertices"]]
    return mp.Prism(vertices=vertices, height=height, axis=mp.Vector3(z=1), material=material)


class Coefficient(mpa.EigenmodeCoefficient):
    """Meep's, with an adjoint pulse no longer than the forward run.

    Its strength is measured over the time of the forward run; a pulse cut off there spoils gradients.
    """

    def _create_time_profile(self, fwidth_frac=ADJOINT_PULSE, adj_cutoff=5):
        return super()._create_time_profile(fwidth_frac, adj_cutoff)


class Model:
    """One device: its simulation, ports, and what does not depend on the design."""

    def __init__(self, described):
        self.described = described
        self.centre = described["centre"]
        self.frequencies = np.asarray(described["frequencies"], dtype=float)
        self.parity = mp.ODD_Z if described["polarization"] == "Ez" else mp.EVEN_Z
        self.component = mp.Ez if described["polarization"] == "Ez" else mp.Hz
        self.thickness = described.get("thickness")
        low, high = (medium(p, self.centre) for p in described["design"]["permittivity"])
        # Shares of the density over z, 1 in two dimensions.
        self.profile = np.asarray(described["design"]["profile"], dtype=float)
        values = (*described["design"]["values"], len(self.profile))
        self.grid = mp.MaterialGrid(mp.Vector3(*values), low, high, weights=np.full(values, 0.5), do_averaging=False)
        size = mp.Vector3(*described["design"]["size"])
        self.region = mpa.DesignRegion(self.grid, volume=mp.Volume(center=mp.Vector3(), size=size))
        self.block = mp.Block(
            size=mp.Vector3(size.x, size.y, size.z or mp.inf), material=self.grid, center=mp.Vector3()
        )
        self.calibrations = {}

    def draw(self, density):
        """Puts a density, ``nx x ny``, into the design region."""
        self.grid.update_weights(np.ascontiguousarray(density, dtype=float)[:, :, None] * self.profile)

    def drawn(self, gradient):
        """Gradient in the density from that in the region's values, ``... x frequencies``, summed over these."""
        values = (*self.described["design"]["values"], len(self.profile), len(self.frequencies))
        return np.einsum("xyzf,z->xy", np.asarray(gradient).reshape(values), self.profile)

    def simulation(self, shapes, sources, design=True):
        """A simulation of shapes, with the design on top of them or without."""
        d = self.described
        geometry = [shape(s, self.thickness, self.centre) for s in shapes] + ([self.block] if design else [])
        return mp.Simulation(
            cell_size=mp.Vector3(*d["size"]),
            resolution=d["resolution"],
            boundary_layers=[mp.PML(d["pml"])],
            geometry=geometry,
            sources=sources,
            default_material=medium(d["background"], self.centre),
            eps_averaging=True,
        )

    def section(self, port, plane):
        """The volume of a port's cross-section at a plane along its axis."""
        centre, size = [0.0, 0.0, 0.0], [0.0, 0.0, port["height"]]
        centre[port["axis"]], centre[1 - port["axis"]] = plane, port["centre"]
        size[1 - port["axis"]] = port["span"]
        return mp.Volume(center=mp.Vector3(*centre), size=mp.Vector3(*size))

    def source(self, port):
        """A pulse of a port's mode, going in."""
        volume = self.section(port, port["source_plane"])
        inwards = mp.Vector3(*(-port["outward"] * np.eye(3)[port["axis"]] * self.centre))
        return mp.EigenModeSource(
            mp.GaussianSource(self.centre, fwidth=self.described["width"]),
            center=volume.center,
            size=volume.size,
            direction=mp.NO_DIRECTION,
            eig_kpoint=inwards,
            eig_band=port["mode"] + 1,
            eig_parity=self.parity,
            eig_match_freq=True,
        )

    def monitor(self, simulation, port, outgoing=True):
        """The coefficient of a port's mode, going out or coming in."""
        return Coefficient(
            simulation,
            self.section(port, port["plane"]),
            mode=port["mode"] + 1,
            forward=(port["outward"] > 0) == outgoing,
            eig_parity=self.parity,
        )

    def run(self, simulation):
        """Steps until a fixed time after the sources: no early stop, which would spoil gradients.

        Returns:
            Change of all monitored fields in the last tenth of that time, relative.
        """
        wait = self.described["run_time"]
        last = max(0.1 * wait, 2 / self.centre)  # two periods at least: no monitor is updated at every step
        simulation.run(until_after_sources=0.9 * wait)
        before = simulation.fields.dft_norm()
        simulation.run(until=last)
        after = simulation.fields.dft_norm()
        return abs(after - before) / after if after > 0 else 0.0

    def calibrated(self, number, as_source):
        """What does not depend on the design, ``4 x frequencies``, complex, of a port.

        What its source sends in (0 where it was not asked for; one run), the phase of its outgoing mode, the
        wavenumber, and what its monitor takes for outgoing while the source alone sends: MPB's mode is not quite that
        of Meep's grid, so that a few per cent of its amplitude, falling with the square of the cell, seem to come back.
        Meep's coefficients have unit power; the phases turn them into those of the out-of-plane field in the first lobe
        across the guide. All is taken in the guide running straight through the cell.
        """
        known = self.calibrations.get(number)
        if known is None or (as_source and not known[0].all()):
            port = self.described["ports"][number]
            simulation = self.simulation(port["strips"], [self.source(port)] if as_source else [], design=False)
            sent, seeming = np.zeros((2, len(self.frequencies)))
            if as_source:
                coming, going = (self.monitor(simulation, port, outgoing) for outgoing in (False, True))
                for monitor in (coming, going):
                    monitor.register_monitors(self.frequencies)
                self.run(simulation)
                seeming = np.asarray(going())
                sent = np.asarray(coming()) * self.modes(simulation, port, -1)[0]
            else:
                simulation.init_sim()
            self.calibrations[number] = np.stack([sent, *self.modes(simulation, port, 1), seeming])
            simulation.reset_meep()
        return self.calibrations[number]

    def modes(self, simulation, port, way):
        """(phases, wavenumbers in 2 pi / um) at every frequency of the mode going out (1) or in (-1)."""
        found = [self.mode(simulation, port, frequency, way) for frequency in self.frequencies]
        return np.array([phase for phase, _ in found]), np.array([abs(k) for _, k in found])

    def mode(self, simulation, port, frequency, way):
        """(phase of the mode's field in its first lobe, wavenumber in 2 pi / um), going out (1) or in (-1).

        A coefficient times this phase is the field's. Of modes that run backwards along their axis Meep's coefficients
        have the other sign.
        """
        volume = self.section(port, port["plane"])
        k = mp.Vector3(*(way * port["outward"] * np.eye(3)[port["axis"]] * self.centre))
        found = simulation.get_eigenmode(
            frequency, mp.NO_DIRECTION, volume, port["mode"] + 1, k, parity=self.parity, eigensolver_tol=1e-12
        )
        point, across = [0.0, 0.0, 0.0], 1 - port["axis"]
        point[port["axis"]] = port["plane"]
        field = []
        for position in port["centre"] + port["span"] * (np.arange(SAMPLES) / (SAMPLES - 1) - 0.5):
            point[across] = position
            field.append(found.amplitude(mp.Vector3(*point), self.component))
        field = np.array(field)
        first = field[np.argmax(np.abs(field) > HALF_LOBE * np.abs(field).max())]
        return way * port["outward"] * first / abs(first), found.kdom[port["axis"]]
