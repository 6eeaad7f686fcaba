"""Kernels compiled for a test, and plain again after it."""

from collections.abc import Iterator

import pytest

from app.core.optimize import search
from tests.core.optimize.compiling import use_python


@pytest.fixture
def compiled() -> Iterator[None]:
    pytest.importorskip("numba")
    search.warm()
    yield
    use_python()
