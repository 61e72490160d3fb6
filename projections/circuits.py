"""What everybody but its writer knows of a circuit: the fold of `circuits.events.v1` that decides who may be called."""

from typing import assert_never

from msgspec.structs import replace

from schemas.circuit import (
    CircuitClosed,
    CircuitEvent,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitReleased,
    CircuitView,
)


def evolve(view: CircuitView, event: CircuitEvent) -> CircuitView:
    changed = _told(view, event)
    if isinstance(event, CircuitClosed) and view.began_as == "fast":
        return replace(changed, recovered_at=event.at, usual=view.baseline)
    return replace(changed, recovered_at=view.recovered_at, usual=view.usual)


def _told(view: CircuitView, event: CircuitEvent) -> CircuitView:
    match event:
        case CircuitOpened():
            return CircuitView(
                status="OPEN",
                since=event.at,
                until=event.until,
                reason=event.reason,
                began_as=event.reason if event.reason in ("fast", "slow") else view.began_as,
                baseline=event.baseline,
                opening=event.opening,
                trial=view.trial,
            )
        case CircuitHalfOpened():
            return CircuitView(
                status="HALF_OPEN",
                since=event.at,
                reason=view.reason,
                began_as=view.began_as,
                baseline=view.baseline,
                opening=event.opening,
                trial=event.trial,
                probes=event.probes,
                probe_lease_s=event.probe_lease_s,
            )
        case CircuitClosed():
            return CircuitView(
                status="CLOSED",
                since=event.at,
                reason=view.reason,
                began_as=view.began_as,
                baseline=view.baseline,
                opening=event.opening,
                trial=event.trial,
            )
        case CircuitForcedOpen():
            return CircuitView(
                status="FORCED_OPEN", since=event.at, trial=view.trial, by=event.by, note=event.note
            )
        case CircuitForcedClosed():
            return CircuitView(
                status="FORCED_CLOSED", since=event.at, trial=view.trial, by=event.by, note=event.note
            )
        case CircuitReleased():
            return CircuitView(status="CLOSED", since=event.at, trial=view.trial)
        case _:
            assert_never(event)
