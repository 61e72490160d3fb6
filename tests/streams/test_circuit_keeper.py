"""Checkpoints of circuits are kept as well as they can be: nothing waits for them, nor ends for want of them."""

from typing import cast

import asyncpg
import pytest

from infra.kafka.tail import TopicTail
from infra.postgres.circuits import PostgresCircuits
from projections.circuit_facts import CircuitFacts
from schemas.errors import StoreUnavailable
from streams.circuit_fold import CircuitFold
from streams.circuit_writer import Keeper


class Fold:
    failure: Exception | None = None

    async def save(self) -> None:
        if self.failure is not None:
            raise self.failure


class Tail:
    next_offset = -1


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), asyncpg.CheckViolationError("not so")])
async def test_whatever_the_store_says_is_trouble_until_it_has_kept_them(failure: Exception) -> None:
    fold = Fold()
    keeper = Keeper(
        cast(CircuitFold, fold),
        cast(PostgresCircuits, None),
        CircuitFacts(),
        cast(TopicTail, Tail()),
    )
    fold.failure = failure
    await keeper.save()
    assert keeper.trouble is not None
    assert str(failure) in keeper.trouble
    fold.failure = None
    await keeper.save()
    assert keeper.trouble is None
