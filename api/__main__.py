"""`python -m api`: the payment service."""

import os

import uvloop

from api.compose import services
from api.server import Server
from infra.garbage import collect_rarely
from infra.settings import Settings
from infra.telemetry import configure_logging


async def serve(settings: Settings) -> None:
    host, port = settings.bind
    async with services(settings) as parts:
        await Server(parts, host, port, settings.drain_timeout_s).serve()


def main() -> None:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    collect_rarely()
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
