"""Meep where it is installed."""

from tests.meep import meep_there

__all__ = ["meep_there"]
