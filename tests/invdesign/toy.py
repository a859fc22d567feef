"""A tiny analytic simulator with two fidelities, gradients and a refinement; it can be told to fail."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace

import numpy as np

from physics.base import Array, Cotangents, Fidelity, Quantity, Response, check_design, check_level, resolve_cotangents


@dataclass(frozen=True)
class Toy:
    """s = sum_k w_k rho through a saturating curve, at two wavelengths; level 0 has a bias."""

    design_shape: tuple[int, int] = (12, 12)
    bias: float = 0.2
    seed: int = 0
    fault: str = ""
    gain: float = 1.0
    levels: int = 2

    @property
    def identity(self) -> str:
        return hashlib.sha256(
            f"toy {self.design_shape} {self.bias} {self.seed} {self.gain} {self.levels}".encode()
        ).hexdigest()

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        axes = {"port": ("in", "out"), "wavelength_um": (1.5, 1.6)}
        quantities = (
            Quantity("s", axes, "1", complex),
            Quantity("transmission", {"port": ("out",), "wavelength_um": (1.5, 1.6)}),
        )
        return tuple(Fidelity(f"toy-{i}", 4.0**i, quantities) for i in range(self.levels))

    @property
    def parameters(self) -> dict[str, tuple[float, float]]:
        return {"gain": (0.5, 2.0)}

    def with_parameters(self, **values: float) -> Toy:
        return replace(self, **values)

    def refined(self) -> Toy:
        return replace(self, bias=self.bias / 100, levels=1)

    def _linear(self, design: Array, level: int) -> tuple[Array, Array]:
        rng = np.random.default_rng(self.seed)
        nx, ny = self.design_shape
        x, y = np.meshgrid(np.linspace(-1, 1, nx), np.linspace(-1, 1, ny), indexing="ij")
        rows = []
        for k in range(4):
            a, b, c = rng.uniform(1, 3, 3)
            rows.append(np.cos(a * x + c) * np.cos(b * y + c) + 1j * np.sin(a * x * y + k))
        shift = self.bias * (self.levels - 1 - level)
        weights = np.array([(r * (1 + shift * np.cos(2 * x * y))).ravel() for r in rows]) * self.gain / (nx * ny)
        return weights, weights @ (2 * design.ravel() - 1)

    def _faults(self, design: Array) -> None:
        if "raise" in self.fault and design.mean() > 0.5:
            raise RuntimeError("the solver did not converge")
        if "die" in self.fault and design.mean() > 0.5:
            os._exit(3)
        if "hang" in self.fault and design.mean() > 0.5:
            time.sleep(600)

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        check_level(level, self.fidelities)
        rho = check_design(design, self.design_shape)
        self._faults(rho)
        z = self._linear(rho, level)[1].reshape(2, 2)
        s = z / np.sqrt(1 + np.abs(z) ** 2) if "nan" not in self.fault else z * np.nan
        return {"s": s, "transmission": np.abs(s[1:]) ** 2}

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        response = self.simulate(design, level, replicate)
        given = resolve_cotangents(cotangents, response)
        weights, z = self._linear(np.asarray(design), level)
        s = response["s"].ravel()
        v = given.get("s", np.zeros((2, 2), complex)).ravel().astype(complex)
        if "transmission" in given:
            v = v + np.r_[0, 0, 2 * given["transmission"].ravel() * s[2:]]
        size = np.sqrt(1 + np.abs(z) ** 2)
        dz = 2 * weights
        ds = dz / size[:, None] - (z / size**3)[:, None] * np.real(np.conj(z)[:, None] * dz)
        return response, np.real(np.conj(v) @ ds).reshape(self.design_shape)
