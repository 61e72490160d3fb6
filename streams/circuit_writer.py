"""The worker that decides when circuits open, half-open and close: it forwards what payments tell of their gateways,
and is the one writer of the circuits of its partitions. It needs no Redis.

Any number of them run side by side: the group divides the partitions, and with them the circuits.
"""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import faust
import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from infra.circuit_policies import CircuitPolicies
from infra.clock import SystemClock
from infra.kafka.circuits import KafkaCircuitEvents, KafkaCircuitMessages
from infra.kafka.group_start import begin_at
from infra.kafka.lag import GroupOffsets
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.postgres.circuits import PostgresCircuits
from infra.resources import product_database, tailed_circuits
from infra.settings import Settings, host_and_port
from projections.circuit_facts import CircuitFacts
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable, Unavailable
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.circuit_fold import CircuitFold
from streams.circuit_forwarder import TELLS_FOR_MS, CircuitForwarder
from streams.circuit_metrics import CircuitMetrics
from streams.consumption import Consumption, assigned
from streams.dead_letters import KafkaDeadLetters
from streams.metrics import ProjectionMetrics
from streams.web import serve

log = structlog.get_logger(__name__)

HOLD_EVERY_S = 0.1
"""So much later than it might, at most, a partition that is new to us is loaded."""
HOLD_AGAIN_S = 1.0
TICK_EVERY_S = 1.0
"""So much later than it might, at most, a circuit half-opens."""
SAVE_EVERY_S = 1.0
"""What is folded again after a crash."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, worker, servers = SystemClock(), settings.circuit_consumer_name, settings.kafka_bootstrap_servers
    group = settings.circuit_consumer_group

    app = make_app(servers, group, worker)
    async with AsyncExitStack() as stack:
        reader = LogReader(servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        groups = GroupOffsets(servers)
        stack.push_async_callback(groups.stop)
        database = await product_database(settings, min_size=0, max_size=2)
        stack.push_async_callback(database.close)
        # A worker that starts before its topics would never hear of them.
        await patiently(lambda: reader.end_offsets(PAYMENTS_TOPIC))
        await patiently(lambda: reader.end_offsets(CIRCUIT_OUTCOMES_TOPIC))
        await patiently(
            lambda: begin_at(servers, group, PAYMENTS_TOPIC, round(clock.now_ms() - TELLS_FOR_MS))
        )

        facts, store = CircuitFacts(), PostgresCircuits(database)
        tail = await stack.enter_async_context(tailed_circuits(settings, clock, store, facts))
        messages = KafkaCircuitMessages(publisher, clock)
        forwarder = CircuitForwarder(messages, lambda: groups.offsets(group), clock.now_ms)
        fold = CircuitFold(
            store,
            reader,
            KafkaCircuitEvents(publisher),
            facts,
            lambda: tail.next_offset,
            KafkaDeadLetters(publisher, group),
            CircuitPolicies(settings).of,
            clock.now_ms,
        )
        forwarding = Consumption(
            app, PAYMENTS_TOPIC, forwarder.absorb, reader, forwarder, clock.elapsed_ms, sees_others=False
        )
        folding = Consumption(
            app, CIRCUIT_OUTCOMES_TOPIC, fold.absorb, reader, fold, clock.elapsed_ms, sees_others=False
        )
        keeper = Keeper(fold, store, facts, tail)

        registry = CollectorRegistry()
        registry.register(CircuitMetrics(facts, fold.transitions))
        registry.register(
            ProjectionMetrics("circuit_forwarder", forwarder.counts, forwarding.watchdog, clock.now_ms)
        )
        registry.register(ProjectionMetrics("circuits", fold.counts, folding.watchdog, clock.now_ms))
        web = await serve(
            host_and_port(settings.circuit_writer_web),
            lambda: forwarding.complaint or folding.complaint or keeper.trouble,
            registry,
        )
        stack.push_async_callback(web.cleanup)

        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        log.info("circuit writer runs", worker=worker)
        await first_to_end(
            stop.wait(),
            app.wait_until_stopped(),
            forwarding.watch(),
            folding.watch(),
            _hold_ours(app, fold),
            _keep_time(fold, messages, clock),
            keeper.keep(),
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        await keeper.save()
        log.info("circuit writer leaves", worker=worker)


async def _hold_ours(app: faust.App, fold: CircuitFold) -> None:
    while True:
        delay_s = HOLD_EVERY_S
        try:
            await fold.hold(assigned(app, CIRCUIT_OUTCOMES_TOPIC))
        except Unavailable as error:
            log.warning("circuits are not loaded", reason=str(error))
            delay_s = HOLD_AGAIN_S
        await asyncio.sleep(delay_s)


async def _keep_time(fold: CircuitFold, messages: KafkaCircuitMessages, clock: SystemClock) -> None:
    """Tells a circuit the time where that makes a difference: at most once a second each."""
    while True:
        try:
            if ticks := fold.due(clock.now()):
                await messages.publish(ticks)
        except Unavailable as error:  # the next turn does it
            log.warning("circuits are not told the time", reason=str(error))
        await asyncio.sleep(TICK_EVERY_S)


class Keeper:
    """Keeps checkpoints and views in the store. `trouble` says that they grow old; nothing waits for them."""

    def __init__(
        self, fold: CircuitFold, store: PostgresCircuits, facts: CircuitFacts, tail: TopicTail
    ) -> None:
        self._fold = fold
        self._store = store
        self._facts = facts
        self._tail = tail
        self._views_through = -1
        self.trouble: str | None = None

    async def keep(self) -> None:
        while True:
            await self.save()
            await asyncio.sleep(SAVE_EVERY_S)

    async def save(self) -> None:
        try:
            await self._fold.save()
            through = self._tail.next_offset
            if through > self._views_through:
                await self._store.save_views(self._facts.known, through)
                self._views_through = through
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            self.trouble = f"circuits are not checkpointed: {error}"
        else:
            self.trouble = None
