"""The whole system in one loop: several API processes over shared twins, a projection, clients, and what goes wrong.

One seed decides everything, so a failing seed fails again, step by step.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from commands.handler import Handled, PaymentHandler
from commands.ports import Clock, EventLog, Gateways
from infra.memory.clock import MemoryClock
from infra.memory.gateways import Ledger, MemoryGateway, MemoryGateways, seeded_outcome
from infra.memory.log import MemoryHistories, MemoryLog
from infra.memory.reservations import MemoryReservations
from schemas.base import Value
from schemas.envelope import LONGEST_WINDOW_MS
from schemas.errors import PaymentsError
from schemas.gateway import GatewayConfiguration
from schemas.http import PaymentBody
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod, Upi
from schemas.routing import RetryPolicy
from schemas.verification import Schedule
from tests.builders import a_body, a_gateway
from tests.simulation.faults import Faults, Rates
from tests.simulation.process import Process, gated, task_factory

GATEWAYS = tuple(GatewayId(name) for name in ("alpha", "beta", "gamma"))
SCHEDULE = Schedule(after_s=(4, 10, 30, 90))
POLICY = RetryPolicy(max_attempts=3, latency_budget_ms=2_000)
GATEWAY_TIMEOUT_MS = 800
LARGEST_SKEW_MS = 500
HORIZON_S = 90.0


class Scenario(Value, frozen=True, kw_only=True):
    """What a run consists of. The wrappers put something broken in the place of an adapter, to see it caught."""

    clients: int = 10
    processes: int = 3
    kills: int = 1
    outages: int = 2
    rates: Rates = Rates()
    forgets: bool = False
    admits_at_once: bool = False
    wrap_log: Callable[[MemoryLog], EventLog] = lambda log: log
    wrap_gateways: Callable[[Gateways], Gateways] = lambda gateways: gateways
    wrap_clock: Callable[[MemoryClock, Process], Clock] = lambda clock, _: clock


class Answer(Value, frozen=True, kw_only=True):
    """What a client was told of the payment under its key."""

    vpa: str
    handled: Handled
    at_ms: float


class Facts:
    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        return tuple(
            a_gateway(name, priority=place, timeout_ms=GATEWAY_TIMEOUT_MS)
            for place, name in enumerate(GATEWAYS)
        )

    def schedule(self, method: PaymentMethod) -> Schedule:
        return SCHEDULE

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        return POLICY


class World:
    def __init__(self, seed: int, scenario: Scenario) -> None:
        self.seed = seed
        self.scenario = scenario
        self.answers: list[Answer] = []
        self.refusals: list[tuple[str, float, PaymentsError]] = []
        self.posts = 0
        self.chance = Random(seed)
        self.faults = Faults(self.chance, scenario.rates)
        self.store_clock = MemoryClock(skew_ms=self._skew_ms())
        self.broker_clock = MemoryClock(skew_ms=self._skew_ms())
        self.log = MemoryLog(
            self.broker_clock,
            fate=self.faults.of_a_record,
            stamps_may_go_back=self.chance.random() < 0.3,
        )
        self.reservations = MemoryReservations(
            self.store_clock, fate=self.faults.of_a_row, guard_ms=2 * LARGEST_SKEW_MS
        )
        self.ledgers = {
            name: Ledger(MemoryClock(), partial(seeded_outcome, seed * 31 + place))
            for place, name in enumerate(GATEWAYS)
        }
        self._made = 0
        self._healed = [0] * len(self.log.partitions)
        self._processes = [self._process() for _ in range(scenario.processes)]

    async def run(self) -> None:
        asyncio.get_running_loop().set_task_factory(task_factory)
        async with asyncio.TaskGroup() as around:
            works = (self._project(), self._leaders(), *self._disasters())
            tasks = [around.create_task(work) for work in works]
            await asyncio.gather(*(self._client(number) for number in range(self.scenario.clients)))
            await asyncio.sleep(60)  # what is still on its way arrives
            for task in tasks:
                task.cancel()

    # What goes wrong by itself

    def _disasters(self) -> list[Coroutine[Any, Any, None]]:
        works: list[Coroutine[Any, Any, None]] = [self._kill() for _ in range(self.scenario.kills)]
        works += [
            self._outage(self.chance.choice((self.log, self.reservations)))
            for _ in range(self.scenario.outages)
        ]
        if self.scenario.forgets:
            works.append(self._forget())
        return works

    async def _kill(self) -> None:
        await asyncio.sleep(self.chance.uniform(1, HORIZON_S))
        number = self.chance.randrange(len(self._processes))
        process, _ = self._processes[number]
        self._processes[number] = self._process()
        self.faults.counted["process killed"] += 1
        process.kill()

    async def _outage(self, part: MemoryLog | MemoryReservations) -> None:
        await asyncio.sleep(self.chance.uniform(0, HORIZON_S))
        self.faults.counted["outage"] += 1
        part.is_available = False
        await asyncio.sleep(self.chance.uniform(0.2, 8))
        part.is_available = True

    async def _forget(self) -> None:
        """Another Postgres takes the place of the one we knew; nobody is admitted before it knows the log."""
        await asyncio.sleep(self.chance.uniform(1, 20))
        self.faults.counted["store forgot"] += 1
        self.reservations.forget()
        if not self.scenario.admits_at_once:
            await asyncio.sleep((LONGEST_WINDOW_MS + 2 * LARGEST_SKEW_MS) / 1000)
            self._healed = [0] * len(self.log.partitions)
            self._heal()
        self.reservations.is_adopted = True

    async def _leaders(self) -> None:
        """Now and then another broker leads, whose clock is another one."""
        while True:
            await asyncio.sleep(self.chance.uniform(5, 40))
            self.broker_clock.skew_ms = self._skew_ms()

    async def _project(self) -> None:
        while True:
            await asyncio.sleep(self.chance.choice((0.1, 0.3, 1, 10)))
            if self.reservations.is_available and self.reservations.is_adopted and self.log.is_available:
                self._heal()

    def _heal(self) -> None:
        for number, partition in enumerate(self.log.partitions):
            for record in partition[self._healed[number] :]:
                self.reservations.heal(record)
            self._healed[number] = len(partition)

    # Clients

    async def _client(self, number: int) -> None:
        """One key, asked for again and again until the payment is settled or patience ends."""
        vpa = f"customer{number}@upi"
        body = a_body(customer_id=f"customer{number}", instrument=Upi(vpa=vpa))
        await asyncio.sleep(self.chance.uniform(0, 20))
        for _ in range(self.chance.randint(2, 12)):
            at_once = self.chance.choice((1, 1, 1, 5))
            await asyncio.gather(*(self._post(vpa, body) for _ in range(at_once)))
            if self.chance.random() < 0.05:
                await self._post(
                    vpa, a_body(amount_minor=7, customer_id=f"customer{number}", instrument=Upi(vpa=vpa))
                )
            await asyncio.sleep(self.chance.choice((0.01, 0.5, 2, 9, 11, 20)) * self.chance.uniform(0.8, 1.2))

    async def _post(self, vpa: str, body: PaymentBody) -> None:
        self.posts += 1
        process, handler = self.chance.choice(self._processes)
        patience_s = self.chance.choice((0.004, 0.02, 0.2, 1, 30, 60, 60, 60))
        request_id = f"req_{self.posts}"
        task = process.start(lambda: handler.request_payment(body, f"key of {vpa}", request_id, {}))
        await asyncio.wait([task], timeout=patience_s)
        if not task.done():
            self.faults.counted["client gone"] += 1
            task.cancel()
        elif task.cancelled():
            self.faults.counted["connection lost to a client"] += 1
        elif (error := task.exception()) is None:
            self.answers.append(Answer(vpa=vpa, handled=task.result(), at_ms=MemoryClock().elapsed_ms()))
        elif isinstance(error, PaymentsError):
            self.refusals.append((vpa, MemoryClock().elapsed_ms(), error))
        else:
            raise error

    # Processes

    def _process(self) -> tuple[Process, PaymentHandler]:
        self._made += 1
        process = Process(self.faults.pause_ms)
        clock = MemoryClock(skew_ms=self._skew_ms(), seed=self.seed * 1000 + self._made)
        histories = MemoryHistories(
            self.log,
            self.broker_clock,
            fate=self.faults.of_a_read,
            stale_ms=self.chance.choice((0, 0, 300, 5_000)) if self.scenario.rates.stale_reads else 0,
        )
        gateways = MemoryGateways(
            {
                name: gated(
                    process,
                    MemoryGateway(
                        ledger,
                        clock,
                        fate=self.faults.of_a_call,
                        before_look=process.gate,
                        after_look=lambda: process.pause(self.faults.pause_after_the_last_look_ms()),
                    ),
                )
                for name, ledger in self.ledgers.items()
            }
        )
        handler = PaymentHandler(
            clock=self.scenario.wrap_clock(clock, process),
            log=gated(process, self.scenario.wrap_log(self.log)),
            reservations=gated(process, self.reservations),
            histories=gated(process, histories),
            gateways=self.scenario.wrap_gateways(gateways),
            facts=Facts(),
            max_in_flight=64,
            gateway_timeout_ms=GATEWAY_TIMEOUT_MS,
        )
        return process, handler

    def _skew_ms(self) -> int:
        return self.chance.randint(-LARGEST_SKEW_MS, LARGEST_SKEW_MS)
