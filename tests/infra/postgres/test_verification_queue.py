"""Whether a claim costs the same behind any backlog, and never looks at more of a table than at what it takes."""

import re

import pytest

from infra.clock import SystemClock
from infra.postgres import queries, verification_queue
from infra.postgres.database import Database
from infra.postgres.payments import PROJECTION
from infra.postgres.verification_queue import LOOKED_AT_BEYOND, PostgresVerificationQueue
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import GatewayId
from schemas.verification import NO_GATEWAY
from tests.infra.postgres.backlog import due_payments, last_looks, owned_payments, told_payments

pytestmark = pytest.mark.integration

GUARD_MS = 750
WINDOW_MS = 20_000
BACKLOG = 100_000
FREE = 16
ALPHA = GatewayId("alpha")
A_STEP_EACH = 4
"""The index is also gone through from gateway to gateway; a plan shows what its loops found on average, rounded."""
PROJECTED_UNTIL_NOW = """
INSERT INTO watermarks (projection, version, topic, partition, last_stamp_ms) VALUES ($1, $2, $3, 0, now_ms())
"""
_sql = queries.load(verification_queue.SQL)


async def plan(database: Database, sql: str, *arguments: object) -> list[str]:
    async with database.transaction() as connection:
        await connection.execute(_sql.by_index)
        rows = await connection.fetch("EXPLAIN (ANALYZE) " + sql, *arguments)
    return [row[0] for row in rows]


async def plan_of_a_claim(database: Database) -> list[str]:
    ids = [f"clm_{number}" for number in range(FREE)]
    slots = [ALPHA, NO_GATEWAY], [FREE, FREE]
    arguments = *slots, GUARD_MS, WINDOW_MS, LOOKED_AT_BEYOND, ids, [FREE // 8, FREE // 8]
    return await plan(database, _sql.claim, *arguments)


def rows_read(lines: list[str], index: str) -> float:
    """What scans of this index found, in all their loops."""
    scans = [
        re.search(r"actual .*rows=([\d.]+) loops=(\d+)", line) for line in lines if f"using {index}" in line
    ]
    return sum(float(scan[1]) * int(scan[2]) for scan in scans if scan)


async def test_a_claim_reads_no_table_from_end_to_end_behind_a_hundred_thousand(database: Database) -> None:
    await due_payments(database, ALPHA, BACKLOG)
    await database.fetch("ANALYZE verifications", timeout_s=30)
    lines = await plan_of_a_claim(database)

    assert [line for line in lines if "Seq Scan" in line] == []
    assert FREE <= rows_read(lines, "verifications_due") <= FREE + LOOKED_AT_BEYOND + A_STEP_EACH


async def test_what_is_urgent_is_found_behind_a_hundred_thousand_last_looks(database: Database) -> None:
    await last_looks(database, ALPHA, BACKLOG)
    await due_payments(database, ALPHA, 1)
    await database.fetch("ANALYZE verifications", timeout_s=30)
    lines = await plan_of_a_claim(database)

    assert [line for line in lines if "Seq Scan" in line] == []
    assert rows_read(lines, "verifications_due") <= FREE + LOOKED_AT_BEYOND + 1 + A_STEP_EACH
    ((claimed,),) = await database.fetch("SELECT due_at_ms > now_ms() FROM verifications WHERE urgent")
    assert claimed


async def test_sorting_out_reads_no_table_from_end_to_end_behind_a_hundred_thousand(
    database: Database,
) -> None:
    await told_payments(database, ALPHA, BACKLOG)
    await database.fetch("ANALYZE notifications", timeout_s=30)
    lines = await plan(database, _sql.sort_out, 100, 1_000, GUARD_MS, *PROJECTION, PAYMENTS_TOPIC)

    assert [line for line in lines if "Seq Scan" in line] == []
    (scan,) = [line for line in lines if "notifications_to_look_at" in line]
    assert "rows=100 loops=1" in scan


async def test_messages_that_wait_are_not_read_by_the_way(database: Database) -> None:
    """Also before there are any statistics of them."""
    await told_payments(database, ALPHA, 1_000)
    await database.fetch("UPDATE notifications SET due_at_ms = now_ms() + 60000")
    lines = await plan(database, _sql.sort_out, 100, 1_000, GUARD_MS, *PROJECTION, PAYMENTS_TOPIC)

    assert not [line for line in lines if "Rows Removed" in line]
    assert rows_read(lines, "notifications_to_look_at") == 0


async def test_what_somebody_owns_is_looked_at_once_and_then_put_off(database: Database) -> None:
    """However many there are: a few claims get past them, and then they cost nothing until their owners end."""
    await owned_payments(database, ALPHA, 500)
    await due_payments(database, ALPHA, 10)
    queue = PostgresVerificationQueue(database, SystemClock(), GUARD_MS)
    claims = [await queue.claim({ALPHA: FREE}, WINDOW_MS) for _ in range(8)]

    assert sum(map(len, claims)) == 10
    ((left,),) = await database.fetch("SELECT count(*) FROM verifications WHERE due_at_ms <= now_ms()")
    assert left == 0


async def test_what_has_no_ownership_row_is_put_off_as_well(database: Database) -> None:
    await due_payments(database, ALPHA, 100)
    await database.fetch("DELETE FROM reservations")
    queue = PostgresVerificationQueue(database, SystemClock(), GUARD_MS)

    for _ in range(2):
        assert await queue.claim({ALPHA: FREE}, WINDOW_MS) == []
    ((left,),) = await database.fetch("SELECT count(*) FROM verifications WHERE due_at_ms <= now_ms()")
    assert left == 0


async def test_what_was_sorted_out_is_counted(database: Database) -> None:
    await told_payments(database, ALPHA, 30)
    await database.fetch(PROJECTED_UNTIL_NOW, *PROJECTION, PAYMENTS_TOPIC)
    queue = PostgresVerificationQueue(database, SystemClock(), GUARD_MS)
    await queue.claim({ALPHA: FREE}, WINDOW_MS)

    assert queue.sorted_out == {"unknown": 30}
