"""The worker that keeps hot metrics in Redis and publishes them: one agent over the payments' events.

Redis holds what it knows, so it waits for Redis; Postgres only holds checkpoints, and its absence stops nothing: where
Redis has forgotten everything, too, the last hour of the log is read.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

import asyncpg
import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from commands.alarm_writer import AlarmWriter
from infra.clock import SystemClock
from infra.kafka.alarms import KafkaAlarms
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.postgres.metrics import PostgresMetricsCheckpoints
from infra.redis.connection import connect
from infra.redis.publications import RedisPublications
from infra.redis.shards import RedisShards
from infra.resources import product_database
from infra.settings import Settings, host_and_port
from projections.hot_metrics import HotMetrics
from schemas.codec import RELIABILITY_TOPIC
from schemas.errors import StoreUnavailable
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.consumption import Consumption, assigned
from streams.dead_letters import KafkaDeadLetters
from streams.gateway_alarms import GatewayAlarms
from streams.hot_metrics_metrics import HotMetricsMetrics
from streams.metrics import ProjectionMetrics
from streams.metrics_publisher import MetricsPublisher
from streams.web import serve

log = structlog.get_logger(__name__)

GATHER_MS = 50
"""Less than a publication takes to come round."""
TEND_EVERY_S = 0.5
TO_THE_END_EVERY = 10
"""Times that partitions are tended: then their ends are looked at, for what Faust may have begun behind."""
CHECKPOINT_EVERY_S = 5.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, worker, topic = SystemClock(), settings.metrics_consumer_name, settings.metrics_stream_key
    # What lies before is read by offset, from the watermarks on, and no more of it than the windows need.
    app = make_app(
        settings.kafka_bootstrap_servers,
        settings.metrics_stream_group,
        worker,
        begin="latest",
        gather_ms=GATHER_MS,
    )
    async with AsyncExitStack() as stack:
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await product_database(settings, min_size=0, max_size=2)
        stack.push_async_callback(database.close)
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        # A worker that starts before its topic would never hear of it.
        await patiently(lambda: reader.end_offsets(topic))

        shards = RedisShards(redis, topic, PAYMENT_PARTITIONS)
        metrics = HotMetrics(
            topic,
            shards,
            PostgresMetricsCheckpoints(database, topic),
            reader,
            KafkaDeadLetters(publisher, settings.metrics_stream_group),
            clock.now_ms,
            log.warning,
        )
        consumption = Consumption(app, topic, metrics.absorb, reader, shards, clock.elapsed_ms)
        publications = MetricsPublisher(
            worker,
            metrics,
            shards,
            RedisPublications(redis),
            clock,
            PAYMENT_PARTITIONS,
            partial(reader.end_offsets, topic),
        )

        writer = AlarmWriter(KafkaAlarms(publisher, clock))
        tail = TopicTail(settings.kafka_bootstrap_servers, RELIABILITY_TOPIC, writer.take, clock)
        stack.push_async_callback(tail.stop)
        await tail.start(within_s=0)

        registry = CollectorRegistry()
        registry.register(ProjectionMetrics("metrics", metrics.counts, consumption.watchdog, clock.now_ms))
        registry.register(HotMetricsMetrics(metrics, publications.counts))
        web = await serve(
            host_and_port(settings.metrics_worker_web),
            lambda: consumption.complaint or publications.complaint,
            registry,
        )
        stack.push_async_callback(web.cleanup)

        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        log.info("metrics worker runs", worker=worker)
        await first_to_end(
            stop.wait(),
            app.wait_until_stopped(),
            consumption.watch(),
            tend(metrics, lambda: assigned(app, topic)),
            _keep_checkpoints(metrics),
            publications.run(),
            GatewayAlarms(publications, writer, lambda: tail.is_current, clock).run(),
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("metrics worker leaves", worker=worker)


async def tend(metrics: HotMetrics, assigned: Callable[[], Collection[int]]) -> None:
    """The group may have committed more than Redis knows, or Redis may forget while nothing is appended.

    Each partition has a task and a patience of its own: one that fails, or reads an hour of the log, must not keep
    others from being tended again."""
    async with asyncio.TaskGroup() as group:
        tending: dict[int, asyncio.Task[None]] = {}
        for turn in count():
            if turn % TO_THE_END_EVERY == 0:
                metrics.look_for_more()
            if partitions := assigned():  # none in the middle of a rebalance: nothing to let go of
                metrics.keep(partitions)
                for partition in tending.keys() - set(partitions):
                    tending.pop(partition).cancel()
                for partition in partitions:
                    if partition not in tending or tending[partition].done():
                        duty = patiently(partial(metrics.tend, partition))
                        tending[partition] = group.create_task(duty)
            await asyncio.sleep(TEND_EVERY_S)


async def _keep_checkpoints(metrics: HotMetrics) -> None:
    while True:
        await asyncio.sleep(CHECKPOINT_EVERY_S)
        try:
            await metrics.checkpoint()
        except (StoreUnavailable, asyncpg.PostgresError) as error:  # the tail that is read would be longer
            log.warning("no checkpoint", reason=str(error))
