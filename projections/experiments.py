"""An exposed payment, folded from its events in offset order: what `contributions.py` needs to know of it."""

from msgspec.structs import replace

from projections.experiment_retention import is_too_late
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.exposure import TERMINAL, Exposure, Tried
from schemas.ids import AttemptId, ExperimentId, GatewayId
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    ChargeCompensated,
    ExperimentAssigned,
    LateSuccessDetected,
    PaymentFailed,
    PaymentRouted,
    PaymentSucceeded,
    ReviewRequested,
    ReviewSettled,
)
from schemas.views import AttemptStatus

TOLD_BY = frozenset(
    event.__name__
    for event in (
        ExperimentAssigned,
        PaymentRouted,
        AttemptStarted,
        AttemptSucceeded,
        AttemptDeclined,
        AttemptNotSent,
        AttemptAwaitingCustomer,
        AttemptInDoubt,
        PaymentSucceeded,
        PaymentFailed,
        ReviewRequested,
        ReviewSettled,
        LateSuccessDetected,
        ChargeCompensated,
    )
)
"""Events that change an exposure; all others leave it as it is."""
_NO_GATEWAY = GatewayId("")
_STATUSES: dict[type[Event], AttemptStatus] = {
    AttemptSucceeded: "SUCCEEDED",
    AttemptDeclined: "DECLINED",
    AttemptNotSent: "NOT_SENT",
    AttemptAwaitingCustomer: "AWAITING_CUSTOMER",
    AttemptInDoubt: "IN_DOUBT",
}
_VERDICTS: dict[str, AttemptStatus] = {
    "succeeded": "SUCCEEDED",
    "declined": "DECLINED",
    "not_sent": "NOT_SENT",
}


def evolve(exposure: Exposure | None, recorded: Recorded[Event]) -> Exposure | None:
    """None: the payment is in no experiment."""
    event, epoch = recorded.event, recorded.envelope.epoch
    if recorded.is_void or is_too_late(recorded):
        return exposure
    if isinstance(event, ExperimentAssigned):
        return _assigned(exposure, event, epoch)
    return exposure if exposure is None else _told(exposure, event, epoch)


def _assigned(exposure: Exposure | None, event: ExperimentAssigned, epoch: int) -> Exposure | None:
    """The first one stands, unless a later owner starts the payment afresh before anything was tried."""
    is_afresh = exposure is not None and epoch > exposure.epoch and not exposure.attempts
    if not event.customer_id or (exposure is not None and not is_afresh):
        return exposure
    return Exposure(
        experiment_id=ExperimentId(event.experiment_id),
        variant=event.variant,
        customer_id=event.customer_id,
        epoch=epoch,
    )


def _told(exposure: Exposure, event: Event, epoch: int) -> Exposure:
    match event:
        case PaymentRouted():
            if epoch == exposure.epoch:
                fees = {candidate.gateway: candidate.fee_bps for candidate in event.candidates}
                return replace(exposure, fees_bps=fees)
            is_afresh = epoch > exposure.epoch and not exposure.attempts
            return replace(exposure, is_withdrawn=True) if is_afresh else exposure
        case AttemptStarted():
            known = _tried(exposure, event.attempt_id, event.gateway)
            started = replace(
                known, gateway=event.gateway, amount_minor=event.amount_minor, currency=event.currency
            )
            return _with(exposure, started)
        case (
            AttemptSucceeded()
            | AttemptDeclined()
            | AttemptNotSent()
            | AttemptAwaitingCustomer()
            | AttemptInDoubt()
        ):
            tried = _tried(exposure, event.attempt_id, event.gateway)
            verified = getattr(event, "verified", False)
            if not verified and tried.call_ms is None:
                tried = replace(tried, call_ms=event.latency_ms)
            return _with(exposure, _after(tried, _STATUSES[type(event)], verified=verified))
        case ReviewSettled():
            tried = _tried(exposure, event.attempt_id)
            return _with(exposure, _after(tried, _VERDICTS[event.verdict], verified=True))
        case ReviewRequested():
            for attempt_id in event.unsettled:
                tried = _tried(exposure, attempt_id)
                if tried.status not in TERMINAL:
                    exposure = _with(exposure, replace(tried, in_review=True))
            return exposure
        case PaymentSucceeded():
            if exposure.result == "paid":
                return exposure
            certain = _certain(exposure, event.attempt_id, event.gateway)
            return replace(_with(exposure, certain), result="paid", paid_by=event.attempt_id)
        case PaymentFailed():
            return replace(exposure, result=exposure.result or "failed")
        case LateSuccessDetected():
            certain = _certain(exposure, event.attempt_id, event.gateway)
            return _with(exposure, replace(certain, is_given_back=not event.kept))
        case ChargeCompensated():
            certain = _certain(exposure, event.attempt_id, event.gateway)
            return _with(exposure, replace(certain, is_given_back=True))
        case _:
            return exposure


def _after(tried: Tried, status: AttemptStatus, *, verified: bool) -> Tried:
    """The first terminal outcome stands, unless a later verified success overrides it, as in the payment's view."""
    overrides = status == "SUCCEEDED" and verified
    if tried.status in TERMINAL and not overrides:
        return tried
    return replace(tried, status=status, in_review=False)


def _certain(exposure: Exposure, attempt_id: AttemptId, gateway: GatewayId) -> Tried:
    """Somebody has decided that it took money."""
    return _after(_tried(exposure, attempt_id, gateway), "SUCCEEDED", verified=True)


def _tried(exposure: Exposure, attempt_id: AttemptId, gateway: GatewayId = _NO_GATEWAY) -> Tried:
    """Also one whose start is not on the log."""
    for tried in exposure.attempts:
        if tried.attempt_id == attempt_id:
            return tried
    return Tried(attempt_id=attempt_id, gateway=gateway)


def _with(exposure: Exposure, tried: Tried) -> Exposure:
    others = [one for one in exposure.attempts if one.attempt_id != tried.attempt_id]
    return replace(exposure, attempts=tuple(sorted([*others, tried], key=_by_start)))


def _by_start(tried: Tried) -> tuple[int, ...]:
    """Epoch and number end its id."""
    return tuple(int(part) for part in tried.attempt_id.split("_")[2:] if part.isdecimal())
