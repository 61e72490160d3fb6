"""Messages to the verifier are in its store once, whatever is given twice, left out or not to be read."""

from collections.abc import Mapping, Sequence

import pytest

from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from schemas.codec import NOTIFICATIONS_TOPIC, encode
from schemas.envelope import ALWAYS, Envelope, Outgoing, Position
from schemas.errors import StoreUnavailable, Unreadable
from schemas.ids import GatewayId, attempt_id
from schemas.notification import GatewayNotified
from schemas.verification import StoredMessage
from schemas.views import Watermark
from streams.messages import CHUNK, MessageIntake
from tests.builders import AT, PAYMENT

PARTITION = 3
REFUSED = "refused"
HERE = (NOTIFICATIONS_TOPIC, PARTITION)


class MemoryStore:
    """Refuses messages of the kind REFUSED, as Postgres refuses a NUL."""

    def __init__(self) -> None:
        self.messages: dict[Position, StoredMessage] = {}
        self.stores = 0
        self.is_away = False
        self._watermarks: dict[tuple[str, int], Watermark] = {}

    async def store(
        self, topic: str, messages: Sequence[StoredMessage], next_offsets: Mapping[int, Watermark]
    ) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        if any(getattr(message.received.message, "kind", "") == REFUSED for message in messages):
            raise Unreadable("a text has a NUL character")
        self.stores += 1
        self.messages |= {message.received.position: message for message in messages}
        self._watermarks |= {(topic, partition): mark for partition, mark in next_offsets.items()}

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        return dict(self._watermarks)

    @property
    def next_offset(self) -> int:
        return self._watermarks[HERE].next_offset

    @property
    def offsets(self) -> list[int]:
        return sorted(position.offset for position in self.messages)


class World:
    def __init__(self) -> None:
        self.log, self.store, self.letters = MemoryRecords(), MemoryStore(), MemoryDeadLetters()
        self.intake = MessageIntake(self.store, self.log, self.letters)

    def told(self, kind: str = "payment.captured", key: str = PAYMENT) -> RawRecord:
        message = GatewayNotified(
            gateway=GatewayId("alpha"),
            event_id="evt_1",
            kind=kind,
            attempt_id=attempt_id(PAYMENT, 1, 1),
            told="look",
        )
        envelope = Envelope(
            event_id="evt_1",
            aggregate_id=PAYMENT,
            sequence=1,
            at=AT,
            epoch=1,
            window=ALWAYS,
            correlation_id="req_1",
            causation_id="req_1",
        )
        value, headers = encode(Outgoing(envelope=envelope, event=message))
        return self.log.append(NOTIFICATIONS_TOPIC, PARTITION, 1_000, key.encode(), value, headers)

    def poison(self) -> RawRecord:
        return self.log.append(NOTIFICATIONS_TOPIC, PARTITION, 1_000, b"key", b"{", [])


@pytest.fixture
def world() -> World:
    return World()


async def test_messages_are_stored_with_their_payment_and_their_place(world: World) -> None:
    await world.intake.absorb([world.told(), world.told()])
    message = world.store.messages[Position(topic=NOTIFICATIONS_TOPIC, partition=PARTITION, offset=1)]
    assert (message.payment_id, message.stamp_ms) == (PAYMENT, 1_000)
    assert (world.store.offsets, world.store.next_offset, world.store.stores) == ([0, 1], 2, 1)


async def test_what_is_given_again_is_left_alone(world: World) -> None:
    batch = [world.told(), world.told()]
    await world.intake.absorb(batch)
    await world.intake.absorb([*batch, world.told(), batch[0]])
    assert (world.store.offsets, world.store.stores) == ([0, 1, 2], 2)
    assert world.intake.counts.known_already == 3


async def test_what_is_missing_before_or_within_a_batch_is_fetched_first(world: World) -> None:
    first, _, third, _, fifth = [world.told() for _ in range(5)]
    await world.intake.absorb([third])
    assert world.store.offsets == [0, 1, 2]
    await world.intake.absorb([first, third, fifth])
    assert (world.store.offsets, world.store.next_offset) == ([0, 1, 2, 3, 4], 5)


async def test_a_long_gap_is_stored_in_pieces(world: World) -> None:
    for _ in range(2 * CHUNK):
        world.told()
    await world.intake.absorb([world.told()])
    assert (len(world.store.messages), world.store.stores) == (2 * CHUNK + 1, 3)


async def test_what_cannot_be_read_is_a_dead_letter_and_those_around_it_are_stored(world: World) -> None:
    elsewhere = "pay_" + "0" * 26
    await world.intake.absorb([world.told(), world.poison(), world.told(key=elsewhere), world.told()])
    assert (world.store.offsets, world.store.next_offset) == ([0, 3], 4)
    assert [letter.position.offset for letter in world.letters.published] == [1, 2]
    assert world.intake.counts.dead == 2


async def test_what_the_store_refuses_is_a_dead_letter_and_those_around_it_are_stored(world: World) -> None:
    await world.intake.absorb([world.told(), world.told(), world.told(REFUSED), world.told(), world.told()])
    assert (world.store.offsets, world.store.next_offset) == ([0, 1, 3, 4], 5)
    assert [letter.position.offset for letter in world.letters.published] == [2]


async def test_a_store_that_is_away_loses_nothing(world: World) -> None:
    batch = [world.told(), world.told()]
    world.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.intake.absorb(batch)
    world.store.is_away = False
    await world.intake.absorb(batch)
    assert world.store.offsets == [0, 1]
