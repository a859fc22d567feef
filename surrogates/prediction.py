"""What a surrogate answers, and the contract of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from surrogates.calibration import Calibration
from surrogates.data import Array, Dataset
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import TrainingReport
from surrogates.memo import Memo, no_memo


def check_designs(design: Tensor | Array, design_shape: tuple[int, ...]) -> None:
    """Raises ``ValueError`` unless the designs are ``b x *design_shape``."""
    if tuple(design.shape[1:]) != design_shape:
        raise ValueError(f"Expected designs of shape b x {design_shape}. Got {tuple(design.shape)}.")


@dataclass(frozen=True, eq=False)
class Prediction:
    """A Gaussian over the whole response of ``b`` designs; everything is differentiable in the designs.

    Unlike training, it is computed with as many threads as torch is set to, backward passes included: the last bits
    depend on them. ``torch.set_num_threads(1)`` makes them the same everywhere.

    Args:
        members: ``M x b x n_outputs`` standardised predictions of the networks.
        codec: names and scales them.
        calibration: turns their disagreement into a spread.
    """

    members: Tensor
    codec: ResponseCodec
    calibration: Calibration

    @cached_property
    def mean(self) -> dict[str, Tensor]:
        """Name -> ``b x *quantity_shape``."""
        return self.codec.decode(self.members.mean(dim=0))

    @cached_property
    def std(self) -> dict[str, Tensor]:
        """Name -> ``b x *quantity_shape``, real; of a complex quantity sqrt(var Re + var Im)."""
        values = self.codec.unflatten(self._std())
        return {name: value.abs() if value.is_complex() else value for name, value in values.items()}

    def interval(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Lower and upper end of the 90 % interval; real and imaginary parts each have their own."""
        mean = self.members.mean(dim=0) * self._scale() + torch.as_tensor(self.codec.mean).to(self.members)
        reach = self.calibration.quantile * self._std()
        return self.codec.unflatten(mean - reach), self.codec.unflatten(mean + reach)

    def sample(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``n`` joint draws, name -> ``n x b x *quantity_shape``.

        Designs share the draw of the networks' weights (each draw is one smooth function of the design) and the
        residual. The covariance over the response of one design agrees with ``std``.

        Args:
            n: draws.
            generator: torch's global one if left out.
        """
        m, _, k = self.members.shape
        like = {"dtype": self.members.dtype, "device": self.members.device}
        mean = self.members.mean(dim=0)
        weights = torch.randn(n, m, generator=generator, **like)  # type: ignore[call-overload]
        noise = torch.randn(n, 1, k, generator=generator, **like)  # type: ignore[call-overload]
        deviation = torch.einsum("nm,mbk->nbk", weights, self.members - mean) / (m - 1) ** 0.5
        residual = torch.as_tensor(self.calibration.residual).to(self.members)
        values, vectors = torch.linalg.eigh(residual)
        root = vectors * values.clamp(min=0).sqrt()
        return self.codec.decode(mean + self.calibration.member_scale * deviation + noise @ root.T)

    def _scale(self) -> Tensor:
        return torch.as_tensor(self.codec.scale).to(self.members)

    def _std(self) -> Tensor:
        residual = torch.as_tensor(self.calibration.residual.diagonal().copy()).to(self.members)
        variance = self.calibration.member_scale**2 * self.members.var(dim=0) + residual
        return self._scale() * variance.sqrt()


@runtime_checkable
class Surrogate(Protocol):
    """A stand-in for a solver: learns responses, at several levels, and says how sure it is."""

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport: ...
    def predict(self, design: Tensor, level: int) -> Prediction: ...
