"""Work in independent pieces, by a :class:`concurrent.futures.Executor`: one after another, in several processes, by an
executor of one's own, or on a cluster (:mod:`rdahw.cluster`).

Where a piece runs, and which ends first, changes no result. What all pieces share, such as the data, is sent to a
worker once and not with each piece. The pieces of a worker that dies run again.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from rdahw.errors import UserError

__all__ = ["ExecutorJobs", "Jobs", "Own", "ProcessJobs", "Sent", "ThreadJobs", "cores", "start_preloading", "stopping"]

_S = TypeVar("_S")
_P = TypeVar("_P")
_R = TypeVar("_R")

#: So often a pool is made anew without the end of any piece in between.
_MOST_FAILURES = 3
#: Seconds between looks for Ctrl-C, which some systems do not deliver to a thread that waits.
_LOOK = 0.25


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Own(Generic[_S]):
    """What each piece has for itself, in their order, where they share nothing: piece n gets ``each[n]``."""

    def __init__(self, each: Sequence[_S]) -> None:
        self.each = each


def _own(shared: Any, number: int) -> Any:
    return shared.each[number] if isinstance(shared, Own) else shared


class Jobs:
    """Runs pieces in this process, one after another. Its subclasses run them elsewhere, several at once."""

    #: Whether pieces run in this process, one after another.
    is_here = True
    #: Whether workers see the files of this machine under the same names.
    shares_files = True
    #: How many pieces run at once; None: not known.
    count: int | None = 1

    def preload(self, *modules: str) -> None:
        """Load these modules where pieces will run, if that can begin now."""

    def run(
        self,
        function: Callable[[_S, _P], _R],
        pieces: Sequence[_P],
        shared: _S | Own[_S],
        *,
        done: Callable[[int, _R], object] = lambda number, result: None,
        progress: Callable[[int, int], object] = lambda done, pieces: None,
    ) -> list[_R]:
        """``function(shared, piece)`` of each piece, in the order of the pieces. ``shared`` may be :class:`Own`.

        done: called here with (number of the piece, result) when a piece has ended; it may append further pieces, if
        ``pieces`` is a list. progress: called with (pieces that
        have ended, pieces in all), now and then. The first error of a piece ends the work and is raised here. On Ctrl-C
        no further piece is started, those that run are asked to end (:func:`stopping`) and reported if they have a
        result, and KeyboardInterrupt is raised.
        """
        results = []
        for number, piece in enumerate(pieces):
            progress(number, len(pieces))
            results.append(function(_own(shared, number), piece))
            done(number, results[-1])
        return results


class ExecutorJobs(Jobs):
    """Runs pieces by any executor of the form of ``concurrent.futures``, which the caller shuts down.

    Where it pickles what it is given, ``function`` has to be a function of a module, and ``shared`` is sent with each
    piece: not every executor has a way to send it once.
    """

    is_here = False
    count: int | None = None
    #: Whether pieces that wait are cancelled when the work ends early; else they run, and find that it has ended.
    _cancels = True
    #: Whether :meth:`_open` gives a working executor after one broke.
    _opens_anew = False
    #: What may be done about workers that die.
    _way_out = "look for the reason in their log; often it is a lack of memory"

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @contextmanager
    def _open(self, shared: Any, pieces: int) -> Iterator[tuple[Executor, Any, Callable[[], object]]]:
        """The executor for so many pieces, what to submit in place of ``shared``, and a function that asks running
        pieces to end."""
        yield self._executor, shared, lambda: None

    def run(
        self,
        function: Callable[[_S, _P], _R],
        pieces: Sequence[_P],
        shared: _S | Own[_S],
        *,
        done: Callable[[int, _R], object] = lambda number, result: None,
        progress: Callable[[int, int], object] = lambda done, pieces: None,
    ) -> list[_R]:
        """As :meth:`Jobs.run`; raises :class:`UserError` if workers die again and again."""
        results: dict[int, _R] = {}

        def ended(number: int, result: _R) -> None:
            results[number] = result
            done(number, result)

        def tick() -> None:
            progress(len(results), len(pieces))

        failures = 0
        while len(results) < len(pieces):
            before = len(results)
            try:
                with self._open(shared, len(pieces) - len(results)) as (executor, sent, stop):

                    def submit(number: int, executor: Executor = executor, sent: Any = sent) -> Future[_R]:
                        return executor.submit(_call, function, _own(sent, number), pieces[number])

                    _collect(submit, pieces, results, ended, stop, tick, cancels=self._cancels)
            except BrokenExecutor as error:
                failures = failures + 1 if len(results) == before else 1
                if failures == _MOST_FAILURES or not self._opens_anew:
                    times = f"{failures} times " if self._opens_anew else ""
                    raise UserError(
                        f"{len(results)} of {len(pieces)} pieces of the work are done, and the workers died {times}"
                        f"before another was; {self._way_out}"
                    ) from error
        return [results[number] for number in range(len(pieces))]


def _collect(
    submit: Callable[[int], Future[_R]],
    pieces: Sequence[Any],
    results: Mapping[int, _R],
    ended: Callable[[int, _R], object],
    stop: Callable[[], object],
    tick: Callable[[], object],
    *,
    cancels: bool,
) -> None:
    """Submit the numbers of ``pieces`` without results, also of those that are added meanwhile, and report them as they
    end. After an exception the others are cancelled or asked to stop, and those that end with a result all the same are
    reported."""
    waiting: dict[Future[_R], int] = {}
    submitted = 0
    try:
        while True:
            for number in range(submitted, len(pieces)):
                if number not in results:
                    waiting[submit(number)] = number
            submitted = len(pieces)
            if not waiting:
                return
            over, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            # With results first: they stay, whatever the others raise.
            for future in sorted(over, key=lambda future: (future.exception() is not None, waiting[future])):
                result = future.result()
                ended(waiting.pop(future), result)
            tick()
    except BaseException:
        for future in waiting if cancels else ():
            future.cancel()
        stop()
        for future, number in waiting.items():
            if future.cancelled() or future.exception() is not None:
                continue
            if not isinstance(result := future.result(), _NotBegun):
                ended(number, result)
        raise


class ThreadJobs(ExecutorJobs):
    """Runs pieces in ``count`` threads of this process: for work that other programs do, or compiled kernels. stop:
    asks pieces that run to end."""

    def __init__(self, count: int, stop: Callable[[], object] = lambda: None) -> None:
        self.count, self._stop = count, stop

    @contextmanager
    def _open(self, shared: Any, pieces: int) -> Iterator[tuple[Executor, Any, Callable[[], object]]]:
        assert self.count is not None
        with ThreadPoolExecutor(self.count) as pool:
            yield pool, shared, self._stop


class ProcessJobs(ExecutorJobs):
    """Runs pieces in ``count`` processes of this machine.

    The processes are started anew (and not forked), as threads of this one would be lost in a copy of it; a program
    that uses it directly therefore needs Python's usual ``if __name__ == "__main__":``. After :meth:`preload` they are
    copies of one process that has these modules loaded, where the system has such (not Windows).
    """

    _opens_anew = True
    _way_out = "use fewer with --jobs, as often they lack memory"

    def __init__(self, count: int) -> None:
        self.count = count
        self._context: Any = _Context()

    def preload(self, *modules: str) -> None:
        """As :func:`start_preloading`; all processes are then copies of that one."""
        if start_preloading(*modules):
            self._context = _CopyingContext()

    @contextmanager
    def _open(self, shared: Any, pieces: int) -> Iterator[tuple[Executor, Any, Callable[[], object]]]:
        assert self.count is not None
        context = self._context
        stop = context.Event()
        with ProcessPoolExecutor(self.count, context, _begin, (shared, stop)) as pool:
            held = Own([_Held(n) for n in range(len(shared.each))]) if isinstance(shared, Own) else _Held()
            yield pool, held, stop.set


def start_preloading(*modules: str) -> bool:
    """Start the process that those of :class:`ProcessJobs` are copies of, if it does not run yet; it loads the modules
    while this one goes on. False where the system has no such copies (Windows)."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return False
    from multiprocessing import forkserver, resource_tracker

    forkserver.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # else the other starts it, which lets interrupts in again
    with _without_interrupts():  # as its copies are
        forkserver.ensure_running()
    return True


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that start meanwhile get no Ctrl-C, from their first moment on: a terminal sends it to all processes at
    once, and the first one decides. Where there is no mask of signals (Windows), :func:`_begin` alone ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with _without_interrupts():
            super().start()


