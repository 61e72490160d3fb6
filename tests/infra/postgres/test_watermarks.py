"""Watermarks are locked in one order, also while they are added: workers never wait for each other in a circle."""

import asyncio
import random

import pytest

from infra.postgres import watermarks
from infra.postgres.database import Database
from schemas.views import Watermark
from tests.waiting import HANGS_AFTER_S

pytestmark = pytest.mark.integration

TOPIC = "payments.events.v1"
PARTITIONS = range(12)
WORKERS = 4
ROUNDS = 40


async def test_workers_that_lock_what_others_add_never_wait_in_a_circle_and_lose_no_move(
    database: Database,
) -> None:
    """In each round nobody has any row at first, and each takes its partitions in a few turns, as after a rebalance."""

    async def work(projection: watermarks.Projection, chance: random.Random) -> int:
        moves = 0
        for _ in range(3):
            ours = chance.sample(PARTITIONS, chance.randint(1, 5))
            async with database.transaction(timeout_s=HANGS_AFTER_S) as connection:
                locked = await watermarks.locked(connection, projection, TOPIC, ours)
                assert sorted(locked) == sorted(ours)
                moved = {
                    partition: Watermark(next_offset=mark.next_offset + 1, last_stamp_ms=0)
                    for partition, mark in locked.items()
                }
                await watermarks.move(connection, projection, TOPIC, moved)
            moves += len(ours)
        return moves

    for round_ in range(1, ROUNDS + 1):
        projection = ("of a test", round_)
        workers = [work(projection, random.Random(f"{round_} {worker}")) for worker in range(WORKERS)]
        moves = sum(await asyncio.gather(*workers))
        reached = await watermarks.all_of(database, projection)
        assert sum(mark.next_offset for mark in reached.values()) == moves
