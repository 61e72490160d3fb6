"""Tells a person of consumers that do not move though the log grows; every API process sees them all, dead ones too."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from api import metrics
from api.lag import LagMonitor
from api.watch import repeating
from commands.alarm_writer import AlarmWriter
from schemas.errors import Unavailable

log = structlog.get_logger(__name__)


class Stalls:
    """Judges nothing while it is not known what stands."""

    def __init__(self, lag: LagMonitor, writer: AlarmWriter, knows_what_stands: Callable[[], bool]) -> None:
        self._lag = lag
        self._writer = writer
        self._knows_what_stands = knows_what_stands

    def watched(self) -> AbstractAsyncContextManager[None]:
        return repeating(self.look)

    async def look(self) -> None:
        if not self._knows_what_stands():
            return
        for alarm, how_many in self._writer.standing.items():
            metrics.ALARMS_STANDING.labels(alarm).set(how_many)
        try:
            for projection in self._lag.judgeable():
                await self._writer.judge(projection)
        except Unavailable as error:
            log.warning("alarms are not told", reason=str(error))
