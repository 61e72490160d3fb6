"""`python -m infra.postgres migrate`: brings the database of `DATABASE_URL` to the newest schema.

It does not bring back a reservation table that was lost: `python -m streams.cli reservations rebuild` does.
"""

import asyncio
import os
import sys

import asyncpg

from infra.postgres.database import describe
from infra.postgres.migrate import migrate
from infra.settings import Settings
from schemas.errors import StoreUnavailable


def main(arguments: list[str]) -> None:
    if arguments != ["migrate"]:
        raise SystemExit("usage: python -m infra.postgres migrate")
    settings = Settings.from_environment(os.environ)
    try:
        applied = asyncio.run(migrate(settings.database_url))
    except (StoreUnavailable, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SystemExit(f"migrate: {describe(error)}") from error
    sys.stdout.write(f"applied {', '.join(applied)}\n" if applied else "nothing to apply\n")


if __name__ == "__main__":
    main(sys.argv[1:])
