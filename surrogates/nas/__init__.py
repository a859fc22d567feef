"""The search for an architecture: one genotype, rungs of fidelity, one budget, many methods."""
