"""A lean load generator: a closed loop of so many connections, or an open one at a fixed rate.

At a fixed rate, arrivals are due by the clock and wait their turn when every connection is busy. Latency
counts from when a request was due: waiting for a stalled server is part of it (no coordinated omission).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine

from msgspec import Struct

from tests.bench.connection import Connection
from tests.bench.report import Report
from tests.bench.tally import Tally

TICK_S = 0.001
SWEEP_S = 0.02
CONNECT_TIMEOUT_S = 5.0
RECONNECT_AFTER_S = 0.05
TIMEOUT, TIMEOUT_BEFORE_SENDING, UNFINISHED = "Timeout", "TimeoutBeforeSending", "Unfinished"


class Answer(Struct, frozen=True, gc=False):
    """`headers` holds the wanted ones, names in lower case."""

    sequence: int
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    latency_s: float


class Plan(Struct, frozen=True, kw_only=True):
    """`request` makes a full HTTP request for a sequence number; `receive` is told of each answer.

    Without `rate_per_s` each connection asks again as soon as it has its answer. `timeout_s` bounds a request
    from when it is sent, and also its wait for a free connection.
    """

    host: str
    port: int
    request: Callable[[int], bytes]
    connections: int
    duration_s: float
    rate_per_s: float | None = None
    warmup_s: float = 0.0
    timeout_s: float = 10.0
    receive: Callable[[Answer], None] | None = None
    wanted_headers: frozenset[bytes] = frozenset()
    progress: Callable[[float, int], None] | None = None
    """Told now and then how many seconds have passed, and how many answers have come."""


async def drive(plan: Plan) -> Report:
    """Raises OSError or TimeoutError if the server cannot be reached at the start."""
    return await _Load(plan).run()


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._waiting: deque[float] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._arrivals = self._sent = 0
        self._start = 0.0
        self._tally = Tally(0.0, 0.0)
        self._stopped = False

    async def run(self) -> Report:
        plan = self._plan
        await asyncio.gather(*(self._connect() for _ in range(plan.connections)))
        self._start = time.perf_counter()
        window_start = self._start + plan.warmup_s
        self._tally = Tally(window_start, window_start + plan.duration_s)
        await self._until(self._tally.start)
        cpu_before = time.process_time()
        await self._until(self._tally.end)
        cpu_s = time.process_time() - cpu_before
        await self._drain()
        mode = (
            f"{plan.rate_per_s:g} requests/s" if plan.rate_per_s else f"{plan.connections} in a closed loop"
        )
        return self._tally.report(mode, plan.connections, cpu_s)

    async def _until(self, moment: float) -> None:
        sweep_at = 0.0
        while (now := time.perf_counter()) < moment:
            self._send_what_is_due(now)
            if now >= sweep_at:
                self._sweep(now)
                sweep_at = now + SWEEP_S
            await asyncio.sleep(self._until_next_arrival_s(now))

    def _until_next_arrival_s(self, now: float) -> float:
        rate = self._plan.rate_per_s
        wait_s = SWEEP_S if rate is None else self._start + self._arrivals / rate - now
        return min(max(wait_s, TICK_S), SWEEP_S)

    async def _drain(self) -> None:
        """Waits for what is due or in flight, as long as a request may take, and lets go of the rest."""
        self._send_what_is_due(time.perf_counter())  # also what became due while this process stood still
        give_up_at = self._tally.end + 2 * self._plan.timeout_s + SWEEP_S
        while (now := time.perf_counter()) < give_up_at and (
            self._waiting or any(c.busy for c in self._open)
        ):
            self._send_what_is_due(now)
            self._sweep(now)
            await asyncio.sleep(TICK_S)
        self._stopped = True
        for due in self._waiting:
            self._tally.gave_up(due, UNFINISHED, time.perf_counter())
        for task in self._connecting:
            task.cancel()
        for connection in list(self._open):
            connection.give_up(UNFINISHED)
        await asyncio.sleep(TICK_S)

    def _send_what_is_due(self, now: float) -> None:
        if self._plan.rate_per_s is None:
            while self._idle and now < self._tally.end:
                self._tally.due(now)
                self._send(self._idle.popleft(), now)
            return
        self._note_arrivals(now, self._plan.rate_per_s)
        while self._waiting and self._idle:
            self._send(self._idle.popleft(), self._waiting.popleft())

    def _note_arrivals(self, now: float, rate_per_s: float) -> None:
        while (moment := self._start + self._arrivals / rate_per_s) <= now and moment < self._tally.end:
            self._waiting.append(moment)
            self._tally.due(moment)
            self._arrivals += 1

    def _send(self, connection: Connection, due: float) -> None:
        sequence = self._sent
        self._sent += 1
        request = self._plan.request(sequence)
        connection.send(request, sequence, due, time.perf_counter() + self._plan.timeout_s)

    def _sweep(self, now: float) -> None:
        for connection in list(self._open):
            if connection.busy and connection.deadline < now:
                connection.give_up(TIMEOUT)
        while self._waiting and self._waiting[0] + self._plan.timeout_s < now:
            self._tally.gave_up(self._waiting.popleft(), TIMEOUT_BEFORE_SENDING, now)
        if self._plan.progress is not None:
            self._plan.progress(now - self._start, self._tally.answers)

    # What the connections say.

    def answered(self, connection: Connection, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        now = time.perf_counter()
        self._tally.answered(connection.due, status, now)
        if self._plan.receive is not None:
            self._plan.receive(Answer(connection.sequence, status, headers, body, now - connection.due))
        if connection.usable:
            self._idle.append(connection)
            self._send_what_is_due(now)

    def lost(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.busy:
            self._lost_request(connection.due, reason)
        if not self._stopped:
            self._tally.reconnects += 1
            self._spawn(self._reconnect(at_once=connection.sequence >= 0))

    def _lost_request(self, due: float, reason: str) -> None:
        if reason in (TIMEOUT, UNFINISHED):
            self._tally.gave_up(due, reason, time.perf_counter())
        else:
            self._tally.broke(due, reason)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        connecting = asyncio.get_running_loop().create_connection(
            lambda: Connection(self, self._plan.wanted_headers), self._plan.host, self._plan.port
        )
        _, connection = await asyncio.wait_for(connecting, CONNECT_TIMEOUT_S)
        if connection.usable:
            self._open.add(connection)
            self._idle.append(connection)

    async def _reconnect(self, at_once: bool) -> None:
        """Keeps trying until the run ends, without haste if the last connection died unused."""
        if not at_once:
            await asyncio.sleep(RECONNECT_AFTER_S)
        while not self._stopped:
            try:
                await self._connect()
            except OSError as error:
                now = time.perf_counter()
                self._tally.broke(now, f"Connect{type(error).__name__}")
                await asyncio.sleep(RECONNECT_AFTER_S)
            else:
                self._send_what_is_due(time.perf_counter())
                return
