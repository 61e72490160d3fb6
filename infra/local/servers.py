"""PostgreSQL, Redis and Kafka as ordinary processes, each with its data in one folder.

They keep their promises as production does (fsync on, an append-only file), since tests kill them to see
what is lost.
"""

import asyncio
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from signal import SIGINT

import asyncpg
import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient

from infra.local.child import Child, NotReadyError
from infra.local.installed import as_unprivileged, java, postgres_program, program, unprivileged_user
from infra.local.ports import HOST

PING_SECONDS = 5.0
PREPARE_SECONDS = 120.0


class Server(Child):
    """A child with data of its own beside its log."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        super().__init__(name, folder)
        self.port = port
        self.data = folder / name

    @property
    def ports(self) -> list[int]:
        return [self.port]

    def erase(self) -> None:
        """Forgets all it ever stored. Stop it first."""
        shutil.rmtree(self.data, ignore_errors=True)

    def _run(self, command: list[str], folder: Path) -> None:
        """One of the server's own tools, to its end; what it says goes to the server's log."""
        quiet = subprocess.DEVNULL
        with self.log.open("ab") as log:
            ended = subprocess.run(
                command, cwd=folder, stdin=quiet, stdout=log, stderr=log, timeout=PREPARE_SECONDS
            )
        if ended.returncode:
            raise NotReadyError(self, "could not be set up")


class Redis(Server):
    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("redis", folder, port)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/"

    def prepare(self) -> None:
        self.data.mkdir(exist_ok=True)

    def working_directory(self) -> Path:
        return self.data

    def command(self) -> list[str]:
        options = {"port": str(self.port), "bind": HOST, "appendonly": "yes", "save": "", "daemonize": "no"}
        return [
            program("redis-server"),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    async def ping(self) -> None:
        async with redis.asyncio.Redis.from_url(self.url, socket_timeout=PING_SECONDS) as client:
            await client.ping()


class Postgres(Server):
    """Its own tools do the work; only who runs them, and how they reach their data, is special.

    PostgreSQL refuses to run as root, so root runs it as another user, who may not be able to walk to the
    data (a checkout under a private directory). A process may always use a directory that it holds open,
    whatever lies above it: so we hand it over opened, as file descriptor 9. Nothing is chmod-ed and no
    capability is given.
    """

    DATA = "/proc/self/fd/9"
    HAND_OVER = ("sh", "-c", 'exec 9<. && cd / && exec "$@"', "sh")
    stop_signal = SIGINT  # its "fast" shutdown; SIGTERM would wait for every client to leave

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("postgres", folder, port)

    @property
    def url(self) -> str:
        return self._url("payments_gateway")

    def _url(self, database: str) -> str:
        return f"postgres://postgres:postgres@{HOST}:{self.port}/{database}"

    def working_directory(self) -> Path:
        return self.data

    def prepare(self) -> None:
        if self.data.exists():
            return
        unfinished = self.folder / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user := unprivileged_user():
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        # The password is public, so asking for it on 127.0.0.1 would protect nothing: trust.
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run([*self._program("initdb"), *options], unfinished)
        unfinished.rename(self.data)

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",  # a socket's path is limited to 107 bytes
            "shared_buffers": "256MB",
            "max_connections": "100",
            "fsync": "on",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*self._program("postgres"), *words]

    def _program(self, name: str) -> list[str]:
        """To be run standing in the data directory."""
        return [*self.HAND_OVER, *as_unprivileged(), postgres_program(name), "-D", self.DATA]

    async def ping(self) -> None:
        try:
            connection = await asyncpg.connect(self.url, timeout=PING_SECONDS)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(self._url("postgres"), timeout=PING_SECONDS)
            await connection.execute("CREATE DATABASE payments_gateway", timeout=PREPARE_SECONDS)
        await connection.close(timeout=PING_SECONDS)


class Kafka(Server):
    """One node that is both broker and controller."""

    def __init__(self, folder: Path, port: int, controller_port: int) -> None:
        super().__init__("kafka", folder, port)
        self.controller_port = controller_port
        self._properties = folder / "kafka.properties"

    @property
    def url(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def ports(self) -> list[int]:
        return [self.port, self.controller_port]

    def prepare(self) -> None:
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        if not (self.data / "meta.properties").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            # A cluster's id is 16 bytes in URL-safe base 64: 22 characters, the last with few bits to use.
            identity = uuid.uuid4().hex[:21] + "A"
            format_ = ["format", "--cluster-id", identity, "--config", self._properties.name]
            self._run([*java("-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", *format_], self.folder)

    def _settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"BROKER://{self.url},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"BROKER://{self.url}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            # Relative to the folder it runs in: an absolute path may hold a comma, which would end it.
            "log.dirs": self.data.name,
            "auto.create.topics.enable": "false",
            # The next start waits for the old session of a killed broker to end.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }

    def command(self) -> list[str]:
        return [*java("-Xms512m", "-Xmx1g"), "kafka.Kafka", self._properties.name]

    async def ping(self) -> None:
        """Ready means that a consumer group can start; the first question ever creates the offsets topic."""
        _, writer = await asyncio.open_connection(
            HOST, self.port
        )  # aiokafka logs an error where this is silent
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.url, request_timeout_ms=int(PING_SECONDS * 1000))
        try:
            await admin.start()
            await admin.list_consumer_group_offsets("local-stack-readiness")
        finally:
            await admin.close()
