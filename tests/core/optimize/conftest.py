"""Kernels compiled for a test, and plain again after it."""

from collections.abc import Iterator

import pytest

from tests.core.optimize.compiling import use_compiled, use_python


@pytest.fixture
def compiled() -> Iterator[None]:
    pytest.importorskip("numba")
    use_compiled()
    yield
    use_python()
