"""The worker that tells subscribers: events into deliveries, and deliveries to their endpoints, until they are taken.

Any number of them run side by side: the group divides the partitions, and leases divide the deliveries.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from commands.webhook_delivery import GIVEN_UP_AFTER_MS
from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import webhook_log
from infra.postgres.deliveries import PostgresDeliveries
from infra.resources import product_database
from infra.settings import Settings, host_and_port
from infra.webhooks.secrets import Secrets
from infra.webhooks.sender import WebhookSender
from infra.webhooks.targets import Targets, ThreadedResolver
from projections.webhook_intake import WebhookIntake
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC, RELIABILITY_TOPIC
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.consumption import Consumption
from streams.dead_letters import KafkaDeadLetters
from streams.metrics import ProjectionMetrics
from streams.web import serve
from streams.webhook_dispatch import Dispatch
from streams.webhook_house import keep_house
from streams.webhook_metrics import WebhookMetrics
from streams.webhook_subscriptions import HeardSubscriptions

log = structlog.get_logger(__name__)

TOPICS = (PAYMENTS_TOPIC, CIRCUITS_TOPIC, RELIABILITY_TOPIC)
LEAVES_WITHIN_S = 5.0
"""What is being sent may end; what has not by then is sent again when its lease has ended."""
NOT_WAITED_FOR = {"synchronous_commit": "off"}
"""No disk is waited for: what a server that loses its power forgets is the newest of it, deliveries together with their
watermarks, and is read and sent again."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, servers = SystemClock(), settings.kafka_bootstrap_servers
    app = make_app(servers, settings.webhook_consumer_group, settings.webhook_consumer_name)
    async with AsyncExitStack() as stack:
        reader = LogReader(servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await patiently(
            lambda: product_database(settings, min_size=2, max_size=6, server_settings=NOT_WAITED_FOR)
        )
        stack.push_async_callback(database.close)
        for topic in TOPICS:  # a worker that starts before a topic would never hear of it
            await patiently(partial(reader.end_offsets, topic))

        heard = HeardSubscriptions(
            clock.now_ms, lambda take: TopicTail(servers, CONFIGURATION_TOPIC, take, clock)
        )
        stack.push_async_callback(heard.stop)
        await heard.start()

        resolver = ThreadedResolver()
        stack.push_async_callback(resolver.close)
        sender = WebhookSender(Targets(settings.webhook_allowed_targets), resolver, clock)
        stack.push_async_callback(sender.close)
        store = PostgresDeliveries(database, GIVEN_UP_AFTER_MS)
        secrets = Secrets(settings.webhook_secret_keys)
        name = settings.webhook_consumer_name
        await patiently(partial(store.free, name))
        dispatch = Dispatch(name, store, heard, sender, secrets, webhook_log(publisher, clock), clock)

        letters = KafkaDeadLetters(publisher, settings.webhook_consumer_group)
        intakes = {
            topic: WebhookIntake(topic, store, reader, letters, heard, partition_for, stored=dispatch.wake)
            for topic in TOPICS
        }
        consumptions = {
            topic: Consumption(app, topic, intake.absorb, reader, store, clock.elapsed_ms)
            for topic, intake in intakes.items()
        }

        registry = CollectorRegistry()
        for topic, consumption in consumptions.items():
            name = f"webhooks_{topic.partition('.')[0]}"
            registry.register(
                ProjectionMetrics(name, intakes[topic].counts, consumption.watchdog, clock.now_ms)
            )
        metrics = WebhookMetrics(store.backlog, dispatch)
        registry.register(metrics)
        web = await serve(
            host_and_port(settings.webhook_dispatcher_web),
            lambda: next((one.complaint for one in consumptions.values() if one.complaint), dispatch.trouble),
            registry,
        )
        stack.push_async_callback(web.cleanup)

        for consumption in consumptions.values():
            await consumption.catch_up()
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        stack.push_async_callback(dispatch.drain, LEAVES_WITHIN_S)
        log.info("webhook dispatcher runs", worker=settings.webhook_consumer_name)
        await first_to_end(
            stop.wait(),
            app.wait_until_stopped(),
            *(consumption.watch() for consumption in consumptions.values()),
            dispatch.run(),
            metrics.watch(),
            keep_house(store, heard, clock.now_ms),
        )
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("webhook dispatcher leaves", worker=settings.webhook_consumer_name)
