"""Several levels of fidelity: composite networks, gray boxes around a coarse solver, level embedding, co-kriging."""

from surrogates.fidelity.cokriging import CoKriging
from surrogates.fidelity.composite import Composite
from surrogates.fidelity.embedding import LevelEmbedding
from surrogates.fidelity.gray_box import CoarseInput, Discrepancy
from surrogates.fidelity.solver import Solver, solver_from_arrays

__all__ = ["CoKriging", "CoarseInput", "Composite", "Discrepancy", "LevelEmbedding", "Solver", "solver_from_arrays"]
