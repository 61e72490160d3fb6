"""The worker that settles what is in doubt: it takes in what gateways tell, and takes over payments that are due.

Any number of them run side by side: a claim gives a payment to one of them, and a lease takes it back.
"""

import asyncio
from contextlib import AsyncExitStack

import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from commands.verifier import PaymentVerifier
from infra.clock import SystemClock
from infra.gateways.registry import registry as gateway_registry
from infra.histories import LogHistories
from infra.kafka.alarms import KafkaAlarms
from infra.kafka.log import KafkaLog
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.shared_reads import SharedReads
from infra.postgres.backlog import backlog
from infra.postgres.payments import PaymentViews
from infra.postgres.verification_queue import PostgresVerificationQueue
from infra.resources import admitted, product_database
from infra.settings import Settings, host_and_port
from schemas.errors import Unavailable
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.messages import intake
from streams.metrics import ProjectionMetrics
from streams.verification_metrics import VerificationMetrics
from streams.web import serve

log = structlog.get_logger(__name__)

TURN_EVERY_S = 0.1
TURN_AGAIN_S = 0.03
"""After a turn that claimed something: claims by the dozen cost the store a fraction of one by one."""
AWAY_S = 1.0
LEAVES_WITHIN_S = 20.0
"""A lease: what has not ended by then is somebody else's."""


class Rounds:
    """Claims what is due, again and again. `trouble` tells what it waits for."""

    def __init__(self, verifier: PaymentVerifier) -> None:
        self._verifier = verifier
        self.trouble: str | None = None

    async def make(self) -> None:
        while True:
            try:
                claimed = await self._verifier.turn()
            except Unavailable as error:
                self.trouble = f"{type(error).__name__}: {error}"
                await asyncio.sleep(AWAY_S)
                continue
            self.trouble = None
            await asyncio.sleep(TURN_AGAIN_S if claimed else TURN_EVERY_S)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, worker = SystemClock(), settings.verifier_consumer_name
    app = make_app(settings.kafka_bootstrap_servers, settings.verifier_consumer_group, worker)
    async with AsyncExitStack() as stack:
        reader = LogReader(settings.kafka_bootstrap_servers, readers=PAYMENT_PARTITIONS)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await patiently(lambda: product_database(settings, min_size=2, max_size=4))
        stack.push_async_callback(database.close)
        views = PaymentViews(database, partition_for)
        _, claims = await stack.enter_async_context(
            admitted(settings, clock, publisher, reader, database, views, connections=2)
        )
        gateways = gateway_registry(settings)
        stack.push_async_callback(gateways.close)
        queue = PostgresVerificationQueue(claims, clock, settings.clock_guard_ms)
        verifier = PaymentVerifier(
            clock=clock,
            log=KafkaLog(publisher),
            histories=LogHistories(views, SharedReads(reader), partition_for),
            gateways=gateways,
            facts=gateways,
            queue=queue,
            alarms=KafkaAlarms(publisher, clock),
        )
        rounds = Rounds(verifier)
        messages, consumption = await intake(app, settings, reader, publisher, database, clock.elapsed_ms)
        metrics = VerificationMetrics(
            lambda: backlog(database), verifier.counted, queue.sorted_out, clock.now_ms
        )
        registry = CollectorRegistry()
        registry.register(metrics)
        registry.register(ProjectionMetrics("messages", messages.counts, consumption.watchdog, clock.now_ms))
        web = await serve(
            host_and_port(settings.payment_verifier_web),
            lambda: rounds.trouble or consumption.complaint,
            registry,
        )
        stack.push_async_callback(web.cleanup)

        await consumption.catch_up()
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        stack.push_async_callback(verifier.drain, LEAVES_WITHIN_S)
        log.info("payment verifier runs", worker=worker)
        await first_to_end(
            stop.wait(), app.wait_until_stopped(), consumption.watch(), rounds.make(), metrics.watch()
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("payment verifier leaves", worker=worker, payments=verifier.in_flight)
