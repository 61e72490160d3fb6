"""The whole system in one loop: several API processes over shared twins, a projection, clients, and what goes wrong.

One seed decides everything, so a failing seed fails again, step by step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

from msgspec.structs import replace

from commands.fingerprints import Fingerprints
from commands.handler import Handled, PaymentHandler
from commands.ports import Clock, EventLog, Gateways, Histories
from commands.verifier import PaymentVerifier
from infra.memory.alarms import MemoryAlarms
from infra.memory.clock import MemoryClock
from infra.memory.gateways import Ledger, MemoryGateway, MemoryGateways
from infra.memory.log import MemoryHistories, MemoryLog
from infra.memory.probes import MemoryLeases, MemoryProbes
from infra.memory.reservations import MemoryReservations
from infra.memory.shadow import RememberingShadow
from infra.probes import LocalProbes
from projections.verifications import work
from schemas.base import Value
from schemas.envelope import LONGEST_WINDOW_MS
from schemas.errors import PaymentsError, Unavailable
from schemas.http import PaymentBody
from schemas.instrument import Upi
from schemas.views import PaymentHistory
from tests.builders import a_body
from tests.simulation.courses import Courses
from tests.simulation.faults import Faults
from tests.simulation.process import Process, gated, task_factory
from tests.simulation.projection import Deliveries, ReadModel
from tests.simulation.scenario import (
    CLOSE_AFTER,
    GATEWAY_TIMEOUT_MS,
    GATEWAYS,
    HORIZON_S,
    LARGEST_SKEW_MS,
    LOOKUP_LAG_MS,
    POLICIES,
    KnownFacts,
    Scenario,
)
from tests.simulation.verification import AMOUNT_MINOR, Liar, Messages, Reviewer

SETTLED_WITHIN_S = 3_600.0
"""Since the last client left: by then every payment has its end."""
TROUBLED_FOR_S = 600.0
"""Of it: each time that a gateway does not answer doubles the wait, and no chance is so bad for ever."""
DRAINED_WITHIN_S = 60.0
STRAGGLES_FOR_S = 60.0
"""What is still on its way to the log arrives within it."""


class Answer(Value, frozen=True, kw_only=True):
    """What a client was told of the payment under its key."""

    vpa: str
    handled: Handled
    at_ms: float


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
        self.probes = MemoryProbes(
            MemoryLeases(), LocalProbes("here", MemoryClock().elapsed_ms), MemoryClock().elapsed_ms
        )
        self.reservations = scenario.make_reservations(
            self.store_clock, fate=self.faults.of_a_row, guard_ms=2 * LARGEST_SKEW_MS
        )
        self.queue = scenario.make_queue(self.reservations)
        self.alarms = MemoryAlarms(self.log)
        self.messages = Messages(self.faults, self.broker_clock.now_ms)
        self.ledgers = {name: self._ledger(place) for place, name in enumerate(GATEWAYS)}
        self.reviewer = Reviewer(self.messages, self.ledgers)
        self.liar = Liar(self.messages, self.faults, self.chance)
        self.read_model = ReadModel(
            self.log,
            self.reservations,
            self.queue,
            self.faults,
            make_sink=scenario.make_sink,
            close_after=CLOSE_AFTER,
        )
        self._deliveries = Deliveries(self.log, self.read_model, self.faults)
        self._ever: list[Process] = []
        self._processes = [self._process() for _ in range(scenario.processes)]
        self.verifiers = [self._verifier() for _ in range(scenario.verifiers)]

    def _ledger(self, place: int) -> Ledger:
        course = Courses(self.seed * 31 + place)
        return Ledger(
            MemoryClock(),
            course.outcome,
            later=course.later,
            listener=self.messages.changed,
            lookup_lag_ms=self.chance.choice((0, 0, LOOKUP_LAG_MS)),
            echoes_wrong_amount=course.echoes_wrong_amount,
        )

    async def run(self) -> None:
        asyncio.get_running_loop().set_task_factory(task_factory)
        async with asyncio.TaskGroup() as around:
            works = (
                self._project(),
                self._leaders(),
                self._lie(),
                self._review(),
                *(self._verify(number) for number in range(self.scenario.verifiers)),
                *self._disasters(),
            )
            tasks = [around.create_task(work) for work in works]
            await asyncio.gather(*(self._client(number) for number in range(self.scenario.clients)))
            await asyncio.sleep(STRAGGLES_FOR_S)
            await self._until_everything_has_its_end()
            for task in tasks:
                task.cancel()
        for _, verifier in self.verifiers:
            await verifier.drain(DRAINED_WITHIN_S)
        for process in self._ever:
            for error in process.tripped_over:
                raise error
        await asyncio.sleep(STRAGGLES_FOR_S)
        await patiently(self._deliveries.deliver)

    async def _until_everything_has_its_end(self) -> None:
        """Or the time is up: the checker tells which it was."""
        for number in range(int(SETTLED_WITHIN_S / 5)):
            await asyncio.sleep(5)
            self.faults.are_over = number * 5 >= TROUBLED_FOR_S
            if self.messages.taken == len(self.messages.told) and not any(
                self.is_unfinished(history) for history in self.read_model.histories.values()
            ):
                return

    def is_unfinished(self, history: PaymentHistory) -> bool:
        in_review = any(attempt.in_review for attempt in history.attempts)
        return in_review or work(history, CLOSE_AFTER).due_at is not None

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
        if self.chance.random() < 0.5:
            number = self.chance.randrange(len(self._processes))
            process, _ = self._processes[number]
            self._processes[number] = self._process()
            self.faults.counted["process killed"] += 1
        else:
            number = self.chance.randrange(len(self.verifiers))
            process, _ = self.verifiers[number]
            self.verifiers[number] = self._verifier()
            self.faults.counted["verifier killed"] += 1
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
        self.queue.forget()
        self.read_model.forget()
        self.messages.taken = 0
        if not self.scenario.admits_at_once:
            await asyncio.sleep((LONGEST_WINDOW_MS + 2 * LARGEST_SKEW_MS) / 1000)
            await patiently(self._deliveries.catch_up)
        self.reservations.is_adopted = True

    async def _leaders(self) -> None:
        """Now and then another broker leads, whose clock is another one."""
        while True:
            await asyncio.sleep(self.chance.uniform(5, 40))
            self.broker_clock.skew_ms = self._skew_ms()

    async def _project(self) -> None:
        """Projection and intake: from one store, which is away for both or for none."""
        while True:
            await asyncio.sleep(self.chance.choice((0.1, 0.3, 1, 10)))
            if self.reservations.is_available and self.reservations.is_adopted and self.log.is_available:
                with suppress(Unavailable):
                    await self._deliveries.deliver()
                self.messages.take(self.queue)

    # Verification

    async def _verify(self, number: int) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.2, 1))
            process, verifier = self.verifiers[number]
            turn = process.start(verifier.turn)
            await asyncio.wait([turn])
            error = None if turn.cancelled() else turn.exception()
            if error is not None and not isinstance(error, Unavailable):
                raise error

    async def _lie(self) -> None:
        """For as long as there are clients, so that everything comes to its end."""
        for _ in range(int(HORIZON_S / 5)):
            await asyncio.sleep(5)
            self.liar.lie(self.read_model.histories.values(), GATEWAYS)

    async def _review(self) -> None:
        while True:
            await asyncio.sleep(20)
            self.reviewer.review(self.read_model.histories.values())

    # Clients

    async def _client(self, number: int) -> None:
        """One key, asked for again and again until the payment is settled or patience ends."""
        vpa = f"customer{number}@upi"
        merchant_id = f"mrc_{number % len(POLICIES)}"
        body = a_body(
            amount_minor=AMOUNT_MINOR,
            merchant_id=merchant_id,
            customer_id=f"customer{number}",
            instrument=Upi(vpa=vpa),
        )
        await asyncio.sleep(self.chance.uniform(0, 20))
        for _ in range(self.chance.randint(2, 12)):
            at_once = self.chance.choice((1, 1, 1, 5))
            await asyncio.gather(*(self._post(vpa, body) for _ in range(at_once)))
            if self.chance.random() < 0.05:
                await self._post(vpa, replace(body, amount_minor=7))
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
        process, clock, log, histories, gateways = self._parts()
        handler = PaymentHandler(
            clock=clock,
            log=log,
            reservations=gated(process, self.reservations),
            histories=histories,
            gateways=gateways,
            facts=KnownFacts(self.scenario),
            probes=gated(process, self.probes),
            shadow=RememberingShadow(),
            fingerprints=Fingerprints(["a secret"]),
            max_in_flight=64,
            gateway_timeout_ms=GATEWAY_TIMEOUT_MS,
        )
        return process, handler

    def _verifier(self) -> tuple[Process, PaymentVerifier]:
        process, clock, log, histories, gateways = self._parts(self.scenario.verifiers_ahead_ms)
        verifier = PaymentVerifier(
            clock=clock,
            log=log,
            histories=histories,
            gateways=gateways,
            facts=KnownFacts(self.scenario),
            queue=gated(process, self.queue),
            alarms=gated(process, self.scenario.wrap_alarms(self.alarms)),
            close_after=CLOSE_AFTER,
        )
        return process, verifier

    def _parts(self, ahead_ms: int = 0) -> tuple[Process, Clock, EventLog, Histories, Gateways]:
        """What every process has of its own, however many there are."""
        process = Process(self.faults.pause_ms)
        self._ever.append(process)
        clock = MemoryClock(skew_ms=self._skew_ms() + ahead_ms, seed=self.seed * 1000 + len(self._ever))
        histories = MemoryHistories(
            self.log,
            self.broker_clock,
            fate=self.faults.of_a_read,
            stale_ms=self.chance.choice((0, 0, 300, 5_000)) if self.scenario.rates.stale_reads else 0,
        )
        gateways = MemoryGateways(
            {
                name: gated(process, self._gateway(process, ledger, clock))
                for name, ledger in self.ledgers.items()
            }
        )
        return (
            process,
            self.scenario.wrap_clock(clock, process),
            gated(process, self.scenario.wrap_log(self.log)),
            gated(process, self.scenario.wrap_histories(histories)),
            self.scenario.wrap_gateways(gateways),
        )

    def _gateway(self, process: Process, ledger: Ledger, clock: MemoryClock) -> MemoryGateway:
        return MemoryGateway(
            ledger,
            clock,
            fate=self.faults.of_a_call,
            fate_when_asked=self.faults.of_a_question,
            before_look=process.gate,
            after_look=lambda: process.pause(self.faults.pause_after_the_last_look_ms()),
        )

    def _skew_ms(self) -> int:
        return self.chance.randint(-LARGEST_SKEW_MS, LARGEST_SKEW_MS)


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Again and again, until nothing is away."""
    for _ in range(100):
        with suppress(Unavailable):
            return await work()
        await asyncio.sleep(1)
    raise AssertionError("something was away for too long")
