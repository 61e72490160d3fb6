"""Rows put straight into the tables of verification, as many as it takes to see what they cost."""

from itertools import count

from infra.postgres.database import Database
from schemas.ids import GatewayId

_numbers = count(1)

RESERVATIONS = """
INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, owned_until_ms)
SELECT 'merchant', $1 || number, 'fingerprint', $1 || number, now_ms() + $2::bigint
FROM generate_series(1, $3::int) AS number
"""
VERIFICATIONS = """
INSERT INTO verifications (payment_id, merchant_id, key_hash, gateway, due_at_ms, urgent)
SELECT $1 || number, 'merchant', $1 || number, $2, now_ms() - 1000 - number, $4
FROM generate_series(1, $3::int) AS number
"""
NOTIFICATIONS = """
INSERT INTO notifications (
    topic, partition, "offset", stamp_ms, payment_id, attempt_id, gateway, event_id, told, message, due_at_ms
)
SELECT 'topic', $4, number, 0, $1 || number, 'attempt', $2, $1 || number, 'look', '{}', number
FROM generate_series(1, $3::int) AS number
"""
AN_HOUR_MS = 3_600_000


async def due_payments(database: Database, gateway: GatewayId, how_many: int) -> None:
    """That nobody owns any more."""
    await _payments(database, gateway, how_many, -AN_HOUR_MS)


async def last_looks(database: Database, gateway: GatewayId, how_many: int) -> None:
    """At payments that nobody owns any more."""
    await _payments(database, gateway, how_many, -AN_HOUR_MS, urgent=False)


async def owned_payments(database: Database, gateway: GatewayId, how_many: int) -> None:
    """That are due, too, and that somebody still owns."""
    await _payments(database, gateway, how_many, AN_HOUR_MS)


async def _payments(
    database: Database, gateway: GatewayId, how_many: int, owned_for_ms: int, *, urgent: bool = True
) -> None:
    prefix = f"pay_{next(_numbers)}_"
    await database.fetch(RESERVATIONS, prefix, owned_for_ms, how_many, timeout_s=60)
    await database.fetch(VERIFICATIONS, prefix, gateway, how_many, urgent, timeout_s=60)


async def told_payments(database: Database, gateway: GatewayId, how_many: int) -> None:
    """Messages of long ago, about payments that nobody knows."""
    number = next(_numbers)
    await database.fetch(NOTIFICATIONS, f"pay_{number}_", gateway, how_many, number, timeout_s=60)
