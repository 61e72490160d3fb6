"""A replay in several processes, each with partitions of its own, read one after another.

They share nothing but counters and a wish to stop. What each comes to is sent back whole, so it is small, or is written
somewhere by then.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from ctypes import c_bool, c_int64
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

import uvloop

from infra.garbage import OF_A_REPLAY, collect_rarely, let_children_keep_memory
from streams.replay.errors import ProcessLost, Stopped
from streams.replay.plan import Part

R = TypeVar("R")
Tell = Callable[[int], None]
"""Hears now and then how many records were read in all. What it raises, such as Stopped, ends the replay."""

WORTH_A_PROCESS = 50_000
"""Records: fewer are read sooner than another process begins."""
LOOK_EVERY_S = 0.2
END_WITHIN_S = 10.0
_spawning = multiprocessing.get_context("spawn")


def processes_for(records: int, most: int | None = None) -> int:
    """As many as there are cores, unless somebody wants fewer; one where there is little to read."""
    return max(1, min(most or os.cpu_count() or 1, records // WORTH_A_PROCESS))


class Monitor:
    """Where a process tells how far it is, and hears that it is to stop."""

    def __init__(self, note: Callable[[int], None]) -> None:
        self._note = note

    def read(self, records: int) -> None:
        """So many more. Raises what the replay is to end with."""
        self._note(records)


Work = Callable[[Sequence[Part], Monitor], Coroutine[Any, Any, R]]
"""What one process does, of a module that others can import; it is sent to it."""


def in_processes(work: Work[R], parts: Iterable[Part], processes: int, tell: Tell) -> list[R]:
    """What the work comes to in each process.

    Raises ProcessLost, and whatever `tell` or the work raised.
    """
    divided = shares(parts, processes)
    if len(divided) > 1:
        return _spread(work, divided, tell)
    monitor = Monitor(telling(tell))
    return [uvloop.run(work(share, monitor)) for share in divided]


def shares(parts: Iterable[Part], processes: int) -> list[list[Part]]:
    """The parts that have records, divided so that each share has about as many; none is empty."""
    parts = [part for part in parts if part.records]
    divided: list[list[Part]] = [[] for _ in range(processes)]
    for part in sorted(parts, key=lambda one: (-one.records, one.partition)):
        min(divided, key=lambda share: sum(one.records for one in share)).append(part)
    return [sorted(share, key=lambda one: one.partition) for share in divided if share]


def telling(tell: Tell) -> Callable[[int], None]:
    """What a monitor of one process notes by."""
    read = 0

    def note(records: int) -> None:
        nonlocal read
        read += records
        tell(read)

    return note


def _spread(work: Work[R], divided: Sequence[list[Part]], tell: Tell) -> list[R]:
    let_children_keep_memory()
    wish, counts = _spawning.RawValue(c_bool, False), _spawning.RawArray(c_int64, len(divided))
    running = [_start(work, share, place, wish, counts) for place, share in enumerate(divided)]
    results: dict[int, R] = {}
    try:
        while len(results) < len(running):
            waiting = {answer: place for place, (_, answer) in enumerate(running) if place not in results}
            answers = wait(list(waiting), LOOK_EVERY_S)
            tell(sum(counts))  # first: what the same signal ended while it began is stopped, not lost
            for answer in answers:
                results[waiting[answer]] = _heard(answer)  # type: ignore[index, arg-type]
        return [results[place] for place in range(len(running))]
    finally:
        wish.value = True
        for process, _ in running:
            process.join(END_WITHIN_S)
            process.kill()


def _start(
    work: Work[R], share: Sequence[Part], place: int, wish: Any, counts: Any
) -> "tuple[SpawnProcess, Connection]":
    ours, theirs = _spawning.Pipe(duplex=False)
    process = _spawning.Process(
        target=_run, args=(work, share, place, wish, counts, theirs, os.getpid()), daemon=True
    )
    process.start()
    theirs.close()  # or its end would not be heard of
    return process, ours


def _heard(answer: Connection) -> Any:
    try:
        result, error = answer.recv()
    except EOFError as lost:
        raise ProcessLost("a process of the replay was killed") from lost
    if error is not None:
        raise error
    return result


def _run(
    work: Work[R], share: Sequence[Part], place: int, wish: Any, counts: Any, answer: Connection, parent: int
) -> None:
    """In its own process. A terminal or a supervisor signals all of them; only the parent decides what that means."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    collect_rarely(OF_A_REPLAY)

    def note(records: int) -> None:
        counts[place] += records
        if wish.value or os.getppid() != parent:  # nobody waits for it any more
            raise Stopped

    try:
        result, error = uvloop.run(work(share, Monitor(note))), None
    except Exception as raised:
        result, error = None, raised
    with suppress(BrokenPipeError):
        answer.send((result, error))
