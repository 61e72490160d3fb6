"""`python -m streams projection_worker`: runs one worker until SIGTERM, or exits with 1 so that it is started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop

from infra.garbage import collect_rarely
from infra.settings import Settings
from infra.telemetry import configure_logging
from streams import (
    circuit_writer,
    experiment_analyzer,
    metrics_worker,
    payment_verifier,
    projection_worker,
)

log = structlog.get_logger(__name__)

WORKERS: dict[str, Callable[[Settings, asyncio.Event], Awaitable[None]]] = {
    "projection_worker": projection_worker.run,
    "payment_verifier": payment_verifier.run,
    "metrics_worker": metrics_worker.run,
    "circuit_writer": circuit_writer.run,
    "experiment_analyzer": experiment_analyzer.run,
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in WORKERS:
        raise SystemExit(f"usage: python -m streams {'|'.join(WORKERS)}")
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    collect_rarely()
    # The policy rather than a loop: Faust runs its consumer in a thread with a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with asyncio.Runner() as runner:
        return runner.run(_until_stopped(WORKERS[arguments[0]], settings))


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
