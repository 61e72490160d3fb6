"""Who has changed what: an entry of the audit, and where one lies."""

from typing import Any

from schemas.base import Value
from schemas.envelope import Position

Said = dict[str, Any]
"""What an event says, without who said it and why."""


class AuditEntry(Value, frozen=True, kw_only=True):
    """Made of one record, and of what was said of its aggregate before it; nothing else is ever written for it."""

    position: Position
    stamp_ms: int
    """When it was appended, by the broker's clock."""
    aggregate: str
    """The record's key: `gateway:razorpay`, an experiment's id, `razorpay:UPI` of a circuit, a payment's id."""
    what: str
    """The event's name."""
    by: str
    note: str
    request_id: str
    before: Said | None
    """What the aggregate's last event before it said; None where it had none."""
    after: Said | None
    """None where whoever kept the entry was too old to read it."""


Place = tuple[int, Position]
"""Of an entry among all of them: its stamp, and its position where stamps are equal."""


def place_of(entry: AuditEntry) -> Place:
    return entry.stamp_ms, entry.position
