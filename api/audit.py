"""`GET /audit`: who has changed what, when, why and by which request, and what stood there before; the newest first."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers, paging
from api.admin import Admin
from api.answers import json_response
from api.errors import Fault, Rejected
from schemas.audit import AuditEntry, Place, Said, place_of
from schemas.base import Value
from schemas.envelope import Position
from schemas.views import Watermark

USUAL_WAIT_S = 1.0
"""The audit is a few tenths of a second behind the log."""
_POLL_S = 0.05
_LONGEST_FILTER = 200
_CURSOR = re.compile(r"([0-9]{1,15})-([a-z0-9.]{1,64})-([0-9]{1,3}):([0-9]{1,18})", re.ASCII)


class Audit(Protocol):
    """Raises StoreUnavailable."""

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...

    async def entries(
        self, aggregate: str | None, by: str | None, before: Place | None, limit: int
    ) -> Sequence[AuditEntry]: ...


class EntryAnswer(Value, frozen=True, kw_only=True):
    at: datetime
    what: str
    aggregate: str
    by: str
    note: str
    request_id: str
    source: str
    """The record that it is made of: topic-partition:offset."""
    before: Said | None
    after: Said | None


class AuditAnswer(Value, frozen=True, kw_only=True):
    """`next` is the `after` of the next page; None at the end."""

    entries: tuple[EntryAnswer, ...]
    next: str | None
    current: bool
    """Whether everything is in it that this process has heard of."""


class AuditRoutes:
    """`heard` tells, of topics of one partition, the offset after the last record that this process has taken."""

    def __init__(self, admin: Admin, audit: Audit, heard: Callable[[], Mapping[str, int]]) -> None:
        self._admin = admin
        self._audit = audit
        self._heard = heard

    def routes(self) -> list[Route]:
        return [Route("/audit", self._admin.only(self.page, "read"), methods=["GET"])]

    async def page(self, request: Request) -> Response:
        limit, place = paging.limit(request), _place(request)
        aggregate, by = _filter(request, "aggregate"), _filter(request, "by")
        wait_s = headers.wait_s(request)
        current = await self._is_current(USUAL_WAIT_S if wait_s is None else wait_s)
        found = await self._audit.entries(aggregate, by, place, limit + 1)
        shown = found[:limit]
        answered = {} if wait_s is None else {"Preference-Applied": f"wait={wait_s}"}
        return json_response(
            AuditAnswer(
                entries=tuple(_answer(entry) for entry in shown),
                next=_cursor(place_of(shown[-1])) if len(found) > limit else None,
                current=current,
            ),
            200,
            answered,
        )

    async def _is_current(self, wait_s: float) -> bool:
        """What somebody has changed through this process is in it; bounded by the wait."""
        heard = self._heard()
        for _ in range(round(wait_s / _POLL_S)):
            if await self._has(heard):
                return True
            await asyncio.sleep(_POLL_S)
        return await self._has(heard)

    async def _has(self, heard: Mapping[str, int]) -> bool:
        marks = await self._audit.watermarks()
        kept = {topic: mark.next_offset for (topic, _), mark in marks.items()}
        return all(kept.get(topic, 0) >= next_offset for topic, next_offset in heard.items())


def _answer(entry: AuditEntry) -> EntryAnswer:
    return EntryAnswer(
        at=datetime.fromtimestamp(entry.stamp_ms / 1000, UTC),
        what=entry.what,
        aggregate=entry.aggregate,
        by=entry.by,
        note=entry.note,
        request_id=entry.request_id,
        source=headers.consistency_token(entry.position),
        before=entry.before,
        after=entry.after,
    )


def _filter(request: Request, name: str) -> str | None:
    text = request.query_params.get(name)
    if text is not None and not (1 <= len(text) <= _LONGEST_FILTER and text.isprintable()):
        raise Rejected(Fault.MALFORMED_QUERY, f"{name} is 1 to {_LONGEST_FILTER} printable characters.")
    return text


def _cursor(place: Place) -> str:
    stamp_ms, position = place
    return f"{stamp_ms}-{headers.consistency_token(position)}"


def _place(request: Request) -> Place | None:
    text = request.query_params.get("after")
    if text is None:
        return None
    if (match := _CURSOR.fullmatch(text)) is None:
        raise Rejected(Fault.MALFORMED_QUERY, "after is the next of the page before.")
    position = Position(topic=match[2], partition=int(match[3]), offset=int(match[4]))
    return int(match[1]), position
