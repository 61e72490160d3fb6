"""How much verification has before it, for those who watch it."""

from pathlib import Path

from infra.postgres import queries
from infra.postgres.database import Database
from schemas.verification import Backlog, Due

_sql = queries.load(Path(__file__).with_suffix(".sql"))


async def backlog(database: Database) -> Backlog:
    """Two cheap queries. Raises StoreUnavailable."""
    due = await database.fetch(_sql.due)
    (waiting,) = await database.fetch(_sql.waiting)
    return Backlog(
        due={row["gateway"]: Due(payments=row["payments"], oldest_ms=row["oldest_ms"]) for row in due},
        unused_messages=waiting["messages"],
        oldest_message_ms=waiting["oldest_message_ms"],
        unsettled=waiting["unsettled"],
        oldest_unsettled=waiting["oldest_unsettled"],
        in_review=waiting["in_review"],
        to_give_back=waiting["to_give_back"],
        oldest_to_give_back_ms=waiting["oldest_to_give_back_ms"],
    )
