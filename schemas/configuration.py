"""What is set for the whole service, as events on `configuration.events.v1`."""

from schemas.base import Event


class ReservationStoreAdopted(Event, frozen=True, kw_only=True):
    """This Postgres holds the reservations from now on; another one may have forgotten some."""

    system_identifier: str
    timeline: int
    database: int = 0
    """The database's own number in its cluster (its OID)."""


ConfigurationEvent = ReservationStoreAdopted
