"""The Postgres servers that were ever adopted, on the configuration topic: the newest one is the one we know."""

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.admission import StoreIdentity
from schemas.codec import CONFIGURATION_TOPIC, decode, encode
from schemas.configuration import ReservationStoreAdopted
from schemas.envelope import Outgoing, Position, unowned
from schemas.errors import Unreadable

_AGGREGATE = "reservation-store"


class KafkaAdoptions:
    def __init__(self, publisher: Publisher, reader: LogReader, clock: SystemClock) -> None:
        self._publisher = publisher
        self._reader = reader
        self._clock = clock

    async def newest(self) -> StoreIdentity | None:
        end = await self._reader.end_offset(CONFIGURATION_TOPIC, 0)
        newest = None
        for record in await self._reader.read(CONFIGURATION_TOPIC, 0, 0, end, timeout_s=30):
            position = Position(topic=CONFIGURATION_TOPIC, partition=0, offset=record.offset)
            try:
                event = decode(record.value, record.headers, position, record.timestamp).event
            except Unreadable:
                continue
            if isinstance(event, ReservationStoreAdopted):
                newest = StoreIdentity(
                    system_identifier=event.system_identifier,
                    timeline=event.timeline,
                    database=event.database,
                )
        return newest

    async def append(self, identity: StoreIdentity) -> None:
        event = ReservationStoreAdopted(
            system_identifier=identity.system_identifier,
            timeline=identity.timeline,
            database=identity.database,
        )
        envelope = unowned(self._clock.event_id(), _AGGREGATE, self._clock.now())
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        await self._publisher.publish(CONFIGURATION_TOPIC, 0, [(_AGGREGATE.encode(), value, headers)])
