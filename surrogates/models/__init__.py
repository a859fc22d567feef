"""Networks that serve several levels, or coordinates, at once, and the ensemble of any of them."""

from surrogates.models.ensemble import ModelEnsemble
from surrogates.models.setting import Model, Setting

__all__ = ["Model", "ModelEnsemble", "Setting"]
