"""Where the records of a replay come from: a topic, or the files of an export and then the topic."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from infra.kafka.reader import LogReader
from infra.kafka.stretches import Record, stretch
from schemas.base import Value
from schemas.errors import LogBroken
from streams.replay.plan import Asked, Log, Part, Plan, Seam, resolve


class Source(Value, frozen=True, kw_only=True):
    """It is sent to every process of a replay."""

    bootstrap_servers: str
    topic: str
    cold: str | None = None
    """The folder of an export, which has what the topic may have lost."""

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """What plans are made by. Raises LogBroken, LogUnavailable."""
        reader = LogReader(self.bootstrap_servers)
        try:
            if self.cold is None:
                yield reader
                return
            from streams.replay.cold import Cold, ColdThenTopic  # only here Arrow is needed

            yield ColdThenTopic(Cold(Path(self.cold), self.topic), reader)
        finally:
            await reader.stop()

    async def plan(self, asked: Asked) -> Plan:
        """Raises LogBroken, LogUnavailable."""
        async with self.log() as log:
            plan = await resolve(asked, log)
        return replace(plan, seams=await self.seams([part.partition for part in plan.parts]))

    async def seams(self, partitions: Iterable[int]) -> tuple[Seam, ...]:
        """As a plan has them. Raises LogBroken, LogUnavailable."""
        if self.cold is None:
            return ()
        from streams.replay.cold import Cold, seams

        reader = LogReader(self.bootstrap_servers)
        try:
            return await seams(Cold(Path(self.cold), self.topic), reader, partitions)
        finally:
            await reader.stop()

    async def batches(self, part: Part) -> AsyncGenerator[Sequence[Record], None]:
        """All of the part in the order of offsets. Raises LogBroken, LogUnavailable."""
        reached = part.start
        if self.cold is not None:
            from streams.replay.cold import Cold

            for records in Cold(Path(self.cold), self.topic).batches(part):
                if records[0].offset != reached:
                    raise LogBroken(
                        f"{self.topic}-{part.partition}: offset {reached} is in no file of {self.cold}, "
                        f"which begins at {records[0].offset}"
                    )
                yield records
                reached = records[-1].offset + 1
        if reached < part.stop:
            async with aclosing(
                stretch(self.bootstrap_servers, self.topic, part.partition, reached, part.stop)
            ) as found:
                async for fetched in found:
                    yield fetched
