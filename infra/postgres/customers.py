"""The vault in Postgres: whose the tokens are by which events name customers. Reservations fill it."""

from collections.abc import Collection
from pathlib import Path

from infra.postgres import queries
from infra.postgres.database import Database
from schemas.ids import CustomerToken

_sql = queries.load(Path(__file__).with_suffix(".sql"))


class PostgresCustomers:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ids_of(self, tokens: Collection[CustomerToken]) -> dict[CustomerToken, str]:
        rows = await self._database.fetch(_sql.ids_of, list(tokens))
        return {row["token"]: row["customer_id"] for row in rows}

    async def token_of(self, merchant_id: str, customer_id: str) -> CustomerToken | None:
        rows = await self._database.fetch(_sql.token_of, merchant_id, customer_id)
        return rows[0]["token"] if rows else None

    async def forget(self, tokens: Collection[CustomerToken]) -> None:
        await self._database.fetch(_sql.forget, list(tokens))
