"""Whether a page of the audit costs the same behind any number of entries."""

import re
from pathlib import Path

import pytest

from infra.postgres import audit, queries
from infra.postgres.database import Database

pytestmark = pytest.mark.integration

OTHERS = 50_000
PAGE = 10
OF_MANY = """
INSERT INTO audit_entries (topic, partition, record_offset, stamp_ms, aggregate, what, said_by, note, request_id)
SELECT 'configuration.events.v1', 0, n, n, 'scoring', 'ScoringWeightsSet',
       CASE WHEN n > 20 THEN 'key:bot' WHEN n % 2 = 0 THEN 'key:asha' ELSE 'key:asha for ravi' END, '', 'req_1'
FROM generate_series(1, $1::bigint) AS n
"""
_sql = queries.load(Path(audit.__file__).with_suffix(".sql"))


async def test_what_somebody_did_long_ago_is_found_behind_all_that_others_have_done_since(
    database: Database,
) -> None:
    await database.fetch(OF_MANY, OTHERS, timeout_s=30)
    await database.fetch("ANALYZE audit_entries", timeout_s=30)
    arguments = 2**62, "", 0, 0, PAGE, "key:asha"
    rows = await database.fetch("EXPLAIN (ANALYZE) " + _sql.of_person, *arguments)
    lines = [row[0] for row in rows]

    (scan,) = (line for line in lines if "Scan" in line)
    assert "using audit_entries_of_signer" in scan, lines
    assert [line for line in lines if "Sort" in line] == []
    read = re.search(r"actual .*rows=([\d.]+) loops=1", scan)
    assert read is not None
    assert float(read[1]) == PAGE
    found = await database.fetch(_sql.of_person, *arguments)
    assert [row["record_offset"] for row in found] == list(range(20, 20 - PAGE, -1))
