"""The command as an operator types it: what it refuses leaves the table as it is."""

import asyncio
import os
import sys
import uuid
from itertools import count
from urllib.parse import urlsplit

import pytest

from commands.verifier import LEASE_MS
from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import ALWAYS
from streams.rebuild import rebuild_reservations
from tests.projections.story import raw, recorded, requested
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

REBUILD = ("reservations", "rebuild")
_numbers = count(1)


class Operator:
    """At a database of its own, in which one key is reserved."""

    def __init__(self, stack: Stack) -> None:
        name = f"operator_{os.getpid()}_{next(_numbers)}"
        url = urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        self._env = {**stack.env, "DATABASE_URL": str(url)}

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self._env)

    async def prepare(self) -> None:
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        await self.fetch(
            "INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, owned_until_ms)"
            "VALUES ('m', 'k', 'f', 'p', 1)"
        )

    async def fetch(self, sql: str, *arguments: object) -> list[tuple[object, ...]]:
        database = await Database.connect(self.settings.database_url)
        try:
            return [tuple(row) for row in await database.fetch(sql, *arguments)]
        finally:
            await database.close()

    async def types(self, *words: str, **changes: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streams.cli",
            *words,
            cwd=ROOT,
            env=surroundings(self._env | changes),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.fixture
async def operator(stack: Stack) -> Operator:
    operator = Operator(stack)
    await operator.prepare()
    return operator


async def is_untouched(operator: Operator) -> bool:
    return await operator.fetch("SELECT payment_id FROM reservations") == [("p",)]


async def test_no_table_is_made_of_a_log_that_is_shorter_than_what_was_projected_from_it(
    operator: Operator,
) -> None:
    await operator.fetch("INSERT INTO watermarks VALUES ('payments', 1, $1, 3, 1000000)", PAYMENTS_TOPIC)
    code, said = await operator.types(*REBUILD)
    assert (code, "projected up to 1000000" in said) == (1, True), said
    assert await is_untouched(operator)


async def test_a_database_that_a_replay_filled_gets_no_reservations(operator: Operator) -> None:
    await operator.fetch(
        "INSERT INTO watermarks (projection, version, topic, partition) VALUES ('replay', 1, '', 0)"
    )
    code, said = await operator.types(*REBUILD)
    assert (code, "filled by a replay" in said) == (4, True), said
    assert await is_untouched(operator)


async def test_a_log_that_does_not_answer_touches_nothing(operator: Operator) -> None:
    code, said = await operator.types(*REBUILD, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (code, "not rebuilt" in said) == (1, True), said
    assert await is_untouched(operator)


async def test_a_wait_that_is_shorter_than_a_window_of_ours_is_refused(operator: Operator) -> None:
    for budget_ms, seconds in (
        ("3000", LEASE_MS // 1000),
        ("24000", 32.5),
    ):  # a verifier has its lease, a payment what it is given
        words = (*REBUILD, "--longest-window-s", str(seconds - 0.1))
        code, said = await operator.types(*words, RETRY_LATENCY_BUDGET_MS=budget_ms)
        assert (code, f"{seconds} s" in said) == (1, True), said
    assert await is_untouched(operator)


@pytest.mark.safety
async def test_what_a_forgotten_owner_writes_while_the_command_waits_is_in_the_table(
    operator: Operator,
) -> None:
    settings = operator.settings
    payment, key_hash = SystemClock().payment_id(), uuid.uuid4().hex
    forgotten = raw(recorded(requested(key_hash=key_hash), payment=payment, window=ALWAYS))
    publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    waiting = asyncio.Event()
    rebuilding = asyncio.create_task(
        rebuild_reservations(settings, LEASE_MS, lambda line: waiting.set() if "waiting" in line else None)
    )
    async with asyncio.timeout(120):
        await waiting.wait()
    assert forgotten.value is not None
    message = (forgotten.key, forgotten.value, list(forgotten.headers))
    await publisher.publish(PAYMENTS_TOPIC, forgotten.partition, [message])
    await rebuilding
    await publisher.stop()
    found = await operator.fetch("SELECT payment_id FROM reservations WHERE key_hash = $1", key_hash)
    assert found == [(payment,)]


@pytest.mark.parametrize("words", [(), ("reservations",), ("reservations", "drop")])
async def test_what_it_does_not_know_it_does_not_do(operator: Operator, words: tuple[str, ...]) -> None:
    code, said = await operator.types(*words)
    assert (code, "usage: python -m streams.cli" in said) == (2, True)
    assert await is_untouched(operator)
