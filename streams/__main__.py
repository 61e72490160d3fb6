"""`python -m streams projection_worker`: runs one worker until SIGTERM, or exits with 1 so that it is started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module

import structlog
import uvloop

from infra.garbage import collect_rarely
from infra.settings import Settings
from infra.telemetry import configure_logging

log = structlog.get_logger(__name__)

WORKERS = (
    "projection_worker",
    "payment_verifier",
    "metrics_worker",
    "circuit_writer",
    "experiment_analyzer",
    "webhook_dispatcher",
)
"""Modules of this package. A process imports its own only: the statistics of experiments are 45 MiB by themselves."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in WORKERS:
        raise SystemExit(f"usage: python -m streams {'|'.join(WORKERS)}")
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    collect_rarely()
    # The policy rather than a loop: Faust runs its consumer in a thread with a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with asyncio.Runner() as runner:
        return runner.run(_until_stopped(import_module(f"streams.{arguments[0]}").run, settings))


async def _until_stopped(
    worker: Callable[[Settings, asyncio.Event], Awaitable[None]], settings: Settings
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await worker(settings, stop)
    except Exception:
        log.exception("worker crashed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
