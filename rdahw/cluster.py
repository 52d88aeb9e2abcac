"""Work in independent pieces on a cluster, by Dask (``pip install 'rdahw[cluster]'``)."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import contextmanager
from typing import Any

from rdahw import __version__
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.jobs import ExecutorJobs, Own, Sent

try:
    import distributed
    from distributed.comm.addressing import get_address_host_port
except ImportError as error:
    raise MissingError(
        f"a cluster needs Dask's scheduler ({error}); install it with pip install 'rdahw[cluster]'"
    ) from error

__all__ = ["ClusterJobs", "connect"]

_dask: Any = distributed  # only some of its functions have types

#: Seconds for the scheduler to answer, and to have a worker.
_PATIENCE = 10
#: Where Dask logs lost connections, with tracebacks; they come as errors, too.
_LOGS = ("distributed", "distributed.client", "tornado.application", "asyncio")
#: Seconds between two questions of a worker whether the work has ended early.
_ASK = 1.0


class _Scattered(Sent):
    """What pieces share, and the name of Dask's event that is set when they are to end."""

    def __init__(self, shared: Any, name: str) -> None:
        self._given = shared, name
        self._stop: _Stop | None = None

    def __reduce__(self) -> Any:
        return _Scattered, self._given

    def begin(self) -> tuple[Any, Any]:
        shared, name = self._given
        self._stop = self._stop or _Stop(name)
        return shared, self._stop


class _Stop:
    """Dask's event of this name, asked for now and then, as the question goes to the scheduler."""

    def __init__(self, name: str) -> None:
        self._event, self._asked, self._is_set = _dask.Event(name), -math.inf, False

    def is_set(self) -> bool:
        if not self._is_set and time.monotonic() - self._asked >= _ASK:
            self._is_set, self._asked = bool(self._event.is_set()), time.monotonic()
        return self._is_set


class ClusterJobs(ExecutorJobs):
    """Runs pieces on the workers of Dask's scheduler that ``client`` is connected to. What the pieces share is
    scattered to all workers once, and what each has for itself to one; Dask runs the pieces of a worker that dies
    again."""

    shares_files = False
    _opens_anew = True
    _cancels = False  # Dask would drop the results of pieces that run

    def __init__(self, client: Any) -> None:
        super().__init__(client.get_executor(pure=False))
        self._client = client
        #: What was scattered last, and the future that stands for it.
        self._sent: tuple[Any, Any] | None = None
        self._stop: Any = None

    def _end(self) -> None:
        self._stop.set()
        self._sent = None

    @contextmanager
    def _open(self, shared: Any, pieces: int) -> Iterator[tuple[Executor, Any, Callable[[], object]]]:
        try:
            if self._sent is None or self._sent[0] is not shared:
                self._stop = _dask.Event(f"rdahw-{uuid.uuid4()}", client=self._client)
                own = isinstance(shared, Own)
                each = [_Scattered(one, self._stop.name) for one in (shared.each if own else [shared])]
                futures = self._client.scatter(each, broadcast=not own, hash=False)
                self._sent = shared, Own(futures) if own else futures[0]
            yield self._executor, self._sent[1], self._end
        except _dask.KilledWorker as error:
            raise UserError(f"workers of the cluster died again and again ({error}); {self._way_out}") from error
        except CancelledError as error:  # the last worker that had the shared data died
            self._sent = None
            raise BrokenExecutor from error
        except (OSError, RuntimeError) as error:
            if self._client.status == "running":  # it is an error of a piece
                raise
            address = self._client.scheduler.address
            raise UserError(
                f"the scheduler at {address} does not answer any more ({type(error).__name__}); look for the reason in "
                "its log, start it and its workers again, and then this command"
            ) from error


@contextmanager
def connect(address: str) -> Iterator[ClusterJobs]:
    """The workers of the scheduler at ``address``, such as ``tcp://HOST:PORT``.

    Raises :class:`UsageError` for an address of another form, :class:`UserError` if there is no scheduler, if it has no
    worker, or if a worker has another version of rdahw.
    """
    try:
        get_address_host_port(address)
    except (ValueError, NotImplementedError) as error:
        raise UsageError(
            f"the address of the cluster is {address!r} ({error}); give it as dask scheduler prints it, such as "
            "tcp://HOST:8786"
        ) from error
    for name in _LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = _dask.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(
            f"no scheduler of Dask answers at {address!r} ({error}); start one with dask scheduler, and give the "
            "address that it prints"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise UserError(
                f"the scheduler at {address!r} has no worker; start one with dask worker {address}"
            ) from None
        for worker, version in sorted(client.run(_version, on_error="return").items()):
            if version != __version__:
                raise UserError(
                    f"the worker {worker} has rdahw {version}, and this is rdahw {__version__}; install the same "
                    "version on all machines"
                )
        yield ClusterJobs(client)


def _version() -> str:
    from rdahw import __version__

    return __version__
