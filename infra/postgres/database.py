"""A pool whose every wait is bounded: a hung server costs a connection, never a request.

asyncpg cancels a timed-out statement over a second connection, which hangs as well when the server is stopped;
so a connection that missed its deadline is terminated, not reused.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from schemas.errors import StoreUnavailable, Unreadable

Connection = Any  # asyncpg's pool hands out proxies that its stubs do not unify with connections
OnConnect = Callable[[Connection], Coroutine[Any, Any, None]]
"""What each new connection of a pool has to pass."""

_FAILURES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalClientError,
)
_BROKEN = (*_FAILURES, asyncio.CancelledError)
_MISSING = (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError)
"""A table that is being rebuilt, or not yet made or granted, comes back like a server does: requests are answered 503,
workers wait. The connection that was told so is a good one."""
NO_CONNECTION = (*_FAILURES, asyncpg.PostgresError, ValueError)
"""What making one raises, also where there is no such database or role, or the URL is none (a ValueError)."""


IDLE_IN_TRANSACTION_MS = 15_000
"""Longer than any transaction of ours takes. When a process is stopped or its host vanishes in the middle of one, the
server ends it, so that nobody waits for its locks for ever."""


class Database:
    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        on_connect: OnConnect | None = None,
        server_settings: Mapping[str, str] | None = None,
    ) -> "Database":
        """Raises StoreUnavailable when no connection can be made within 5 s, and what `on_connect` says of them."""
        pool = asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=3,
            command_timeout=None,
            max_inactive_connection_lifetime=300,
            init=on_connect and _bounded(on_connect),
            server_settings={
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
                **(server_settings or {}),
            },
        )
        try:
            async with asyncio.timeout(5):
                await pool
        except StoreUnavailable:
            pool.terminate()
            raise
        except NO_CONNECTION as error:
            pool.terminate()
            raise StoreUnavailable(f"no connection: {describe(error)}") from error
        return cls(pool)

    async def fetch(self, sql: str, *arguments: object, timeout_s: float = 2.0) -> list[asyncpg.Record]:
        async with self._connection(timeout_s) as connection:
            records: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return records

    @asynccontextmanager
    async def transaction(self, timeout_s: float = 10.0) -> AsyncIterator[Connection]:
        """Committed when the block ends; rolled back when it raises. The whole block is bounded by `timeout_s`."""
        async with self._connection(timeout_s) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except _BROKEN:
                raise  # terminated below: a ROLLBACK to a hung server would wait for ever
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(3):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _connection(self, timeout_s: float) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._pool.acquire()
                try:
                    yield connection
                except _BROKEN:
                    connection.terminate()
                    raise
                finally:
                    await self._release(connection)
        except (*_FAILURES, *_MISSING) as error:
            raise StoreUnavailable(describe(error)) from error

    async def _release(self, connection: Connection) -> None:
        """The pool resets a connection without a limit of its own; a hung one must not keep its place."""
        try:
            await self._pool.release(connection)
        except BaseException:
            connection.terminate()
            raise


def _bounded(on_connect: OnConnect) -> OnConnect:
    async def ask(connection: Connection) -> None:
        try:
            await on_connect(connection)
        except _BROKEN:
            connection.terminate()  # the pool would wait without limit for a hung one to be closed
            raise

    return ask


def describe(error: BaseException) -> str:
    """An error's kind and its first line; a timeout has no text of its own."""
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


async def execute_rows(
    connection: Connection, sql: str, rows: Sequence[tuple[object, ...]], *before: object
) -> None:
    """The rows as one array per column: one statement for any number of them, and none for none."""
    if rows:
        await connection.execute(sql, *before, *map(list, zip(*rows, strict=True)))


@contextmanager
def refusing() -> Iterator[None]:
    """What Postgres cannot hold raises Unreadable."""
    try:
        yield
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise Unreadable(f"Postgres cannot hold it: {describe(error)}") from error
