"""How commands answer: JSON for programs, tables for people, and how far they are, on a terminal."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from streams.replay.errors import Stopped
from streams.replay.plan import Plan, Seam
from streams.replay.processes import Tell

WIDE = 200
"""Columns, where nobody looks: what is piped is not broken into lines."""


def say(line: str) -> None:
    print(line, flush=True)


def complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def tell_seams(topic: str, seams: Iterable[Seam]) -> None:
    """On standard error, so that it is in no program's way."""
    for seam in seams:
        last = seam.offset - 1
        exact = f"both have {last}, and it is the same" if seam.is_compared else "which begins there"
        complain(
            f"{topic}-{seam.partition}: files to offset {last}, from {seam.offset} on the topic, {exact}"
        )


def tell_stored(plan: Plan) -> None:
    """On standard error, too."""
    if plan.stored is not None:
        longer = ", which begins before what was asked for" if plan.stored.is_longer else ""
        complain(f"{plan.topic}: goes on after {plan.stored.records:,} records in that database{longer}")


def say_json(answer: object) -> None:
    """One object, over several lines."""
    say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def say_json_lines(answers: Iterable[object]) -> None:
    for answer in answers:
        say(msgspec.json.encode(answer).decode())


def say_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Numbers are set to the right."""
    rows = [[("" if cell is None else cell) for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        is_number = bool(rows) and all(
            isinstance(row[place], int | float) or row[place] == "" for row in rows
        )
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(table)


@contextmanager
def progress(what: str, records: int) -> Iterator[Tell]:
    """A bar on standard error, where that is a terminal. An interrupt is heard of at the next batch."""
    interrupts: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: interrupts.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    def tell(read: int) -> None:
        show(read)
        if interrupts:
            raise Stopped

    try:
        with _shown_progress(what, records) as show:
            yield tell
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown_progress(what: str, records: int) -> Iterator[Tell]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=records)
        yield lambda read: bar.update(task, completed=read)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def _shown(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
