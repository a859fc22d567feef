"""Forward and adjoint runs of a model, sharing the forward run."""

from __future__ import annotations

import meep as mp
import meep.adjoint as mpa
import numpy as np

DIGITS = 12  # of scattering parameters; the last bits depend on where in memory the fields lie


class Solution:
    """A design's scattering parameters, one forward run a source.

    ``s`` is ``ports x sources x frequencies``, phases referred to the edges of the design region; ``decay`` how much
    the fields still changed in the end. With ``keep`` the fields stay, for one gradient.
    """

    def __init__(self, model, density, sources, keep):
        runs = []
        self.decay, answers = 0.0, []
        for source in sources:
            run = Run(model, density, source, keep)
            answers.append(run.s)
            self.decay = max(self.decay, run.decay)
            if keep:
                runs.append(run)
        self.runs, self.s = runs, np.stack(answers, axis=1)

    def gradient(self, cotangent):
        """Gradient in the density of Re sum(conj(cotangent) s); uses the kept fields up."""
        return sum(run.gradient(cotangent[:, k]) for k, run in enumerate(self.runs))


class Run:
    """One run from one source."""

    def __init__(self, model, density, source, keep):
        self.model = model
        ports = model.described["ports"]
        model.draw(density)
        edge = delays(model)
        sent = model.calibrated(source, True)[0] / edge[source]
        self.factors = [model.calibrated(i, False)[1] * edge[i] / sent for i in range(len(ports))]
        self.simulation = model.simulation(model.described["shapes"], [model.source(ports[source])])
        self.monitors = [model.monitor(self.simulation, port) for port in ports]
        for monitor in self.monitors:
            monitor.register_monitors(model.frequencies)
        self.fields = self.watch() if keep else []
        self.decay = model.run(self.simulation)
        self.s = np.array([factor * np.asarray(monitor()) for factor, monitor in zip(self.factors, self.monitors)])
        self.s[source] -= self.factors[source] * model.calibrated(source, True)[3]
        self.s = self.s.round(DIGITS)
        if not keep:
            self.simulation.reset_meep()

    def watch(self):
        """Monitors of the fields in the design region."""
        frequencies = list(self.model.frequencies)
        return mpa.utils.install_design_region_monitors(self.simulation, [self.model.region], frequencies)[0]

    def gradient(self, cotangent):
        """Of Re sum(conj(cotangent) s), ``ports x frequencies``, by one adjoint run from all ports."""
        model, simulation = self.model, self.simulation
        sources = []
        for factor, monitor, seed in zip(self.factors, self.monitors, cotangent):
            if np.any(seed):
                # autograd's convention is the conjugate of torch's.
                sources += monitor.place_adjoint_source(factor * np.conj(seed))
        if not sources:
            return np.zeros(model.described["design"]["values"])
        simulation.restart_fields()
        simulation.clear_dft_monitors()
        simulation.change_sources(sources)
        adjoint = self.watch()
        simulation._evaluate_dft_objects()
        model.run(simulation)
        gradient = model.region.get_gradient(
            simulation, adjoint, self.fields, list(model.frequencies), mpa.utils.FD_DEFAULT
        )
        simulation.reset_meep()
        return model.drawn(gradient)


def delays(model):
    """exp(-i k distance) of each port and frequency: from its plane back to the edge of the design region."""
    return [
        np.exp(-2j * np.pi * np.real(model.calibrated(i, False)[2]) * port["distance"])
        for i, port in enumerate(model.described["ports"])
    ]


def fields(model, density, sources):
    """The out-of-plane field in the cell without its PML, at z = 0, one a source, for a source of unit power.

    Returns:
        "x", "y", "permittivity" (``nx x ny``) and "field" (``sources x frequencies x nx x ny``). Power counts half of
        Re(E* x H), and the phase is 0 at the edge of the design region.
    """
    described = model.described
    interior = [length - 2 * described["pml"] for length in described["size"][:2]]
    plane = mp.Volume(center=mp.Vector3(), size=mp.Vector3(*interior))
    model.draw(density)
    found = []
    for source in sources:
        port = described["ports"][source]
        unit = np.sqrt(2) * delays(model)[source] / model.calibrated(source, True)[0]
        simulation = model.simulation(described["shapes"], [model.source(port)])
        monitor = simulation.add_dft_fields([model.component], list(model.frequencies), where=plane)
        model.run(simulation)
        arrays = [simulation.get_dft_array(monitor, model.component, i) for i in range(len(model.frequencies))]
        found.append(np.array(arrays) * unit[:, None, None])
        x, y, _, _ = simulation.get_array_metadata(dft_cell=monitor)
        permittivity = simulation.get_array(vol=plane, component=mp.Dielectric)
        simulation.reset_meep()
    return {"x": x, "y": y, "permittivity": permittivity, "field": np.array(found)}
