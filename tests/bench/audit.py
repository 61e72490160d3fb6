"""After a benchmark: is every acknowledged payment on the topic, in the read model, and charged exactly once?"""

from collections import Counter
from collections.abc import Mapping, Sequence

import asyncpg
from msgspec import Struct

from schemas.payment import PaymentSucceeded
from tests.product import NOTHING_BEFORE, Client, Product, read_topic


class Audit(Struct, frozen=True, kw_only=True):
    acknowledged: int
    lost: int
    """Acknowledged, and not on the topic, not in the read model, or not charged as told."""
    doubled: int
    """Charged more than once, or succeeded more than once on the topic."""
    other_answers: int

    @property
    def is_clean(self) -> bool:
        return self.lost == self.doubled == 0


async def audit(
    product: Product,
    client: Client,
    answers: Sequence[tuple[int, str]],
    since: Mapping[int, int] = NOTHING_BEFORE,
) -> Audit:
    """`since` are the offsets of the topic before which nothing of it lies."""
    told = {payment_id for status, payment_id in answers if status == 201}
    topic = await read_topic(product.stack, since)
    succeeded = {
        payment_id: sum(isinstance(r.event, PaymentSucceeded) and not r.is_void for r in records)
        for payment_id, records in topic.items()
    }
    charged = Counter(
        "pay_" + charge["reference"][4:30]
        for charge in await client.ledger()
        if charge["status"] == "captured"
    )
    connection = await asyncpg.connect(product.stack.env["DATABASE_URL"])
    try:
        rows = await connection.fetch("SELECT payment_id FROM payments WHERE status = 'SUCCESS'")
    finally:
        await connection.close()
    projected = {row["payment_id"] for row in rows}
    return Audit(
        acknowledged=len(told),
        lost=sum(not (succeeded.get(p) and charged[p] and p in projected) for p in told),
        doubled=sum(count > 1 for count in charged.values()) + sum(n > 1 for n in succeeded.values()),
        other_answers=sum(status != 201 for status, _ in answers),
    )
