"""A run in numbers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import quantiles
from typing import Any

from commands.ownership import valid
from infra.gateways.simulator.outcome import charge_fault, delivery, lookup_fails
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.webhooks import EVENTS
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptInDoubt,
    AttemptStarted,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentFailed,
    PaymentHandedOver,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewRequested,
    VerificationPerformed,
)
from tests.chaos.aftermath import Aftermath
from tests.chaos.disasters import Disasters
from tests.checker.evidence import Record

Figures = dict[str, Any]


def figures(aftermath: Aftermath, profiles: Iterable[Profile], disasters: Disasters) -> Figures:
    histories = [valid(history) for history in aftermath.evidence.records.values()]
    return {
        "payments": len(histories),
        "keys": len(aftermath.purchases),
        "posts": sum(len(purchase.posts) for purchase in aftermath.purchases),
        "answers": _sorted(
            Counter(str(post.answer.status) for one in aftermath.purchases for post in one.posts)
        ),
        "charges": len(aftermath.ledger),
        "records": sum(map(len, aftermath.evidence.records.values())),
        "void records": sum(r.is_void for records in aftermath.evidence.records.values() for r in records),
        "messages": len(aftermath.messages),
        "faults": _sorted(_faults(histories, aftermath.ledger, {one.gateway: one for one in profiles})),
        "disasters": _sorted(Counter({f"{part} {how}": n for (part, how), n in disasters.counted.items()})),
        "ended by themselves": _sorted(disasters.ended),
        "unknown outcomes": _sorted(Counter(why for history in histories for why in _unknown(history))),
        **_settling(histories),
        "take-overs": _sorted(Counter(what for history in histories for what in _taken_over(history))),
        "reviews": _sorted(Counter(why for history in histories for why in _reviews(history))),
        "late successes": _sorted(Counter(what for history in histories for what in _late(history))),
    }


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {"payments": len(seconds)}
    percentiles = quantiles(seconds, n=100, method="inclusive")
    found = {"median": percentiles[49], "p99": percentiles[98], "longest": max(seconds)}
    return {"payments": len(seconds)} | {name: round(value, 2) for name, value in found.items()}


def _faults(
    histories: Iterable[Sequence[Record]],
    ledger: Iterable[Mapping[str, Any]],
    profiles: Mapping[str, Profile],
) -> Counter[str]:
    """Every draw of the simulator's is a function of the reference, so what struck is known without asking it."""
    struck: Counter[str] = Counter()
    for record in (record for history in histories for record in history):
        if isinstance(record.event, AttemptStarted):
            profile, reference = profiles[record.event.gateway], record.event.attempt_id
            struck[charge_fault(profile, reference) or "none"] += 1
            if fault := charge_fault(profile, reference, at="order"):
                struck[f"order: {fault}"] += 1
            struck["lookup_500"] += lookup_fails(profile, reference)
    for charge in ledger:
        statuses = charge["statuses"]
        struck["late capture"] += "declined" in statuses and bool({"captured", "authorized"} & {*statuses})
        struck["customer was to act"] += statuses[0] == "pending"
        struck.update(_webhook_faults(charge, profiles[charge["gateway"]]))
    return +struck


def _webhook_faults(charge: Mapping[str, Any], profile: Profile) -> Iterator[str]:
    if profile.webhooks is None:
        return
    for event in (event for status in charge["statuses"] for event in EVENTS.get(status, ())):
        fate = delivery(profile, profile.webhooks, f"{charge['reference']}/{charge['id']}/{event}")
        if fate.times != 1:
            yield "webhook lost" if fate.times == 0 else "webhook doubled"
        if fate.times and fate.delay_ms > profile.webhooks.delay_ms:
            yield "webhook late"


def _unknown(history: Sequence[Record]) -> Iterator[str]:
    """Each payment once for every way in which it was ever in doubt."""
    found: set[str] = set()
    is_started = False
    for record in history:
        match record.event:
            case AttemptStarted():
                is_started = True
            case AttemptInDoubt(reason=reason):
                found.add(f"in doubt: {reason}")
            case AttemptAwaitingCustomer():
                found.add("awaiting customer")
            case PaymentSucceeded() | PaymentFailed():
                break
            case PaymentTakenOver() if record.envelope.epoch == 2 and not _is_handed_over(history, 1):
                found.add("owner was silent" if is_started else "owner was silent before any attempt")
            case _:
                pass
    yield from found
    if found:
        yield "payments"


def _is_handed_over(history: Sequence[Record], epoch: int) -> bool:
    return any(isinstance(r.event, PaymentHandedOver) and r.envelope.epoch == epoch for r in history)


def _settling(histories: Iterable[Sequence[Record]]) -> dict[str, dict[str, float]]:
    """From the first hand-over, or from the end of the first window where there was none, to the payment's end."""
    handed_over: defaultdict[str, list[float]] = defaultdict(list)
    silent: list[float] = []
    for history in histories:
        end = next((r for r in history if isinstance(r.event, PaymentSucceeded | PaymentFailed)), None)
        first = [record for record in history if record.envelope.epoch == 1]
        if end is None or not first:
            continue
        given_up = next((r for r in first if isinstance(r.event, PaymentHandedOver)), None)
        until_ms = first[0].envelope.window.valid_until_ms
        if given_up is not None and given_up.position < end.position:
            seconds = (end.stamp_ms - given_up.stamp_ms) / 1000
            handed_over["any"].append(seconds)
            handed_over[_found_by(history, end)].append(seconds)
        elif given_up is None and end.stamp_ms > until_ms:
            silent.append((end.stamp_ms - until_ms) / 1000)
    spreads = {
        f"hand-over to the end by {how}, s": _spread(times) for how, times in sorted(handed_over.items())
    }
    return spreads | {"a silent owner's window to the end, s": _spread(silent)}


def _found_by(history: Sequence[Record], end: Record) -> str:
    checks = (r.event for r in history if r.position < end.position)
    return next((c.source for c in reversed([*checks]) if isinstance(c, VerificationPerformed)), "nobody")


def _taken_over(history: Sequence[Record]) -> Iterator[str]:
    """In vain where its owner wrote nothing else: it lost the race, found nothing to do, or died or gave up at once."""
    written = Counter(record.envelope.epoch for record in history)
    for record in history:
        if isinstance(record.event, PaymentTakenOver):
            yield record.event.by if written[record.envelope.epoch] > 1 else f"{record.event.by}, in vain"


def _reviews(history: Sequence[Record]) -> Iterator[str]:
    """Why: what the last look said."""
    said: dict[str, str] = {}
    for record in history:
        match record.event:
            case VerificationPerformed(attempt_id=attempt_id, verdict=verdict):
                said[attempt_id] = verdict
            case ReviewRequested(unsettled=unsettled):
                yield from (said.get(attempt_id, "never asked") for attempt_id in unsettled)
            case _:
                pass


def _late(history: Sequence[Record]) -> Iterator[str]:
    for record in history:
        match record.event:
            case LateSuccessDetected(kept=kept):
                yield "kept" if kept else "to be given back"
            case ChargeCompensated(by=by):
                yield f"given back by {by}"
            case _:
                pass
