"""`python -m api`: the payment service."""

import os

import structlog
import uvloop

from api.compose import services
from api.server import Server
from infra.garbage import collect_rarely
from infra.settings import Settings
from infra.telemetry import configure_logging

log = structlog.get_logger(__name__)


async def serve(settings: Settings) -> None:
    host, port = settings.bind
    async with services(settings) as parts:
        await Server(parts, host, port, settings.drain_timeout_s).serve()


def warn_of_no_proxies(settings: Settings) -> None:
    if settings.app_env == "production" and not settings.trusted_proxies:
        log.warning(
            "TRUSTED_PROXIES is empty: behind a proxy all clients are one, with one limit of rate and connections",
            setting="TRUSTED_PROXIES",
        )


def main() -> None:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    warn_of_no_proxies(settings)
    collect_rarely()
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
