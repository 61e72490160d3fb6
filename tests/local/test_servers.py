"""The local stack with real servers: other tests kill and pause them, so what that does must be certain."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.local import ROOT, proc
from infra.local.ports import Ports
from infra.local.servers import Kafka, Postgres, Redis
from infra.local.stack import InUseError, Stack, holder
from tests.waiting import HANGS_AFTER_S

pytestmark = pytest.mark.integration


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack for one test, which may treat it badly."""
    stack = Stack(tmp_path / "stack", Ports.free(), given={})
    try:
        yield stack
    finally:
        await stack.stop()


async def test_a_second_start_makes_nothing_anew_and_finds_the_data(own: Stack) -> None:
    await own.start()
    await write_everywhere(own)
    made = written_when_made(own)
    await own.stop()
    assert not any(server.running for server in own.servers)

    await own.start()
    assert written_when_made(own) == made
    await read_everywhere(own)


def written_when_made(stack: Stack) -> list[tuple[int, int]]:
    """What initdb and Kafka's formatter write, and nothing else does."""
    files = (stack.postgres.data / "PG_VERSION", stack.kafka.data / "bootstrap.checkpoint")
    return [(found.st_ino, found.st_mtime_ns) for found in (file.stat() for file in files)]


async def test_what_was_acknowledged_survives_a_kill(own: Stack) -> None:
    await own.start()
    await write_everywhere(own)
    for server in own.servers:
        server.kill()
        assert not server.running
        await server.start()
        await server.wait_ready()
    await read_everywhere(own)


async def test_starting_what_runs_changes_nothing(stack: Stack) -> None:
    before = [server.pid for server in stack.servers]
    await stack.start()
    assert [server.pid for server in stack.servers] == before


async def test_a_second_program_is_told_who_uses_the_folder(stack: Stack) -> None:
    assert holder(stack.folder) == os.getpid()
    with pytest.raises(InUseError, match=str(os.getpid())):
        await Stack(stack.folder, Ports.free(), given={}).start()
    assert all(server.running for server in stack.servers)


async def test_postgres_runs_where_its_user_cannot_walk(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    postgres = Postgres(private / f"a long name, with blanks {'x' * 100}", Ports.free().postgres)
    try:
        for _ in range(2):
            await postgres.start()
            await postgres.wait_ready()
            await postgres.stop()
    finally:
        postgres.kill()


async def test_a_paused_server_is_silent_and_goes_on_when_resumed(stack: Stack) -> None:
    for server in (stack.postgres, stack.redis):
        server.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await server.ping()
        server.resume()
        await server.wait_ready()


def test_a_server_dies_with_the_program_that_started_it(tmp_path: Path) -> None:
    port = Ports.free().redis
    program = f"""
import asyncio, os, pathlib, signal
from infra.local.servers import Redis
server = Redis(pathlib.Path({str(tmp_path)!r}), {port})
async def main():
    await server.start()
    await server.wait_ready()
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    orphan = int(ended.stdout)
    give_up_at = time.monotonic() + HANGS_AFTER_S
    while proc.identity(orphan) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert not Redis(tmp_path, port).running


def test_a_recycled_pid_is_nobody_of_ours(tmp_path: Path) -> None:
    pid_file = tmp_path / "redis.pid"
    pid_file.write_text(f'{{"pid": {os.getpid()}, "identity": "another boot:1", "url": ""}}')
    server = Redis(tmp_path, 1)
    assert not server.running
    server.kill()


def test_a_given_server_is_used_and_not_started(tmp_path: Path) -> None:
    stack = Stack(tmp_path, Ports.free(), given={"REDIS_URL": "redis://elsewhere:6379/"})
    assert stack.env["REDIS_URL"] == "redis://elsewhere:6379/"
    assert stack.redis not in stack.servers


async def write_everywhere(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.postgres.url)
    await connection.execute("CREATE TABLE kept AS SELECT 'postgres' AS by")
    await connection.close()
    async with redis.asyncio.Redis.from_url(stack.redis.url) as client:
        await client.set("kept", "redis")
    await write_record(stack.kafka)


async def read_everywhere(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.postgres.url)
    assert await connection.fetchval("SELECT by FROM kept") == "postgres"
    await connection.close()
    async with redis.asyncio.Redis.from_url(stack.redis.url) as client:
        assert await client.get("kept") == b"redis"
    assert await read_record(stack.kafka) == b"kafka"


async def write_record(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.url)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.url, acks="all") as producer:
        await producer.send_and_wait("kept", b"kafka", partition=0)


async def read_record(kafka: Kafka) -> bytes:
    async with AIOKafkaConsumer(bootstrap_servers=kafka.url) as consumer:
        partition = TopicPartition("kept", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        async with asyncio.timeout(HANGS_AFTER_S):
            record = await consumer.getone()
    value: bytes = record.value
    return value
