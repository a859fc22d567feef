"""One design on Meep, in a worker that is held from the forward run to the gradient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from physics.base import Array, Fields, SimulationError
from physics.devices.port_device import PortDevice
from physics.fdfd.grid import Complex, Real
from physics.meep.calibrations import calibrations
from physics.meep.description import Mesh, described, groups
from physics.meep.find import Candidate
from physics.meep.resampling import Resampling
from physics.worker import Program, Reply, Worker, borrow

SCRIPT = Path(__file__).parent / "program" / "main.py"
SETTLED = 1e-3  # relative change of all monitored fields in the last tenth of the ring-down, at most


@contextmanager
def session(device: PortDevice, mesh: Mesh, found: Candidate, time_limit_s: float) -> Iterator[Session]:
    """A worker for one device on one mesh."""
    program = Program("meep", found.python, str(SCRIPT))
    with borrow(program, key=(device.identity, mesh)) as worker:
        yield Session(device, mesh, str(found.version), worker, time_limit_s)


@dataclass(frozen=True, eq=False)
class Session:
    """Calls to one worker.

    Args:
        device: in the dimensions of the mesh.
        mesh: how finely.
        version: of Meep.
        worker: with Meep.
        time_limit_s: of a call.
    """

    device: PortDevice
    mesh: Mesh
    version: str
    worker: Worker
    time_limit_s: float

    def prepare(self) -> None:
        """Calibrates the ports for all wavelengths."""
        for wavelengths in groups(self.device):
            self._known(described(self.device, self.mesh, wavelengths))

    def simulate(self, density: Real) -> Complex:
        """Scattering parameters, ``ports x sources x wavelengths``, of a density."""
        return self._scattering("simulate", density)

    def forward(self, density: Real) -> Complex:
        """As :meth:`simulate`, with the fields kept in the worker."""
        return self._scattering("forward", density)

    def backward(self, density: Real, cotangent: Complex) -> Real:
        """Gradient in the density of the last :meth:`forward`, of Re sum(conj(cotangent) s)."""
        total = np.zeros(density.shape)
        for wavelengths in groups(self.device):
            model, values = self._given(density, wavelengths)
            seed = np.ascontiguousarray(cotangent[..., wavelengths], dtype=np.complex128)
            reply = self._call("backward", model, {"cotangent": seed}, token=_token(model, values))
            total += self.resampling.up(reply.arrays["gradient"])
        return total

    def fields(self, density: Real) -> Fields:
        """The field out of the plane, one a source, named as :meth:`PortDevice.fields` does."""
        fields: dict[int, Array] = {}
        arrays: dict[str, Array] = {}
        for wavelengths in groups(self.device):
            model, values = self._given(density, wavelengths)
            arrays = dict(self._call("fields", model, {"density": values}).arrays)
            fields |= {i: arrays["field"][:, k] for k, i in enumerate(wavelengths)}
        stacked = np.stack([fields[i] for i in range(len(fields))])  # wavelengths x sources x nx x ny
        single, name = isinstance(self.device.source, str), self.device.polarization
        names = [name] if single else [f"{name}, {source}" for source in self.device.source]
        return Fields(
            arrays["x"],
            arrays["y"],
            np.asarray(self.device.wavelength_um),
            arrays["permittivity"],
            {name: stacked[:, k] for k, name in enumerate(names)},
        )

    def _scattering(self, operation: str, density: Real) -> Complex:
        sources = len(self.device.source_numbers)
        s = np.zeros((len(self.device.ports), sources, len(self.device.wavelength_um)), dtype=np.complex128)
        for number, wavelengths in enumerate(groups(self.device)):
            model, values = self._given(density, wavelengths)
            more = {"token": _token(model, values), "first": number == 0}
            reply = self._call(operation, model, {"density": values}, **more)
            if reply.header["decay"] > SETTLED:
                raise SimulationError(
                    f"Expected fields that have settled when the run ends. Got a change of {reply.header['decay']:.2g} "
                    f"in its last tenth at transits={self.mesh.transits:g}; raise transits for so resonant a design."
                )
            s[..., wavelengths] = reply.arrays["s"]
        return s

    @cached_property
    def resampling(self) -> Resampling:
        """From pixels to what Meep is given."""
        return Resampling(self.device.design_shape, self.device.size_um, self.mesh.cell_um)

    def _given(self, density: Real, wavelengths: tuple[int, ...]) -> tuple[dict[str, Any], Real]:
        """Description and values of a design for one run."""
        values = self.resampling.down(density, self.resampling.ring(self.device, wavelengths[0]))
        return described(self.device, self.mesh, wavelengths), values

    def _known(self, model: dict[str, Any]) -> dict[str, Array]:
        return calibrations(self.worker, self.version, model, self.device.source_numbers, self.time_limit_s)

    def _call(self, operation: str, model: dict[str, Any], arrays: dict[str, Array], **more: Any) -> Reply:
        return self.worker.call(
            operation,
            self._known(model) | arrays,
            time_limit_s=self.time_limit_s,
            model=model,
            sources=self.device.source_numbers,
            **more,
        )


def _token(model: dict[str, Any], density: Real) -> str:
    """Names a design on a model."""
    digest = hashlib.blake2b(np.ascontiguousarray(density).tobytes(), digest_size=16)
    digest.update(json.dumps(model, sort_keys=True).encode())
    return digest.hexdigest()
