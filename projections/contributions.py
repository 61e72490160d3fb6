"""What an exposed payment contributes to its experiment, its customer and its arm, as its exposure stands.

A payment counts from its first outcome on that leaves no other attempt on its way: a chain of attempts that goes on is
not a failure yet. In doubt is no success until it is settled; what the customer still has to do counts when it is done.
Whatever is learned later replaces what was contributed before, so that nothing counts twice.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from projections.sketch import bin_of
from projections.statistics.latency import log_units
from projections.statistics.sums import Numbers, Sums, moved
from schemas.exposure import TERMINAL, CustomerKey, Exposure, Figures, Tally, Tried

COST_UNIT = 1 / 10_000
"""Of a minor unit: fees are basis points of amounts, and are summed unrounded."""


class Contribution(NamedTuple):
    """Of a payment that counts."""

    succeeded: bool = False
    first_succeeded: bool = False
    """By its first attempt."""
    latency_ms: int | None = None
    """Until its first answer: what the calls of all its attempts took; None where that is not known of one of them."""
    is_unknown: bool = False
    """In doubt, which counts as no success until it is settled."""
    in_review: bool = False
    currency: str = ""
    charged_minor: int = 0
    cost: int = 0
    """What the gateway that charged takes, in ten-thousandths of a minor unit."""
    is_given_back: bool = False
    """A charge that does not stand was made, and goes back to the customer."""
    given_back_minor: int = 0


def contribution(exposure: Exposure) -> Contribution | None:
    """None: it does not count, or not yet."""
    if exposure.is_withdrawn:
        return None
    attempts, payer = exposure.attempts, _payer(exposure)
    is_settled = payer is not None or exposure.result is not None
    in_review = not is_settled and any(one.in_review for one in attempts)
    if not (is_settled or in_review or _has_come_to_something(attempts)):
        return None
    latencies_ms = [one.call_ms for one in attempts if one.call_ms is not None]
    given_back = [one for one in attempts if one.is_given_back]
    told = Contribution(
        latency_ms=sum(latencies_ms) if latencies_ms and len(latencies_ms) == len(attempts) else None,
        is_unknown=not is_settled and not in_review and any(one.status == "IN_DOUBT" for one in attempts),
        in_review=in_review,
        currency=next((one.currency for one in given_back), ""),
        is_given_back=bool(given_back),
        given_back_minor=sum(one.amount_minor for one in given_back),
    )
    if payer is None:
        return told
    return told._replace(
        succeeded=True,
        first_succeeded=payer is attempts[0],
        currency=payer.currency,
        charged_minor=payer.amount_minor,
        cost=payer.amount_minor * exposure.fees_bps.get(payer.gateway, 0),
    )


def _payer(exposure: Exposure) -> Tried | None:
    """The attempt that the payment's success names, or that nothing but a lost record keeps from it."""
    if exposure.result == "paid":
        return next(one for one in exposure.attempts if one.attempt_id == exposure.paid_by)
    if exposure.result == "failed":
        return None
    return next(
        (one for one in exposure.attempts if one.status == "SUCCEEDED" and not one.is_given_back), None
    )


def _has_come_to_something(attempts: tuple[Tried, ...]) -> bool:
    return bool(attempts) and all(one.status in (*TERMINAL, "IN_DOUBT") for one in attempts)


def of_customer(exposure: Exposure) -> Figures:
    if exposure.is_withdrawn:
        return Figures()
    if (counted := contribution(exposure)) is None:
        return Figures(exposed=1)
    latency_ms = counted.latency_ms
    return Figures(
        exposed=1,
        payments=1,
        succeeded=int(counted.succeeded),
        first_succeeded=int(counted.first_succeeded),
        timed=int(latency_ms is not None),
        log_units=log_units(latency_ms) if latency_ms is not None else 0,
    )


def customer_of(exposure: Exposure) -> CustomerKey:
    return CustomerKey(exposure.experiment_id, exposure.variant, exposure.customer_id)


def changes(before: Exposure | None, after: Exposure) -> Iterator[tuple[CustomerKey, Figures, Tally]]:
    """Whose figures change and by how much, and what changes in the arm whatever customers there are."""
    if before is not None and customer_of(before) != customer_of(after):
        yield customer_of(before), -of_customer(before), _negated(_of_arm(before))
        before = None
    figures, tally = of_customer(after), _of_arm(after)
    if before is not None:
        figures += -of_customer(before)
        tally.subtract(_of_arm(before))
    yield customer_of(after), figures, tally


def _of_arm(exposure: Exposure) -> Tally:
    """What is a sum over payments."""
    if exposure.is_withdrawn:
        return Tally()
    tally = Tally(exposed=1)
    if (counted := contribution(exposure)) is None:
        return tally
    tally.update(
        unknown=int(counted.is_unknown),
        in_review=int(counted.in_review),
        given_back=int(counted.is_given_back),
    )
    if counted.latency_ms is not None:
        tally[f"latency:{bin_of(counted.latency_ms)}"] += 1
    if counted.succeeded:
        tally[f"charged:{counted.currency}"] += counted.charged_minor
        tally[f"cost:{counted.currency}"] += counted.cost
    if counted.is_given_back:
        tally[f"given_back:{counted.currency}"] += counted.given_back_minor
    return tally


def _negated(tally: Tally) -> Tally:
    return Tally({name: -count for name, count in tally.items()})


def of_customers(before: Figures, after: Figures) -> Tally:
    """What it changes in the sums over an arm's customers that one of them went from these figures to those."""
    paid = moved(Sums(), (before.payments, before.succeeded), (after.payments, after.succeeded))
    first = moved(Sums(), (before.payments, before.first_succeeded), (after.payments, after.first_succeeded))
    timed = moved(Sums(), (before.timed, before.log_units), (after.timed, after.log_units))
    found: Mapping[str, Numbers] = {
        "assigned": (after.exposed > 0) - (before.exposed > 0),
        "customers": paid.customers,
        "payments": paid.payments,
        "payments_squared": paid.payments_squared,
        "succeeded": paid.total,
        "succeeded_squared": paid.total_squared,
        "succeeded_product": paid.product,
        "first_succeeded": first.total,
        "first_succeeded_squared": first.total_squared,
        "first_succeeded_product": first.product,
        "timed_customers": timed.customers,
        "timed": timed.payments,
        "timed_squared": timed.payments_squared,
        "log": timed.total,
        "log_squared": timed.total_squared,
        "log_product": timed.product,
    }
    return Tally({name: int(count) for name, count in found.items()})
