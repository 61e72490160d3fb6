"""An event loop on virtual time: when nothing is ready, time jumps to the next timer. No I/O, no threads, no chance."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Deadlock(Exception):
    """Everything waits for something, and no timer is set."""


class _Time:
    """Stands where a loop has its selector: to wait for I/O is to let time pass."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def select(self, timeout_s: float | None) -> list[NoReturn]:
        if timeout_s is None:
            raise Deadlock
        self.now_s += max(timeout_s, 0)
        return []


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Sockets, signals and threads are not there: BaseEventLoop leaves them to its subclasses, and this has none."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Time()

    def time(self) -> float:
        return self._selector.now_s

    def run_in_executor(self, *_: object) -> NoReturn:
        raise RuntimeError("a simulation has no threads")

    def _process_events(self, _: list[NoReturn]) -> None:
        return None

    def _write_to_self(self) -> NoReturn:
        raise RuntimeError("nobody outside the loop may wake it")


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """For tests that wait: their hours pass at once."""

    @functools.wraps(test)
    def passes_at_once(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return passes_at_once
