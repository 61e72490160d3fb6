"""The three servers together: PostgreSQL, Redis and Kafka, in one folder, used by one program at a time."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from infra.local import LocalError
from infra.local.ports import BASE_VARIABLE, Ports, require_free
from infra.local.servers import Kafka, Postgres, Redis, Server


class InUseError(LocalError):
    """Another live program holds this folder's servers."""


class Stack:
    """`env` is what our programs need in their environment to find the servers.

    A server whose variable is `given` (by default: set in our own environment) is somebody else's:
    it is used, never started or stopped.
    """

    def __init__(self, folder: Path, ports: Ports, given: Mapping[str, str] = os.environ) -> None:
        self.folder = folder.absolute()
        self.kafka = Kafka(self.folder, ports.kafka, ports.kafka_controller)
        self.postgres = Postgres(self.folder, ports.postgres)
        self.redis = Redis(self.folder, ports.redis)
        # Kafka first, since it takes longest.
        by_variable: dict[str, Server] = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "DATABASE_URL": self.postgres,
            "REDIS_URL": self.redis,
        }
        self.env = {variable: given.get(variable) or server.url for variable, server in by_variable.items()}
        self.servers = [server for variable, server in by_variable.items() if not given.get(variable)]
        self._lock: TextIO | None = None

    async def start(self, *, empty: bool = False) -> None:
        """Returns when all are ready. `empty` first erases all that the folder's servers stored."""
        self.reserve()
        try:
            if empty:
                await self._stop_servers()
                for server in self.servers:
                    server.erase()
            for server in self.servers:
                if not server.running:
                    self._require_free_ports(server)
                await server.start()
            # They come up side by side; waiting for one after the other costs no more than the slowest.
            for server in self.servers:
                await server.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._lock is None:
            return
        await self._stop_servers()
        self._lock.close()
        self._lock = None

    async def _stop_servers(self) -> None:
        for server in reversed(self.servers):
            await server.stop()

    def _require_free_ports(self, server: Server) -> None:
        for port in server.ports:
            require_free(port, server.name, BASE_VARIABLE)

    def reserve(self) -> None:
        """Before the first look at the servers: those of another live program must not be taken for ours."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = lock_file(self.folder).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise InUseError(
                f"{self.folder} is in use by process {holder(self.folder)}; `./dev down` ends it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock


def lock_file(folder: Path) -> Path:
    return folder / "lock"


def holder(folder: Path) -> int | None:
    """The process that holds the folder; the kernel frees the lock at its death, so it is never stale."""
    if not lock_file(folder).exists():
        return None
    with lock_file(folder).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0) or None
    return None
