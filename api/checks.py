"""What this service's dependencies must prove, each by asking the dependency itself."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from api.ports import EndOffsets, Proof, Tail, Watermarks
from schemas.codec import PAYMENTS_TOPIC
from schemas.views import Watermark

CAUGHT_UP_WITHIN = 5_000
"""Records of one partition: as many as a read still folds on top of the projection."""


class Log(Protocol):
    @property
    def is_available(self) -> bool: ...


class LogReader(Protocol):
    async def end_offset(self, topic: str, partition: int) -> int: ...


class Database(Protocol):
    async def fetch(self, sql: str) -> object: ...


class Pingable(Protocol):
    def ping(self) -> Awaitable[object]: ...


class Admission(Protocol):
    detail: str

    @property
    def is_open(self) -> bool: ...


class LogCheck:
    """The producer is open, and the brokers tell where the log ends."""

    def __init__(self, log: Log, reader: LogReader) -> None:
        self._log = log
        self._reader = reader

    async def check(self) -> Proof:
        if not self._log.is_available:
            return Proof(ok=False, detail="not open for appends")
        await self._reader.end_offset(PAYMENTS_TOPIC, 0)
        return Proof(ok=True, detail="open for appends")


class StoreCheck:
    """It answers, and has the table without which nobody is admitted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> Proof:
        await self._database.fetch("SELECT FROM reservations LIMIT 0")
        return Proof(ok=True, detail="answers")


class RedisCheck:
    """Optional: payments go on without it."""

    def __init__(self, redis: Pingable) -> None:
        self._redis = redis

    async def check(self) -> Proof:
        await self._redis.ping()
        return Proof(ok=True, detail="answers")


class RateLimits(Protocol):
    @property
    def are_shared(self) -> bool: ...


class RateLimitCheck:
    """Optional: without Redis each process limits for itself, and a client has one limit at each of them."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    async def check(self) -> Proof:
        shared = self._limits.are_shared
        return Proof(
            ok=shared, detail="counted by all processes" if shared else "counted by this process alone"
        )


class KeyFile(Protocol):
    @property
    def trouble(self) -> str | None: ...


class KeysCheck:
    """Optional: with a file that cannot be read any more, the keys that were valid before it are."""

    def __init__(self, files: Sequence[KeyFile]) -> None:
        self._files = files

    async def check(self) -> Proof:
        troubles = [file.trouble for file in self._files if file.trouble is not None]
        return Proof(ok=not troubles, detail="; ".join(troubles) or "as their files have them")


class ProjectionCheck:
    """Whether every partition's projection is near enough to the end of the log for reads to be served."""

    def __init__(self, ends: EndOffsets, watermarks: Watermarks) -> None:
        self._ends = ends
        self._watermarks = watermarks

    async def check(self) -> Proof:
        marks = await self._watermarks()
        ends = await self._ends(PAYMENTS_TOPIC)
        behind = max((end - _reached(marks, partition) for partition, end in ends.items()), default=0)
        if any(_reached(marks, partition) > end for partition, end in ends.items()):
            return Proof(
                ok=False, detail="the log is shorter than what was projected from it: records were lost"
            )
        return Proof(
            ok=behind <= CAUGHT_UP_WITHIN, detail=f"{max(0, behind)} records behind where it is most"
        )


def _reached(marks: Mapping[tuple[str, int], Watermark], partition: int) -> int:
    mark = marks.get((PAYMENTS_TOPIC, partition))
    return mark.next_offset if mark else 0


class AdmissionCheck:
    """Whether Postgres is the one whose reservations are known to be complete."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def check(self) -> Proof:
        return Proof(ok=self._admission.is_open, detail=self._admission.detail)


class FactsCheck:
    """Optional: payments go on with the last facts."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail

    async def check(self) -> Proof:
        if self._tail.is_current:
            return Proof(ok=True, detail="known to the end")
        why = f": {self._tail.trouble}" if self._tail.trouble else ""
        return Proof(ok=False, detail=f"not known to be complete for {self._tail.behind_s:.0f} s{why}")
