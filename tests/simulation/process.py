"""One API process before the twins that all share: it can be paused at any await, and killed."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from schemas.errors import PaymentsError

T = TypeVar("T")

_running_in: "ContextVar[Process | None]" = ContextVar("running_in", default=None)


class Process:
    """While it is paused nothing of it goes on: every call of an adapter begins and ends at its gate."""

    def __init__(self, pause_ms: Callable[[], float]) -> None:
        self.asleep_ms = 0.0
        """For how long it was paused, all in all: what a clock that stops with the machine does not count."""
        self.tripped_over: list[BaseException] = []
        """What its tasks have raised that has no name of ours, whether or not anybody took an interest in it."""
        self._pause_ms = pause_ms
        self._paused_until_ms = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    async def gate(self) -> None:
        await self.pause(self._pause_ms())

    async def pause(self, pause_ms: float) -> None:
        """Perhaps begin a pause, and wait until there is none."""
        if pause_ms > 0:
            until_ms = max(self._paused_until_ms, _now_ms() + pause_ms)
            self.asleep_ms += until_ms - max(self._paused_until_ms, _now_ms())
            self._paused_until_ms = until_ms
        while _now_ms() < self._paused_until_ms:  # noqa: ASYNC110  # others may prolong the pause meanwhile
            await asyncio.sleep((self._paused_until_ms - _now_ms()) / 1000)

    async def gated(self, call: Callable[[], Awaitable[T]]) -> T:
        await self.gate()
        try:
            return await call()
        finally:
            await self.gate()

    def start(self, work: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        """Run in this process: the task, and every task that it starts, dies with it."""
        token = _running_in.set(self)
        try:
            return asyncio.get_running_loop().create_task(self.gated(work))
        finally:
            _running_in.reset(token)

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        self._tasks = [*(known for known in self._tasks if not known.done()), task]
        task.add_done_callback(self._ended)

    def kill(self) -> None:
        """What it has sent is on its way all the same."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, PaymentsError):
            self.tripped_over.append(error)


class _Gated:
    def __init__(self, process: Process, adapter: object) -> None:
        self._process = process
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        return lambda *arguments: self._process.gated(lambda: attribute(*arguments))


def gated(process: Process, adapter: T) -> T:
    """The adapter as the process has it: paused with it, and dead with it."""
    return cast(T, _Gated(process, adapter))


def task_factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
    """Tells a process of every task that is started in it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    if (process := _running_in.get()) is not None:
        process.adopt(task)
    return task


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
