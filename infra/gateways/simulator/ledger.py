"""The truth: what was asked of every gateway and what became of it, in memory and in order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from msgspec import Struct

from infra.gateways.simulator.now import now_ms
from infra.gateways.simulator.outcome import Latent
from infra.gateways.simulator.profile import Decline, Profile
from infra.gateways.simulator.wire import ChargeRequest, ChargeStatus, Refused, fingerprint

MOST_REFERENCES = 2_000_000
PAYMENT_ID_LENGTH = 26


class Request(Struct, kw_only=True, gc=False):
    """A reference that was asked for at least once, whether or not it had an effect."""

    gateway: str
    reference: str
    amount_minor: int
    currency: str
    method: str
    fingerprint: bytes
    times: int = 0


class Later(Struct, frozen=True, kw_only=True, gc=False):
    """What a charge turns into by itself, once its hour has come."""

    at_ms: int
    status: ChargeStatus
    decline: Decline | None
    then: "Later | None" = None


class Charge(Struct, kw_only=True, gc=False):
    sequence: int
    id: str
    request: Request
    status: ChargeStatus
    decline: Decline | None
    charged_at_ms: int
    later: Later | None
    statuses: tuple[ChargeStatus, ...]
    """Every one that it has had, in order."""
    settled_at_ms: int | None = None
    """When somebody's order ended it."""

    def become(self, status: ChargeStatus) -> None:
        self.status = status
        self.statuses += (status,)

    def age_ms(self) -> int:
        return now_ms() - self.charged_at_ms

    def is_settled_since(self, ms: int) -> bool:
        return self.settled_at_ms is not None and now_ms() - self.settled_at_ms >= ms


class Ledger:
    """A key is `gateway/reference`. A burned one can never be charged; a charged one keeps its charge.

    `changed` is called with each charge when it is made, and whenever its status has changed.
    """

    def __init__(self) -> None:
        self.changed: Callable[[Charge], None] = lambda charge: None
        self._requests: dict[str, Request] = {}
        self._charges: dict[str, Charge] = {}
        self._in_order: list[Charge] = []
        self._burned: set[str] = set()

    def receive(self, gateway: str, body: ChargeRequest) -> Request:
        """Notes that a charge was asked for. Raises Refused if the reference is burned or means another."""
        key = f"{gateway}/{body.reference}"
        self._refuse_burned(key)
        request = self._requests.get(key)
        if request is None:
            self._refuse_when_full()
            request = self._requests[key] = _request(gateway, body)
        elif request.fingerprint != fingerprint(body):
            raise Refused(422, "reference_reused", "the reference stands for another charge")
        request.times += 1
        return request

    def charge(self, request: Request, profile: Profile, fate: Latent) -> Charge:
        """The effect, once: asked again, it returns the first. Raises Refused if burned meanwhile."""
        key = f"{request.gateway}/{request.reference}"
        known = self._charges.get(key)
        if known is not None:
            return self.refreshed(known)
        self._refuse_burned(key)
        charge = self.add(request, profile, fate)
        self.changed(charge)
        return charge

    def add(self, request: Request, profile: Profile, fate: Latent) -> Charge:
        """One charge more, whatever there is: a wire without idempotence takes money as often as it is asked to.

        The caller tells by `changed`, once its own books know of it.
        """
        charge = _charge(len(self._in_order) + 1, request, profile, fate)
        self._charges.setdefault(f"{request.gateway}/{request.reference}", charge)
        self._in_order.append(charge)
        return charge

    def refreshed(self, charge: Charge) -> Charge:
        """As it is by now. A charge that was cleared away changes no more."""
        while self._holds(charge) and charge.later is not None and charge.later.at_ms <= now_ms():
            later = charge.later
            charge.become(later.status)
            charge.decline, charge.later = later.decline, later.then
            self.changed(charge)
        return charge

    def settle(self, charge: Charge, status: ChargeStatus) -> None:
        """By somebody's order, and for good."""
        charge.become(status)
        charge.later, charge.settled_at_ms = None, now_ms()
        self.changed(charge)

    def find(self, gateway: str, reference: str) -> Charge | None:
        charge = self._charges.get(f"{gateway}/{reference}")
        return None if charge is None else self.refreshed(charge)

    def burn(self, gateway: str, reference: str) -> str:
        """Makes a reference without a charge unusable, for good."""
        if self.find(gateway, reference) is not None:
            raise Refused(409, "charge_exists", "there is a charge under this reference")
        self._burn(f"{gateway}/{reference}")
        return "burned"

    def give_back(self, gateway: str, reference: str) -> str:
        """Refunds what was captured, voids what still waits; the same again however often it is asked for."""
        charge = self.find(gateway, reference)
        if charge is None:
            raise Refused(404, "charge_not_found", "nothing was charged under this reference")
        if charge.status == "declined":
            raise Refused(409, "charge_declined", "there is nothing to give back")
        if charge.status in ("captured", "pending"):
            self.settle(charge, "refunded" if charge.status == "captured" else "voided")
        return charge.status

    def after(self, sequence: int) -> Iterator[Charge]:
        """The charges that come after that one, oldest first."""
        for position in range(sequence, len(self._in_order)):
            yield self.refreshed(self._in_order[position])

    def summary(self) -> dict[str, object]:
        by_gateway: defaultdict[str, Counter[str]] = defaultdict(Counter)
        captured: defaultdict[str, list[Charge]] = defaultdict(list)
        for charge in self.after(0):
            by_gateway[charge.request.gateway][charge.status] += 1
            if charge.status == "captured":
                captured[payment_of(charge.request.reference)].append(charge)
        return {
            "references": len(self._requests),
            "requests": sum(request.times for request in self._requests.values()),
            "charges": len(self._in_order),
            "burned": len(self._burned),
            "gateways": by_gateway,
            "charged_more_than_once": [
                {"payment": payment, "charges": [_name(charge) for charge in charges]}
                for payment, charges in captured.items()
                if len(charges) > 1
            ],
        }

    def clear(self) -> None:
        for kept in (self._requests, self._charges, self._in_order, self._burned):
            kept.clear()

    def _holds(self, charge: Charge) -> bool:
        position = charge.sequence - 1
        return position < len(self._in_order) and self._in_order[position] is charge

    def _burn(self, key: str) -> None:
        if key not in self._burned:
            self._refuse_when_full()
            self._burned.add(key)

    def _refuse_burned(self, key: str) -> None:
        if key in self._burned:
            raise Refused(409, "reference_burned", "the reference was cancelled before it was used")

    def _refuse_when_full(self) -> None:
        if len(self._requests) + len(self._burned) >= MOST_REFERENCES:
            raise Refused(
                507, "ledger_full", f"{MOST_REFERENCES} references are kept; DELETE /control/ledger"
            )


