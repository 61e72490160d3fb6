"""Where the records of a replay come from: a topic."""

from collections.abc import AsyncGenerator, Sequence

from infra.kafka.reader import LogReader
from infra.kafka.stretches import stretch
from projections.ports import RawRecord
from schemas.base import Value
from streams.replay.plan import Asked, Part, Plan, resolve


class Source(Value, frozen=True, kw_only=True):
    """It is sent to every process of a replay."""

    bootstrap_servers: str
    topic: str

    async def plan(self, asked: Asked) -> Plan:
        """Raises LogBroken, LogUnavailable."""
        reader = LogReader(self.bootstrap_servers)
        try:
            return await resolve(asked, reader)
        finally:
            await reader.stop()

    def batches(self, part: Part) -> AsyncGenerator[Sequence[RawRecord], None]:
        """All of the part in the order of offsets. Raises LogBroken, LogUnavailable."""
        return stretch(self.bootstrap_servers, self.topic, part.partition, part.start, part.stop)
