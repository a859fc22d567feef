"""Networks whose output has coordinates: DeepONet and the conditional neural field, as models of responses."""

from surrogates.operators.models import DeepONet, NeuralField
from surrogates.operators.resampling import resampled

__all__ = ["DeepONet", "NeuralField", "resampled"]
