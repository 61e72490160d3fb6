"""What verification could not tell, and a person has to decide."""

from pathlib import Path

import msgspec

from infra.postgres import queries
from infra.postgres.database import Database
from schemas.ids import PaymentId
from schemas.views import AttemptView, PaymentHistory, PaymentView

_sql = queries.load(Path(__file__).with_suffix(".sql"))
_payments = msgspec.json.Decoder(PaymentView)
_attempts = msgspec.json.Decoder(tuple[AttemptView, ...])


class PostgresReviews:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reviews(self, after: PaymentId | None, limit: int) -> list[PaymentHistory]:
        """Payments beyond `after`, the oldest first, each with those of its attempts that wait for a decision."""
        rows = await self._database.fetch(_sql.reviews, after or "", limit)
        return [
            PaymentHistory(
                payment=_payments.decode(row["payment"]), attempts=_attempts.decode(row["attempts"])
            )
            for row in rows
        ]
