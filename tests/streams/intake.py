"""`python -m tests.streams.intake`: a process with nothing but the verifier's intake, as its worker composes it."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

import uvloop
from faust.contrib.asgi import faust_app_running
from prometheus_client import CollectorRegistry

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.settings import Settings, host_and_port
from infra.telemetry import configure_logging
from streams.agent import first_to_end, patiently
from streams.app import STOP_WITHIN_S, make_app
from streams.messages import intake
from streams.metrics import ProjectionMetrics
from streams.web import serve
from tests.waiting import ACKNOWLEDGED_WITHIN_MS


async def run(settings: Settings) -> None:
    stop, clock, servers = asyncio.Event(), SystemClock(), settings.kafka_bootstrap_servers
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = make_app(servers, settings.verifier_consumer_group, settings.verifier_consumer_name)
    async with AsyncExitStack() as stack:
        reader, publisher = LogReader(servers), Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        stack.push_async_callback(reader.stop)
        stack.push_async_callback(publisher.stop)
        await publisher.start()
        database = await patiently(lambda: Database.connect(settings.database_url))
        stack.push_async_callback(database.close)
        messages, consumption = await intake(app, settings, reader, publisher, database, clock.elapsed_ms)
        registry = CollectorRegistry()
        now_ms = lambda: clock.now().timestamp() * 1000  # noqa: E731
        registry.register(ProjectionMetrics("messages", messages.counts, consumption.watchdog, now_ms))
        address = host_and_port(settings.payment_verifier_web)
        web = await serve(address, lambda: consumption.complaint, registry)
        stack.push_async_callback(web.cleanup)
        await consumption.catch_up()
        await stack.enter_async_context(faust_app_running(app, stop_timeout=STOP_WITHIN_S))
        await first_to_end(stop.wait(), app.wait_until_stopped(), consumption.watch())
        if app.crash_reason is not None:
            raise app.crash_reason


if __name__ == "__main__":
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(asyncio.run(run(settings)))
