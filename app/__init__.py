"""Steelyard keeps investment portfolios on target."""

__version__ = "0.1.0"
