"""What every command prints, and where: results to stdout, log and progress to stderr, with --json one object only."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.wording import percent

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.progress import Progress

    from rdahw.hdl.toolchain import Step

__all__ = ["Bar", "Output", "complete", "in_line", "output_options", "percent", "plain"]

#: How many seconds an outside tool may run before its progress is logged again.
_SILENCE = 5.0

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Control characters except tab and line feed, as Python would escape them.
_CONTROL = {c: f"\\x{c:02x}" for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\t\n"}


def plain(text: str) -> str:
    """``text`` with control characters escaped: names come from files, and a terminal would interpret them."""
    return text.translate(_CONTROL)


def in_line(text: str) -> str:
    """As :func:`plain`, tabs and line feeds too, for text within a line."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


class Output:
    """The stdout and stderr of one command, as --json, -v and -q ask for."""

    def __init__(self, result: dict[str, Any], *, as_json: bool, verbosity: int, shows_progress: bool = True) -> None:
        self._result, self._shows_progress = result, shows_progress
        self.as_json = as_json
        self.verbosity = verbosity
        self._bars: list[Bar] = []
        self._once: set[str] = set()
        self._logged_steps: dict[str, float] = {}

    def log(self, message: str) -> None:
        """A line of the log."""
        if self.verbosity >= 0:
            self._log(plain(message))

    def log_once(self, message: str) -> None:
        """A line of the log, unless it was logged before."""
        if message not in self._once:
            self._once.add(message)
            self.log(message)

    def detail(self, message: str) -> None:
        """A line of the log with -v only."""
        if self.verbosity > 0:
            self._log(plain(message))

    def _log(self, text: str) -> None:
        if not any(bar.print_above(text) for bar in self._bars):
            click.echo(text, err=True)

    def line(self, text: str = "") -> None:
        """A line of the result for people."""
        if not self.as_json:
            click.echo(plain(text))

    def json(self, value: Mapping[str, Any]) -> None:
        """Add to the result for scripts: with --json it is printed as one object when the command ends or fails."""
        self._result.update(value)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table of the result for people; numbers are right-aligned."""
        if self.as_json:
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        lines = [list(row) for row in rows]
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for k, name in enumerate(columns):
            numeric = bool(lines) and all(isinstance(row[k], int | float) for row in lines)
            table.add_column(in_line(name), justify="right" if numeric else "left", overflow="fold")
        for row in lines:
            table.add_row(*("–" if cell is None else in_line(str(cell)) for cell in row))
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 200  # a script reads it: do not wrap
        console.print(table)

    def step(self, step: Step) -> None:
        """Log what an outside tool does: a line when a tool first starts, and then one every few seconds."""
        now = time.monotonic()
        if now - self._logged_steps.get(step.tool, -math.inf) >= _SILENCE:
            self._logged_steps[step.tool] = now
            self.log(f"{step.tool}: {step.what} ({step.seconds:.0f} s)")

    @contextlib.contextmanager
    def progress(self, what: str, unit: str = "", *, rate: bool = False) -> Iterator[Bar]:
        """A bar on stderr for long work, with ``rate`` also the work per second; see :class:`Bar`."""
        shown = self._shows_progress and self.verbosity >= 0 and Bar.can_be_shown() and not self._bars  # one at a time
        bar = Bar(what, unit, shown=shown, rate=rate)
        self._bars.append(bar)
        try:
            yield bar
        finally:
            self._bars.remove(bar)
            bar.close()


class Bar:
    """A progress bar that appears after half a second of work and is drawn ten times a second."""

    @staticmethod
    def can_be_shown() -> bool:
        """Whether stderr is a terminal; a process may have none."""
        return sys.stderr is not None and sys.stderr.isatty()

    def __init__(self, what: str, unit: str, *, shown: bool, rate: bool = False) -> None:
        self._what = what
        self._unit = unit
        self._shown = shown
        self._rate = rate
        self._next = time.monotonic() + 0.5
        self._bar: Progress | None = None
        self._task: Any = None
        self._seen = 0.0, 0

    def __call__(self, done: int, total: int | None, what: str | None = None) -> None:
        """Report that ``done`` of ``total`` (None: unknown) is done; ``what`` replaces the text before the bar."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + 0.1
        if self._bar is None:
            self._start(done, total)
            self._seen = now, done
        assert self._bar is not None
        since, before = self._seen
        rate = f"{(done - before) / (now - since):,.0f}" if now > since else "–"
        self._bar.update(self._task, completed=done, total=total, rate=rate, description=what or self._what)

    def print_above(self, text: str) -> bool:
        """Print a line above the bar; False if no bar is shown."""
        if self._bar is None:
            return False
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        return True

    def _start(self, done: int, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(self._unit + (", {task.fields[rate]}/s" if self._rate else "")),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._what, completed=done, total=total, rate="–")
        self._bar.start()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def output_options(function: _Command) -> _Command:
    """Give a command --json, -v and -q, and an :class:`Output` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="print one JSON object and nothing else on stdout")
    @click.option("-v", "--verbose", is_flag=True, help="log more")
    @click.option("-q", "--quiet", is_flag=True, help="log nothing but errors")
    @functools.wraps(function)
    def with_output(as_json: bool, verbose: bool, quiet: bool, **arguments: Any) -> Any:
        result = click.get_current_context().ensure_object(dict)
        return function(Output(result, as_json=as_json, verbosity=int(verbose) - int(quiet)), **arguments)

    return with_output  # type: ignore[return-value]


def complete(module: str, names: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Shell completion: the names in ``names`` of ``module`` (a list, or a function that returns one), else files."""

    def matching(ctx: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        found = getattr(importlib.import_module(module), names)
        known = [name for name in (found() if callable(found) else found) if name.startswith(word)]
        return [CompletionItem(name) for name in known] or [CompletionItem(word, type="file")]

    return matching
