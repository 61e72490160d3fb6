"""What every store of circuits promises: a watermark and what it covers change together, and only forward."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from infra.memory.circuits import MemoryCircuits
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from schemas.circuit import CircuitKey, CircuitView, KnownCircuit, StoredCircuit
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC
from schemas.errors import StoreUnavailable
from schemas.ids import GatewayId
from schemas.views import Watermark
from streams.circuit_ports import Store as Checkpoints
from tests.builders import AT

ALPHA: CircuitKey = (GatewayId("alpha"), "UPI")
BETA: CircuitKey = (GatewayId("beta"), "CARD")


class Store(Checkpoints, Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...

    async def views(self) -> tuple[Mapping[CircuitKey, KnownCircuit], int]: ...

    async def save_views(self, known: Mapping[CircuitKey, KnownCircuit], next_offset: int) -> None: ...


@pytest.fixture
def store(database: Database | None) -> Store:
    return MemoryCircuits() if database is None else PostgresCircuits(database)


def mark(next_offset: int) -> Watermark:
    return Watermark(next_offset=next_offset, last_stamp_ms=1_000 + next_offset)


def a_circuit(key: CircuitKey, partition: int, state: str) -> StoredCircuit:
    return StoredCircuit(partition=partition, gateway=key[0], payment_method=key[1], state=state)


def known(sequence: int) -> KnownCircuit:
    view = CircuitView(status="FORCED_OPEN", since=AT, by="asha", note="maintenance")
    return KnownCircuit(view=view, sequence=sequence, decided_by=10 * sequence)


async def test_a_partition_that_was_never_saved_has_no_checkpoint(store: Store) -> None:
    await store.save_checkpoint({3: mark(5)}, [a_circuit(ALPHA, 3, "1")])
    assert await store.checkpoint(4) is None


async def test_a_checkpoint_is_read_back_with_how_far_it_reaches(store: Store) -> None:
    alpha, beta = a_circuit(ALPHA, 3, "[1, 2.5]"), a_circuit(BETA, 3, "[2]")
    await store.save_checkpoint({3: mark(5), 4: mark(0)}, [alpha, beta])
    found = await store.checkpoint(3)
    assert found is not None
    assert (found[0], list(found[1])) == (mark(5), [alpha, beta])
    assert await store.checkpoint(4) == (mark(0), [])
    marks = await store.watermarks()
    assert {place: one.next_offset for place, one in marks.items()} == {
        (CIRCUIT_OUTCOMES_TOPIC, 3): 5,
        (CIRCUIT_OUTCOMES_TOPIC, 4): 0,
    }


async def test_what_did_not_change_needs_not_be_saved_again(store: Store) -> None:
    alpha, beta = a_circuit(ALPHA, 3, "[1]"), a_circuit(BETA, 3, "[2]")
    await store.save_checkpoint({3: mark(5)}, [alpha, beta])
    await store.save_checkpoint({3: mark(6)}, [beta])
    found = await store.checkpoint(3)
    assert found is not None
    assert (found[0], {one.gateway for one in found[1]}) == (mark(6), {"alpha", "beta"})


async def test_a_writer_that_is_behind_changes_nothing_of_that_partition(store: Store) -> None:
    alpha, beta = a_circuit(ALPHA, 3, "[9]"), a_circuit(BETA, 4, "[9]")
    await store.save_checkpoint({3: mark(9)}, [alpha])
    await store.save_checkpoint({3: mark(8), 4: mark(8)}, [a_circuit(ALPHA, 3, "[8]"), beta])
    assert await store.checkpoint(3) == (mark(9), [alpha])
    assert await store.checkpoint(4) == (mark(8), [beta])


async def test_what_could_not_be_read_is_put_right_without_a_new_message(store: Store) -> None:
    await store.save_checkpoint({3: mark(9)}, [a_circuit(ALPHA, 3, "{}")])
    await store.save_checkpoint({3: mark(9)}, [alpha := a_circuit(ALPHA, 3, "[9]")])
    assert await store.checkpoint(3) == (mark(9), [alpha])


async def test_views_are_read_back_with_the_first_offset_that_is_not_in_them(store: Store) -> None:
    assert await store.views() == ({}, 0)
    await store.save_views({ALPHA: known(1)}, 4)
    await store.save_views({ALPHA: known(2), BETA: known(1)}, 9)
    assert await store.views() == ({ALPHA: known(2), BETA: known(1)}, 9)


async def test_older_views_change_nothing(store: Store) -> None:
    await store.save_views({ALPHA: known(2)}, 9)
    await store.save_views({ALPHA: known(1)}, 8)
    assert await store.views() == ({ALPHA: known(2)}, 9)


async def test_a_store_that_is_away_is_named() -> None:
    store = MemoryCircuits()
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        await store.views()
