"""The audit in memory."""

from collections.abc import Sequence

from schemas.audit import AuditEntry, Place, place_of
from schemas.envelope import Position
from schemas.errors import StoreUnavailable
from schemas.views import Watermark


class MemoryAudit:
    def __init__(self) -> None:
        self.is_away = False
        self.kept: dict[Position, AuditEntry] = {}
        self.marks: dict[tuple[str, int], Watermark] = {}

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        self._answer()
        return dict(self.marks)

    async def keep(
        self, topic: str, partition: int, first: int, entries: Sequence[AuditEntry], reached: Watermark
    ) -> bool:
        self._answer()
        mark = self.marks.get((topic, partition))
        next_offset = mark.next_offset if mark is not None else 0
        if next_offset < first:
            return False
        if next_offset < reached.next_offset:
            self.kept |= {one.position: one for one in entries if one.position.offset >= next_offset}
            self.marks[topic, partition] = reached
        return True

    async def entries(
        self, aggregate: str | None, by: str | None, before: Place | None, limit: int
    ) -> list[AuditEntry]:
        self._answer()
        newest_first = sorted(self.kept.values(), key=place_of, reverse=True)
        wanted = [
            one
            for one in newest_first
            if aggregate in (None, one.aggregate)
            and (by in (None, one.by) or one.by.startswith(f"{by} for "))
            and (before is None or place_of(one) < before)
        ]
        return wanted[:limit]

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