def payment_of(reference: str) -> str:
    """`att_<26 characters of the payment>_<epoch>_<n>` → those 26; any other reference stands for itself."""
    end = 4 + PAYMENT_ID_LENGTH
    is_attempt = (
        reference.startswith("att_") and reference[end : end + 1] in ("", "_") and len(reference) >= end
    )
    return reference[4:end] if is_attempt else reference


def _request(gateway: str, body: ChargeRequest) -> Request:
    return Request(
        gateway=gateway,
        reference=body.reference,
        amount_minor=body.amount_minor,
        currency=body.currency,
        method=body.method,
        fingerprint=fingerprint(body),
    )


def _charge(sequence: int, request: Request, profile: Profile, fate: Latent) -> Charge:
    at_ms = now_ms()
    status: ChargeStatus = "pending" if fate.awaits_customer else fate.status
    return Charge(
        sequence=sequence,
        id=fate.charge_id,
        request=request,
        status=status,
        statuses=(status,),
        decline=None if fate.awaits_customer else fate.decline,
        charged_at_ms=at_ms,
        later=_later(at_ms, profile, fate),
    )


def _later(charged_at_ms: int, profile: Profile, fate: Latent) -> Later | None:
    if not fate.awaits_customer:
        return _late_success(charged_at_ms, profile, fate)
    if profile.pending_resolves_ms is None:
        return None
    at_ms = charged_at_ms + profile.pending_resolves_ms
    return Later(
        at_ms=at_ms,
        status=fate.status,
        decline=fate.decline,
        then=_late_success(at_ms, profile, fate),
    )


def _late_success(declined_at_ms: int, profile: Profile, fate: Latent) -> Later | None:
    if not fate.captured_late:
        return None
    at_ms = declined_at_ms + profile.late_capture_after_ms
    return Later(at_ms=at_ms, status=profile.late_status, decline=None)


def _name(charge: Charge) -> dict[str, str]:
    return {"gateway": charge.request.gateway, "reference": charge.request.reference, "id": charge.id}
