"""What verification has to do, claimed from the tables that the payments projection and the messages' consumer fill.

A claim reads the longest due rows of each gateway from an index, so it costs the same behind any backlog; and rows of
payments that somebody owns are put off until they can be claimed, so they are not in its way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import msgspec
import structlog

from infra.clock import SystemClock
from infra.last_looks import LastLooks
from infra.postgres import queries
from infra.postgres.database import Database
from infra.postgres.payments import PROJECTION
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Window
from schemas.ids import GatewayId
from schemas.reservation import Claimed
from schemas.verification import Received, Takeover

LOOKED_AT_BEYOND = 64
"""So many more due payments of a gateway, of either kind, than it has slots are looked at, because somebody may own the
first ones."""
SORTED_OUT_AT_ONCE = 1_000
"""Messages that a claim looks at first; most tell of an ordinary success that the log knows, and are used up."""
UNKNOWN_FOR_MS = 24 * 3_600_000
"""A message about a payment that the read model does not know waits for it so long, by what the read model has read."""

log = structlog.get_logger(__name__)

SQL = Path(__file__).with_suffix(".sql")
_SQL = queries.load(SQL)
_messages = msgspec.json.Decoder(tuple[Received, ...])


class PostgresVerificationQueue:
    """`database` is one that leads to the adopted Postgres only: a claim is a change of ownership."""

    def __init__(self, database: Database, clock: SystemClock, guard_ms: int) -> None:
        self._database = database
        self._clock = clock
        self._guard_ms = guard_ms
        self._last_looks = LastLooks()
        self.sorted_out: Counter[str] = Counter()
        """Messages since the process began: `old` ones told nothing new, `unknown` ones were given up, and `foreign`
        ones came from another gateway than their attempt's."""

    async def claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> Sequence[Takeover]:
        await self._sort_out()
        claim_ids = [self._clock.event_id().replace("evt_", "clm_") for _ in range(sum(slots.values()))]
        rows = await self._by_index(
            _SQL.claim,
            list(slots.keys()),
            list(slots.values()),
            self._guard_ms,
            window_ms,
            LOOKED_AT_BEYOND,
            claim_ids,
            list(self._last_looks.share(slots).values()),
        )
        return [_takeover(row) for row in rows]

    async def used(self, messages: Sequence[Received]) -> None:
        where = [message.position for message in messages]
        await self._database.fetch(
            _SQL.used,
            [position.topic for position in where],
            [position.partition for position in where],
            [position.offset for position in where],
        )

    async def _sort_out(self) -> None:
        rows = await self._by_index(
            _SQL.sort_out, SORTED_OUT_AT_ONCE, UNKNOWN_FOR_MS, self._guard_ms, *PROJECTION, PAYMENTS_TOPIC
        )
        verdicts = Counter(row["verdict"] for row in rows)
        self.sorted_out.update(
            {verdict: verdicts[verdict] for verdict in ("old", "unknown", "foreign") if verdicts[verdict]}
        )
        if verdicts["unknown"]:
            log.warning(
                "messages about payments that nobody knows were given up", how_many=verdicts["unknown"]
            )
        if verdicts["foreign"]:
            log.warning("gateways told of other gateways' attempts", how_many=verdicts["foreign"])

    async def _by_index(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL.by_index)
            records: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return records


def _takeover(row: asyncpg.Record) -> Takeover:
    return Takeover(
        payment_id=row["payment_id"],
        gateway=row["gateway"],
        claim=Claimed(
            epoch=row["epoch"],
            claim_id=row["claim_id"],
            window=Window(valid_from_ms=row["valid_from_ms"], valid_until_ms=row["valid_until_ms"]),
        ),
        messages=_messages.decode(row["messages"] or "[]"),
    )