class _Context(multiprocessing.context.SpawnContext):
    Process = _Process


if "forkserver" in multiprocessing.get_all_start_methods():

    class _Copy(multiprocessing.context.ForkServerProcess):
        def start(self) -> None:
            with _without_interrupts():  # starts the process to copy anew if it has died
                super().start()

    class _CopyingContext(multiprocessing.context.ForkServerContext):
        Process = _Copy


class Sent:
    """Stands for what pieces share, on its way to a worker."""

    def begin(self) -> tuple[Any, Any]:
        """On the worker: what pieces share, and an event that is set when they are to end."""
        raise NotImplementedError


class _Held(Sent):
    """Stands for what a worker of :class:`ProcessJobs` was sent when it started, or for its part ``number``."""

    def __init__(self, number: int = 0) -> None:
        self._number = number

    def begin(self) -> tuple[Any, Any]:
        return _own(_held, self._number), _stop


class _NotBegun:
    """The result of a piece that found the work ended."""


_held: Any = None
_stop: Any = None
#: The event of the piece that this thread runs.
_piece = threading.local()


def _begin(shared: Any, stop: Any) -> None:
    """What a process does first."""
    global _held, _stop
    _held, _stop = shared, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, if only by kill -9: nobody would stop it else."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(function: Callable[[Any, _P], _R], sent: Any, piece: _P) -> _R:
    shared, _piece.stop = sent.begin() if isinstance(sent, Sent) else (sent, None)
    try:
        return cast(_R, _NotBegun()) if stopping() else function(shared, piece)
    finally:
        _piece.stop = None


def stopping() -> bool:
    """For pieces: whether to end early, since the whole work was interrupted or has failed."""
    stop = getattr(_piece, "stop", None)
    return stop is not None and bool(stop.is_set())
