"""Posteriors of a trained network beside the deep ensemble: last layer, deep kernel, stochastic-gradient MCMC."""

from surrogates.uncertainty.deep_kernel import DeepKernel
from surrogates.uncertainty.last_layer import LastLayer
from surrogates.uncertainty.mcmc import CyclicalMCMC
from surrogates.uncertainty.posterior import BayesianSurrogate, Inference

__all__ = ["BayesianSurrogate", "CyclicalMCMC", "DeepKernel", "Inference", "LastLayer"]
