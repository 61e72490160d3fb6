"""What a person would have been told, in memory."""

from infra.memory.log import MemoryLog
from schemas.errors import LogUnavailable
from schemas.reliability import ReliabilityEvent


class MemoryAlarms:
    """On the same broker as the log, and away with it."""

    def __init__(self, log: MemoryLog) -> None:
        self.raised: list[ReliabilityEvent] = []
        self._log = log

    async def publish(self, alarm: ReliabilityEvent) -> None:
        if not self._log.is_available:
            raise LogUnavailable("the log is away")
        self.raised.append(alarm)
