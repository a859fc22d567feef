"""Figures of a result, on `matplotlib.figure.Figure` objects: no window, no global state."""

from invdesign.figures.convergence import convergence_figure
from invdesign.figures.design import design_figure, fields_figure
from invdesign.figures.response import response_figure
from invdesign.figures.search import search_figure
from invdesign.figures.style import Picture, save
from invdesign.figures.surrogate import surrogate_figure

__all__ = [
    "Picture",
    "convergence_figure",
    "design_figure",
    "fields_figure",
    "response_figure",
    "save",
    "search_figure",
    "surrogate_figure",
]
