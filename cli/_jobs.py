"""The options --jobs and --cluster of commands whose work falls into independent pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from rdahw.cli._output import Output
from rdahw.cli._params import count_option
from rdahw.errors import UsageError
from rdahw.jobs import Jobs, ProcessJobs

__all__ = ["QuietOutput", "cluster_option", "jobs_option", "open_jobs"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def jobs_option(pieces: str, usual: str) -> Callable[[_Command], _Command]:
    """The option --jobs. pieces: what runs at once. usual: the default."""
    return count_option("--jobs", help=f"{pieces}, N at once  [default: {usual}]")


def cluster_option(pieces: str) -> Callable[[_Command], _Command]:
    """The option --cluster. pieces: what runs there."""
    return click.option(
        "--cluster",
        metavar="ADDRESS",
        help=f"{pieces}, on the workers of the Dask scheduler at this address, such as tcp://HOST:8786 "
        "(pip install 'rdahw[cluster]')",
    )


@contextmanager
def open_jobs(jobs: int | None, cluster: str | None, workers: Callable[[int], Jobs] = ProcessJobs) -> Iterator[Jobs]:
    """What --jobs and --cluster ask for: this process, several ``workers``, or a cluster. Raises :class:`UsageError`
    for both options."""
    if cluster is None:
        yield Jobs() if jobs in (None, 1) else workers(jobs)
        return
    if jobs is not None:
        raise UsageError(
            f"--jobs {jobs} and --cluster {cluster} were both given; leave --jobs out, as the cluster decides how much "
            "runs at once"
        )
    from rdahw.cluster import connect

    with connect(cluster) as found:
        yield found


class QuietOutput(Output):
    """The output of a piece in another process: it keeps the log for the process that prints it."""

    def __init__(self, verbosity: int) -> None:
        super().__init__({}, as_json=True, verbosity=verbosity, shows_progress=False)
        self.lines: list[str] = []

    def _log(self, text: str) -> None:
        self.lines.append(text)
