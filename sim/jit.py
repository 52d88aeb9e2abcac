"""How this package compiles its kernels with numba: once, into numba's cache on disk, and not in silence."""

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

_config: Any = numba.config  # numba makes its names when it is loaded


def kernel_cache() -> Path:
    """Where numba keeps the kernels of this package: beside it, or in the user's cache, or in NUMBA_CACHE_DIR.

    Where none of them can be written, numba would refuse to compile: then among the temporary files. Raises
    :class:`UserError` if these cannot be written either.
    """
    look: Any = FunctionCache
    try:
        return Path(look(kernel_cache).cache_path)
    except RuntimeError:
        _config.CACHE_DIR = str(temporary_cache("numba", "NUMBA_CACHE_DIR"))
        return Path(look(kernel_cache).cache_path)


kernel_cache()


def compiled(*types: Any) -> Callable[[_F], _F]:
    """Compile a function of arguments of these types when its module is loaded; without types, when it is first called.

    Kernels let go of Python's lock, so that they run side by side in threads, and trust their callers' indices.
    """
    signature = numba.void(*types) if types else None

    def compile_function(function: _F) -> _F:
        return cast(_F, numba.njit(signature, cache=True, nogil=True, error_model="numpy")(function))

    return compile_function


def inner(function: _F) -> _F:
    """Compile a function for the use of kernels in the same file, as numba's cache looks at no other file."""
    return cast(_F, numba.njit(error_model="numpy")(function))


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's ``intrinsic``: a function for kernels that is given as LLVM's instructions.

    With NUMBA_DISABLE_JIT kernels run as plain Python, and a call of it raises :class:`UserError`.
    """
    if not _config.DISABLE_JIT:
        return cast(Callable[..., Any], intrinsic(function))

    def refuse(*arguments: Any) -> Any:
        raise UserError(
            "NUMBA_DISABLE_JIT is set, and this engine needs numba's compiler; unset it, or choose --engine reference"
        )

    return refuse


@contextmanager
def on_compile(report: Callable[[str], None]) -> Iterator[None]:
    """While the context lasts, ``report(name)`` is called as numba begins to compile a function of this package.

    A function that is loaded from the cache of an earlier run is not reported. Compiling takes seconds, so a program
    should say that it does.
    """

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
    """How many bits of a word are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate
