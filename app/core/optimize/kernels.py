"""The kernels of the optimiser: one source, run by Python or compiled by numba, with the same answer to the last bit.

A kernel is written in numba's subset and reads and writes flat buffers by index only: plain lists when Python runs it,
numpy arrays when it is compiled. It adds up in explicit loops, calls kernels of other modules through their module, and
makes buffers only with `floats` and `ints`. Buffers that belong together are a record: a named tuple for Python, for
numba a structure handed on by reference (a tuple of a hundred arrays takes minutes to compile). `use_numba` puts the
compiled functions and structures in the place of the plain ones; a process that never calls it never imports numba.
Only kernels make records or read them when they are compiled. Machine code is kept in a folder named by the digest of
all sources, because numba itself does not notice that a function which a kernel calls has changed.
"""

import hashlib
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

Floats = list[float]
Ints = list[int]
Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)

_PLAIN: Final[list[Any]] = []
_RECORDS: Final[list[Any]] = []
_COMPILED: Final[dict[Any, Any]] = {}
_ACTIVE: Final[list[bool]] = [False]


def kernel(function: Function) -> Function:
    """Register a function as a kernel; it stays what it is until `use_numba`."""
    _PLAIN.append(function)
    return function


def record(plain: Class) -> Class:
    """Register a named tuple of buffers and records as something that kernels hand on by reference."""
    _RECORDS.append(plain)
    return plain


@kernel
def floats(count: int) -> Floats:
    """Return a buffer of `count` zeros; inside kernels and outside."""
    return [0.0] * count


@kernel
def ints(count: int) -> Ints:
    """Return a buffer of `count` zeros; inside kernels and outside."""
    return [0] * count


@kernel
def order(keys: Floats, count: int, out: Ints) -> None:
    """Write into `out` the places of the first `count` keys, smallest first, equal ones in the order they have."""
    out[:count] = sorted(range(count), key=keys.__getitem__)


def _compiled_floats(count: int) -> Any:
    return np.zeros(count, np.float64)


def _compiled_ints(count: int) -> Any:
    return np.zeros(count, np.int64)


def _compiled_order(keys: Any, count: int, out: Any) -> None:
    found = np.argsort(keys[:count], kind="mergesort")  # the stable one
    for place in range(count):
        out[place] = found[place]


# What Python and numba each do in their own way; the answers are the same, a stable order being unique.
_PRIMITIVES: Final = {floats: _compiled_floats, ints: _compiled_ints, order: _compiled_order}


def active() -> bool:
    """Say whether compiled kernels are in place."""
    return _ACTIVE[0]


def buffer(values: Sequence[float]) -> Floats:
    """Return a copy of `values` as what kernels work on now."""
    return np.array(values, np.float64) if active() else list(values)  # type: ignore[return-value]


def whole(values: Sequence[int]) -> Ints:
    """Return a copy of whole numbers as what kernels work on now."""
    return np.array(values, np.int64) if active() else list(values)  # type: ignore[return-value]


def use_numba() -> bool:
    """Put compiled kernels in place, False where numba is missing. Import every module with kernels before."""
    try:
        import numba
    except ImportError:
        return False
    if not _COMPILED:
        _keep_code_by_digest(numba.config)
        for plain in _RECORDS:
            _COMPILED[plain] = _structure(plain)
        for function in _PLAIN:
            _COMPILED[function] = _compile(numba, function)
    _exchange(_COMPILED)
    _ACTIVE[0] = True
    return True


def _exchange(others: dict[Any, Any]) -> None:
    """Replace kernels and records by others wherever a module with kernels names them."""
    for names in {id(function.__globals__): function.__globals__ for function in _PLAIN}.values():
        for name, value in list(names.items()):
            if isinstance(value, Hashable) and value in others:
                names[name] = others[value]


def _structure(plain: Any) -> Any:
    """Return a class that numba makes as a structure with the fields of a named tuple."""
    from numba.core import types
    from numba.experimental import structref

    tools: Any = structref
    names = {"__module__": plain.__module__, "__qualname__": f"{plain.__name__}Type"}
    kind = tools.register(type(f"{plain.__name__}Type", (types.StructRef,), names))
    # Types are found by name when code is loaded that was compiled before.
    vars(inspect.getmodule(plain))[kind.__name__] = kind
    made = type(plain.__name__, (tools.StructRefProxy,), {"__module__": plain.__module__})
    tools.define_proxy(made, kind, list(plain._fields))
    return made


def _keep_code_by_digest(config: Any) -> None:
    """Name the folder of machine code after the sources, below NUMBA_CACHE_DIR or beside them."""
    sources = sorted({inspect.getsourcefile(function) or "" for function in _PLAIN})
    texts = sorted({inspect.getsource(inspect.getmodule(function)) for function in _PLAIN})  # type: ignore[arg-type]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    base = config.CACHE_DIR or f"{sources[0].rpartition('/')[0]}/__pycache__"
    config.CACHE_DIR = f"{base}/kernels-{digest}"


def _compile(numba: Any, function: Any) -> Any:
    """Return the compiled function, kept on disk where our folder can be written, else for this process only."""
    plain = _PRIMITIVES.get(function, function)
    try:
        dispatcher = numba.njit(cache=True, no_cfunc_wrapper=True)(plain)
        if not str(dispatcher.stats.cache_path).startswith(numba.config.CACHE_DIR):
            dispatcher = numba.njit(no_cfunc_wrapper=True)(plain)
    except RuntimeError:  # no folder at all can be written
        dispatcher = numba.njit(no_cfunc_wrapper=True)(plain)
    template = dispatcher.get_call_template

    def with_plain_types(given: Any, named: Any) -> Any:
        # A constant has a type of its own for numba, which would compile the function once more for each.
        return template(
            [numba.types.unliteral(one) for one in given], {k: numba.types.unliteral(v) for k, v in named.items()}
        )

    dispatcher.get_call_template = with_plain_types
    return dispatcher
