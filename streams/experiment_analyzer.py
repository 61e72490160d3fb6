"""The worker that keeps experiments' figures in Postgres, pauses harmful treatments and concludes what is over.

Any number of them run side by side: the group divides the partitions, and one of them judges.
"""

import asyncio
from contextlib import AsyncExitStack

import structlog
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import experiment_log
from infra.postgres.experiments import PostgresExperiments
from infra.resources import product_database
from infra.settings import Settings, host_and_port
from projections.experiment_intake import ExperimentIntake
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.consumption import Consumption
from streams.dead_letters import KafkaDeadLetters
from streams.experiment_analysis import Analysis
from streams.experiment_metrics import ExperimentMetrics
from streams.heard_experiments import HeardExperiments
from streams.metrics import ProjectionMetrics
from streams.web import serve

log = structlog.get_logger(__name__)

GATHER_MS = 100
"""Experiments are judged once a second."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises what the worker crashed of."""
    clock, worker, servers = (
        SystemClock(),
        settings.experiment_consumer_name,
        settings.kafka_bootstrap_servers,
    )
    app = make_app(servers, settings.experiment_consumer_group, worker, gather_ms=GATHER_MS)
    async with AsyncExitStack() as stack:
        reader = LogReader(servers)
        stack.push_async_callback(reader.stop)
        publisher = Publisher(servers, settings.acknowledgement_timeout_ms)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        database = await patiently(lambda: product_database(settings, min_size=1, max_size=4))
        stack.push_async_callback(database.close)
        # A worker that starts before its topic would never hear of it.
        await patiently(lambda: reader.end_offsets(PAYMENTS_TOPIC))

        store = PostgresExperiments(database)
        heard = HeardExperiments(
            lambda take: TopicTail(servers, EXPERIMENTS_TOPIC, take, clock),
            lambda: reader.end_offset(EXPERIMENTS_TOPIC, 0),
        )
        stack.push_async_callback(heard.stop)
        await heard.start()
        letters = KafkaDeadLetters(publisher, settings.experiment_consumer_group)
        intake = ExperimentIntake(PAYMENTS_TOPIC, store, reader, letters, partition_for)
        consumption = Consumption(app, PAYMENTS_TOPIC, intake.absorb, reader, store, clock.elapsed_ms)
        analysis = Analysis(
            store,
            heard,
            experiment_log(publisher, clock),
            lambda: reader.end_offsets(PAYMENTS_TOPIC),
            clock,
            settings.guardrails,
        )

        registry = CollectorRegistry()
        registry.register(ProjectionMetrics("experiments", intake.counts, consumption.watchdog, clock.now_ms))
        registry.register(ExperimentMetrics(analysis, clock.now))
        web = await serve(
            host_and_port(settings.experiment_analyzer_web),
            lambda: consumption.complaint or analysis.trouble,
            registry,
        )
        stack.push_async_callback(web.cleanup)

        await consumption.catch_up()
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        log.info("experiment analyzer runs", worker=worker)
        await first_to_end(stop.wait(), app.wait_until_stopped(), consumption.watch(), analysis.run())
        if app.crash_reason is not None:
            raise app.crash_reason
        log.info("experiment analyzer leaves", worker=worker)
