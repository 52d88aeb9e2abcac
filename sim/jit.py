"""Compiling this package's kernels with numba: once, into numba's cache on disk, with a report to the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

from rdahw.errors import UserError
from rdahw.files import temporary_cache

__all__ = ["compiled", "inner", "instruction", "kernel_cache", "on_compile", "popcount"]

_F = TypeVar("_F", bound=Callable[..., Any])

_config: Any = numba.config  # its names are made at run time


def kernel_cache() -> Path:
    """Numba's folder for the kernels of this package: beside it, in the user's cache, or in NUMBA_CACHE_DIR.

    If none of them can be written, a folder of temporary files, as numba would refuse to compile. Raises
    :class:`UserError` if that cannot be written either.
    """
    cache: Any = FunctionCache
    try:
        return Path(cache(kernel_cache).cache_path)
    except RuntimeError:
        _config.CACHE_DIR = str(temporary_cache("numba", "NUMBA_CACHE_DIR"))
        return Path(cache(kernel_cache).cache_path)


kernel_cache()


def compiled(*types: Any) -> Callable[[_F], _F]:
    """Compile a function of these argument types when its module is loaded; without types, on its first call.

    Kernels release Python's global lock, so that threads run them in parallel, and do not check indices.
    """
    signature = numba.void(*types) if types else None

    def compile_function(function: _F) -> _F:
        return cast(_F, numba.njit(signature, cache=True, nogil=True, error_model="numpy")(function))

    return compile_function


def inner(function: _F) -> _F:
    """Compile a function for kernels of the same file; numba's cache does not notice changes in other files."""
    return cast(_F, numba.njit(error_model="numpy")(function))


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's ``intrinsic``: a function for kernels, written as LLVM instructions.

    With NUMBA_DISABLE_JIT set, kernels run as plain Python, and calling it raises :class:`UserError`.
    """
    if not _config.DISABLE_JIT:
        return cast(Callable[..., Any], intrinsic(function))

    def refuse(*arguments: Any) -> Any:
        raise UserError("NUMBA_DISABLE_JIT is set, and this needs numba's compiler; unset it and start again")

    return refuse


@contextmanager
def on_compile(report: Callable[[str], None]) -> Iterator[None]:
    """Within the context, call ``report(name)`` when numba starts to compile a function of this package, which takes
    seconds; functions loaded from the cache are not reported."""

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            function = event.data["dispatcher"].py_func
            if function.__module__.startswith("rdahw."):  # and not numba's own helpers
                report(function.__name__)

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


@instruction
def popcount(typing_context: Any, word: Any) -> Any:
    """The number of set bits of a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate
