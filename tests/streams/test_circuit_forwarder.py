"""The forwarder tells what tells something, in its order, and as often as it has to."""

from collections.abc import Mapping, Sequence

import pytest

from infra.memory.projections import RawRecord
from schemas.base import Event
from schemas.circuit import CallObserved, CircuitMessage
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import ALWAYS, Envelope, Outgoing
from schemas.errors import AppendAmbiguous
from schemas.views import Watermark
from streams.circuit_forwarder import TELLS_FOR_MS, CircuitForwarder
from tests.builders import AT, AT_MS, PAYMENT, attempt_in_doubt, attempt_succeeded, requested, routed, started

HERE = (PAYMENTS_TOPIC, 3)


class World:
    def __init__(self) -> None:
        self.published: list[CircuitMessage] = []
        self.failure: Exception | None = None
        self.committed: dict[tuple[str, int], int] = {}
        self.forwarder = CircuitForwarder(self, self.offsets, lambda: AT_MS)

    async def publish(self, messages: Sequence[CircuitMessage]) -> None:
        self.published += messages
        if self.failure is not None:
            raise self.failure

    async def offsets(self) -> Mapping[tuple[str, int], int]:
        return self.committed

    @property
    def offsets_told(self) -> list[int]:
        return [one.source_offset for one in self.published if isinstance(one, CallObserved)]


@pytest.fixture
def world() -> World:
    return World()


def raw(event: Event, offset: int, *, age_ms: int = 0, value: bytes | None = None) -> RawRecord:
    envelope = Envelope(
        event_id="evt_1",
        aggregate_id=PAYMENT,
        sequence=1,
        at=AT,
        epoch=1,
        window=ALWAYS,
        correlation_id="c",
        causation_id="c",
    )
    encoded, headers = encode(Outgoing(envelope=envelope, event=event))
    return RawRecord(*HERE, offset, AT_MS - age_ms, PAYMENT.encode(), value or encoded, headers)


async def test_only_what_tells_something_is_told_and_in_order(world: World) -> None:
    events = [requested(), routed(), started(), attempt_in_doubt(), attempt_succeeded(2), attempt_in_doubt(3)]
    await world.forwarder.absorb([raw(event, offset) for offset, event in enumerate(events)])
    assert world.offsets_told == [3, 4, 5]
    assert world.forwarder.counts.taken_in == 6


async def test_what_may_not_have_arrived_is_told_again(world: World) -> None:
    world.failure = AppendAmbiguous("who knows")
    records = [raw(attempt_in_doubt(), 7)]
    with pytest.raises(AppendAmbiguous):
        await world.forwarder.absorb(records)
    assert await world.forwarder.watermarks() == {}
    world.failure = None
    await world.forwarder.absorb(records)
    assert world.offsets_told == [7, 7]
    assert world.forwarder.counts.taken_in == 1


async def test_what_is_too_old_to_tell_anything_is_left_out(world: World) -> None:
    await world.forwarder.absorb(
        [raw(attempt_in_doubt(), 1, age_ms=TELLS_FOR_MS + 1), raw(attempt_in_doubt(), 2, age_ms=TELLS_FOR_MS)]
    )
    assert world.offsets_told == [2]


async def test_a_record_that_cannot_be_read_hides_nothing(world: World) -> None:
    await world.forwarder.absorb([raw(attempt_in_doubt(), 1, value=b"{"), raw(attempt_in_doubt(), 2)])
    assert (world.offsets_told, world.forwarder.counts.dead) == ([2], 1)


async def test_a_record_of_which_nothing_can_be_made_hides_nothing(world: World) -> None:
    no_such_year = raw(attempt_in_doubt(), 1, age_ms=-(10**17))
    await world.forwarder.absorb([no_such_year, raw(attempt_in_doubt(), 2)])
    assert (world.offsets_told, world.forwarder.counts.dead) == ([2], 1)


async def test_it_stands_where_it_came_to_or_its_group_did(world: World) -> None:
    world.committed = {HERE: 5, (PAYMENTS_TOPIC, 4): 9}
    assert (await world.forwarder.watermarks())[HERE] == Watermark(next_offset=5, last_stamp_ms=AT_MS)
    await world.forwarder.absorb([raw(requested(), 6)])
    marks = await world.forwarder.watermarks()
    assert (marks[HERE].next_offset, marks[HERE].last_stamp_ms) == (7, AT_MS)
    assert marks[PAYMENTS_TOPIC, 4].next_offset == 9
