"""Surrogates of whole complex fields: grids, coordinate networks, iterative refinement; corrected responses."""

from surrogates.fields.correction import Corrected, corrected_objective, corrected_response
from surrogates.fields.data import FieldData
from surrogates.fields.ensemble import FieldEnsemble
from surrogates.fields.models import CoordinateField, FieldModel, GridField
from surrogates.fields.prediction import FieldPrediction, FieldScore
from surrogates.fields.refiner import Refiner
from surrogates.fields.residuals import Residual, helmholtz
from surrogates.fields.training import FieldTraining

__all__ = [
    "CoordinateField",
    "Corrected",
    "FieldData",
    "FieldEnsemble",
    "FieldModel",
    "FieldPrediction",
    "FieldScore",
    "FieldTraining",
    "GridField",
    "Refiner",
    "Residual",
    "corrected_objective",
    "corrected_response",
    "helmholtz",
]
