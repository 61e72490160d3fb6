"""The worker that keeps the payments read model in Postgres, by one agent over `payments.events.v1`, and the audit,
and keeps out of the vault who is forgotten."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.audit import PostgresAudit
from infra.postgres.customers import PostgresCustomers
from infra.postgres.database import Database
from infra.postgres.messages import forget_used
from infra.postgres.migrate import make_month_partitions
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.resources import product_database
from infra.settings import Settings, host_and_port
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.audit_keeper import AuditKeeper
from streams.consumption import Consumption
from streams.dead_letters import KafkaDeadLetters
from streams.forgetting import Forgetting
from streams.metrics import ProjectionMetrics
from streams.web import serve

log = structlog.get_logger(__name__)

A_DAY_S = 24 * 3600.0
AN_HOUR_S = 3600.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, worker = SystemClock(), settings.projection_consumer_name
    app = make_app(settings.kafka_bootstrap_servers, settings.projection_consumer_group, worker)
    async with AsyncExitStack() as stack:
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await patiently(lambda: product_database(settings, min_size=2, max_size=4))
        stack.push_async_callback(database.close)
        views = PaymentViews(database, partition_for)
        # A worker that starts before its topic would never hear of it.
        await patiently(lambda: reader.end_offsets(PAYMENTS_TOPIC))

        letters = KafkaDeadLetters(publisher, settings.projection_consumer_group)
        projection = Projection(PAYMENTS_TOPIC, PostgresPaymentSink(database), reader, letters, partition_for)
        audit = AuditKeeper(PostgresAudit(database), reader, KafkaDeadLetters(publisher, "audit"))
        forgetting = Forgetting(PostgresCustomers(database), reader, clock.elapsed_ms)
        consumption = Consumption(app, PAYMENTS_TOPIC, projection.absorb, reader, views, clock.elapsed_ms)

        registry = CollectorRegistry()
        registry.register(
            ProjectionMetrics("payments", projection.counts, consumption.watchdog, clock.now_ms)
        )
        address = host_and_port(settings.projection_worker_web)
        web = await serve(
            address, lambda: consumption.complaint or audit.trouble or forgetting.trouble, registry
        )
        stack.push_async_callback(web.cleanup)

        await consumption.catch_up()
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        log.info("projection worker runs", worker=worker)
        await first_to_end(
            stop.wait(),
            app.wait_until_stopped(),
            consumption.watch(),
            audit.run(),
            forgetting.run(),
            _keep_house(database),
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("projection worker leaves", worker=worker)


async def _keep_house(database: Database) -> None:
    while True:
        try:
            made = await make_month_partitions(database)
            forgotten = await forget_used(database)
        except (StoreUnavailable, asyncpg.PostgresError) as error:  # there is the default partition
            log.warning("the house was not kept", reason=str(error))
            await asyncio.sleep(AN_HOUR_S)
        else:
            log.info("the house is kept", partitions_made=made, messages_forgotten=forgotten)
            await asyncio.sleep(A_DAY_S)
