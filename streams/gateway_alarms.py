"""Tells a person of gateways that succeed less often, or answer more slowly, than they used to."""

import asyncio
from collections.abc import Callable

import structlog

from commands.alarm_writer import AlarmWriter
from commands.standing_alarms import JudgeGateways
from infra.clock import SystemClock
from schemas.errors import Unavailable
from streams.metrics_publisher import MetricsPublisher

log = structlog.get_logger(__name__)

JUDGE_EVERY_S = 5.0


class GatewayAlarms:
    """Whoever publishes has the figures of all; the others have none, and judge nothing."""

    def __init__(
        self,
        publications: MetricsPublisher,
        writer: AlarmWriter,
        knows_what_stands: Callable[[], bool],
        clock: SystemClock,
    ) -> None:
        self._publications = publications
        self._writer = writer
        self._knows_what_stands = knows_what_stands
        self._clock = clock

    async def run(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(JUDGE_EVERY_S)
            await self.look()

    async def look(self) -> None:
        if (health := self._publications.take_health()) is None or not self._knows_what_stands():
            return
        try:
            await self._writer.judge(JudgeGateways(at=self._clock.now(), health=health))
        except Unavailable as error:
            log.warning("alarms are not told", reason=str(error))
