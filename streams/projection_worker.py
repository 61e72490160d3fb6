"""The worker that keeps the payments read model in Postgres: one agent over `payments.events.v1`."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import faust
import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.migrate import make_month_partitions
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.settings import Settings, host_and_port
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable
from streams.agent import Patience, add_agent, first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.dead_letters import KafkaDeadLetters
from streams.metrics import ProjectionMetrics
from streams.watchdog import GIVEN_UP_AFTER_MS, LOOK_EVERY_S, Watchdog
from streams.web import serve

log = structlog.get_logger(__name__)

A_DAY_S = 24 * 3600.0
AN_HOUR_S = 3600.0


class Stalled(Exception):
    """Nobody is away and yet nothing moves: only a new process helps."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    app, clock = make_app(settings), SystemClock()
    async with AsyncExitStack() as stack:
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await patiently(lambda: Database.connect(settings.database_url, min_size=2, max_size=4))
        stack.push_async_callback(database.close)
        views = PaymentViews(database, partition_for)
        # A worker that starts before its topic would never hear of it.
        await patiently(lambda: reader.end_offsets(PAYMENTS_TOPIC))

        letters = KafkaDeadLetters(publisher, settings.projection_consumer_group)
        projection = Projection(PAYMENTS_TOPIC, PostgresPaymentSink(database), reader, letters, partition_for)
        patience = Patience(projection.absorb)
        add_agent(app, PAYMENTS_TOPIC, patience)
        watchdog = Watchdog(PAYMENTS_TOPIC, reader, views, clock.elapsed_ms, lambda: _assigned(app))

        registry = CollectorRegistry()
        now_ms = lambda: clock.now().timestamp() * 1000  # noqa: E731
        registry.register(ProjectionMetrics("payments", projection.counts, watchdog, now_ms))
        address = host_and_port(settings.projection_worker_web)
        web = await serve(address, lambda: patience.waiting_for or watchdog.complaint, registry)
        stack.push_async_callback(web.cleanup)

        await patiently(lambda: catch_up(projection, reader, views))
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        log.info("projection worker runs", worker=settings.projection_consumer_name)
        await first_to_end(
            stop.wait(),
            app.wait_until_stopped(),
            watchdog.watch(),
            _give_up_when_stalled(watchdog, patience),
            _keep_partitions_ahead(database),
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("projection worker leaves", worker=settings.projection_consumer_name)


async def catch_up(projection: Projection, reader: LogReader, views: PaymentViews) -> None:
    """Take in what lies between the watermarks and the end of the log, whatever offsets the group has committed.

    A store that was emptied or restored is behind them, and Faust would bring nothing to fill the gap from. The last
    record of a partition is enough: all that is missing before it is fetched first.
    """
    marks = await views.watermarks()
    for partition, end in (await reader.end_offsets(PAYMENTS_TOPIC)).items():
        mark = marks.get((PAYMENTS_TOPIC, partition))
        if end > (mark.next_offset if mark else 0):
            await projection.absorb(await reader.read(PAYMENTS_TOPIC, partition, end - 1, end))


def _assigned(app: faust.App) -> list[int]:
    return [tp.partition for tp in app.consumer.assignment() if tp.topic == PAYMENTS_TOPIC]


async def _give_up_when_stalled(watchdog: Watchdog, patience: Patience) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        stalled = watchdog.stalled(GIVEN_UP_AFTER_MS)
        if stalled and watchdog.blind is None and patience.waiting_for is None:
            raise Stalled(f"partitions {stalled} do not move")


async def _keep_partitions_ahead(database: Database) -> None:
    while True:
        try:
            made = await make_month_partitions(database)
        except (StoreUnavailable, asyncpg.PostgresError) as error:  # there is the default partition
            log.warning("no partitions made ahead", reason=str(error))
            await asyncio.sleep(AN_HOUR_S)
        else:
            log.info("partitions are there", made=made)
            await asyncio.sleep(A_DAY_S)
