"""Benchmarks: medians, and ratios of two ways in one run. Never part of the tests."""
