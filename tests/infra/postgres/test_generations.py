"""A generation has all that the live tables have; the switch waits for nobody for long, and changes all or nothing."""

import asyncio
from collections.abc import Mapping

import asyncpg
import pytest

from infra.postgres.database import Database
from infra.postgres.generations import (
    NEXT,
    PREVIOUS,
    AnotherAtIt,
    AnotherDefinition,
    SwitchPutOff,
    generations,
)
from infra.postgres.migrate import make_month_partitions

pytestmark = pytest.mark.integration

WITHIN_S = 30.0

DEFINITION = """
SELECT c.relname, c.relkind::text, pg_get_expr(c.relpartbound, c.oid) AS bound, c.reloptions::text,
    (SELECT string_agg(a.attname || a.attgenerated::text, ', ' ORDER BY a.attname) FROM pg_attribute AS a
     WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '^(payments|attempts|routing_decisions)'
    AND (c.relkind IN ('r', 'p') OR c.relkind = 'I')
ORDER BY 1
"""
LEANING = """
SELECT t.relid::regclass::text
FROM pg_partition_tree($1::regclass) AS t
WHERE EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND t.relid IN (conrelid, confrelid))
    OR EXISTS (SELECT FROM pg_depend AS d WHERE d.refobjid = t.relid AND d.classid = 'pg_rewrite'::regclass)
"""


async def at_once(_: Mapping[int, int]) -> None:
    """There is nothing to take in."""


async def test_what_was_switched_to_has_the_names_bounds_and_options_of_what_was_there(
    url: str, database: Database
) -> None:
    before = await database.fetch(DEFINITION)
    async with generations(url) as known:
        async with known.beside(NEXT):
            await known.switch(NEXT, at_once, WITHIN_S)
        assert await known.standing() == {PREVIOUS}
    assert await database.fetch(DEFINITION) == before


async def test_partitions_that_came_meanwhile_come_to_the_generation_too(
    url: str, database: Database
) -> None:
    async with generations(url) as known, known.beside(NEXT):
        await database.fetch("SELECT make_month_partitions(8)")
        before = await database.fetch(DEFINITION)
        await known.switch(NEXT, at_once, WITHIN_S)
        assert await database.fetch(DEFINITION) == before
        assert await make_month_partitions(database) == 0


async def test_no_view_and_no_foreign_key_leans_on_the_tables(database: Database) -> None:
    """It would go on with the old ones after a switch."""
    for table in ("payments", "attempts", "routing_decisions"):
        assert await database.fetch(LEANING, table) == []
    await database.fetch("CREATE VIEW paid AS SELECT payment_id FROM payments WHERE status = 'SUCCESS'")
    assert len(await database.fetch(LEANING, "payments")) == 1


async def test_a_reader_that_does_not_end_puts_the_switch_off_and_holds_nobody_up(
    url: str, database: Database
) -> None:
    async with generations(url) as known, known.beside(NEXT):
        before = await database.fetch("SELECT 'payments'::regclass::oid")
        reader = await asyncpg.connect(url)
        async with reader.transaction():
            await reader.fetch("SELECT * FROM payments")
            with pytest.raises(SwitchPutOff):
                await known.switch(NEXT, at_once, WITHIN_S)
            await database.fetch("SELECT * FROM payments")
        await reader.close()
        assert await database.fetch("SELECT 'payments'::regclass::oid") == before
        await known.switch(NEXT, at_once, WITHIN_S)
        assert await database.fetch("SELECT 'payments'::regclass::oid") != before


async def test_a_prepared_statement_reads_the_new_rows_from_the_switch_on(url: str) -> None:
    reader = await asyncpg.connect(url)
    statement = await reader.prepare("SELECT to_json(p)::text FROM payments AS p WHERE payment_id = $1")
    for _ in range(10):  # long enough for a generic plan
        assert await statement.fetch("pay_1") == []
    async with generations(url) as known, known.beside(NEXT) as generation:
        await generation.database.fetch(
            "INSERT INTO payments (payment_id, status, sequence, epoch, created_at, updated_at, attempts,"
            " owned_until_ms, handed_over, offsets) VALUES ('pay_1', 'SUCCESS', 1, 1, now(), now(), 0, 0, false, '{}')"
        )
        assert await statement.fetch("pay_1") == []
        await known.switch(NEXT, at_once, WITHIN_S)
        assert len(await statement.fetch("pay_1")) == 1
    await reader.close()


async def test_what_cannot_be_finished_in_time_or_must_not_be_changes_nothing(
    url: str, database: Database
) -> None:
    class Not(Exception):
        pass

    async def slowly(_: Mapping[int, int]) -> None:
        await asyncio.sleep(5)

    async def refusing(_: Mapping[int, int]) -> None:
        raise Not

    async with generations(url) as known, known.beside(NEXT):
        before = await database.fetch("SELECT 'payments'::regclass::oid")
        with pytest.raises(SwitchPutOff):
            await known.switch(NEXT, slowly, 0.1)
        with pytest.raises(Not):
            await known.switch(NEXT, refusing, WITHIN_S)
        assert await database.fetch("SELECT 'payments'::regclass::oid") == before
        assert await known.standing() == {NEXT}


async def test_the_generation_cannot_touch_what_is_not_of_it(url: str) -> None:
    async with generations(url) as known, known.beside(NEXT) as generation:
        connection = await asyncpg.connect(url, server_settings={"search_path": generation.name})
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("DELETE FROM verifications")
        await connection.close()


async def test_a_generation_of_another_definition_is_refused(url: str, database: Database) -> None:
    async with generations(url) as known, known.beside(NEXT):
        await database.fetch("ALTER TABLE payments ALTER COLUMN latency_ms SET NOT NULL")
        with pytest.raises(AnotherDefinition):
            await known.switch(NEXT, at_once, WITHIN_S)


async def test_one_process_at_a_time(url: str) -> None:
    async with generations(url):
        with pytest.raises(AnotherAtIt):
            async with generations(url):
                pass
    async with generations(url):
        pass
