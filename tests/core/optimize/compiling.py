"""The way back from compiled kernels, which only tests go: to compare both in one process."""

from app.core.optimize import kernels


def use_python() -> None:
    """Put the plain functions back."""
    kernels._exchange({compiled: plain for plain, compiled in kernels._COMPILED.items()})
    kernels._ACTIVE[0] = False
