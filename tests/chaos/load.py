"""Payments at a steady pace while something breaks, and what must be true of them afterwards."""

import asyncio
import itertools
import uuid

from infra.local.stack import Stack
from schemas.payment import AttemptStarted
from tests.product import Answer, Client, read_topic

CERTAIN = (201, 402)
ACKNOWLEDGED = (201, 202, 402)


class Load:
    """Posts a new payment every so often, each with a key of its own, until it is stopped; keeps every answer."""

    def __init__(self, client: Client, *, per_second: float = 60, api: int = 0) -> None:
        self._client = client
        self._pause_s = 1 / per_second
        self._api = api
        self._prefix = uuid.uuid4().hex
        self._posts: list[asyncio.Task[None]] = []
        self._pace: asyncio.Task[None] | None = None
        self.answers: dict[str, Answer] = {}

    async def __aenter__(self) -> "Load":
        self._pace = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pace is not None
        self._pace.cancel()
        await asyncio.wait([self._pace])
        if self._posts:
            await asyncio.wait(self._posts, timeout=60)

    async def _run(self) -> None:
        for number in itertools.count():
            self._posts.append(asyncio.create_task(self._post(f"{self._prefix}-{number}")))
            await asyncio.sleep(self._pause_s)

    async def _post(self, key: str) -> None:
        self.answers[key] = await self._client.pay(key, api=self._api)

    def with_status(self, *statuses: int) -> list[Answer]:
        return [answer for answer in self.answers.values() if answer.status in statuses]

    @property
    def statuses(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for answer in self.answers.values():
            found[answer.status] = found.get(answer.status, 0) + 1
        return found


async def assert_nothing_is_lost_or_charged_twice(stack: Stack, client: Client, load: Load) -> None:
    """Every acknowledged payment is on the log; no charge without its start before it; no payment charged twice;
    no success told that the ledger does not have, and no failure told that it does."""
    topic, ledger = await read_topic(stack), await client.ledger()
    captured = {charge["reference"] for charge in ledger if charge["status"] == "captured"}
    for answer in load.with_status(*ACKNOWLEDGED):
        assert any(not record.is_void for record in topic[answer.payment_id]), answer
    started = {
        record.event.attempt_id: record
        for records in topic.values()
        for record in records
        if isinstance(record.event, AttemptStarted)
    }
    assert {charge["reference"] for charge in ledger} <= started.keys()
    assert (await client.ledger_summary())["charged_more_than_once"] == []
    for answer in load.with_status(*CERTAIN):
        charged = any(reference.startswith("att_" + answer.payment_id[4:]) for reference in captured)
        assert charged == (answer.status == 201), answer
