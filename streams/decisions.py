"""Chooses every past route again from its event alone, and compares: what was decided can be explained, or is wrong."""

from collections.abc import Callable, Iterator, Sequence
from math import isclose

from commands.routing.ranking import recomputed
from infra.kafka.reader import LogReader, Record
from infra.settings import Settings
from projections.absorption import decoded
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import Unreadable
from schemas.payment import PaymentRouted

STRETCH = 5_000
"""Records that are read at a time."""
READ_TIMEOUT_S = 30.0
MOST_NAMED = 20
_ROUTED = PaymentRouted.__name__.encode()


class Audit(Value, frozen=True, kw_only=True):
    agree: int = 0
    differ: int = 0
    """Payments whose recorded route is another one than follows from it."""
    named: tuple[str, ...] = ()
    """The first of them."""
    unexplained: int = 0
    """From the time before decisions recorded what they were made from."""
    unreadable: int = 0


async def recompute_decisions(settings: Settings, tell: Callable[[str], None]) -> Audit:
    """All that are on the log when it begins. Raises LogUnavailable."""
    reader = LogReader(settings.kafka_bootstrap_servers)
    audit = Audit()
    try:
        for partition, end in sorted((await reader.end_offsets(PAYMENTS_TOPIC)).items()):
            for start in range(0, end, STRETCH):
                stop = min(start + STRETCH, end)
                records = await reader.read(PAYMENTS_TOPIC, partition, start, stop, timeout_s=READ_TIMEOUT_S)
                audit = audited(audit, records)
            tell(f"{PAYMENTS_TOPIC}-{partition}: {audit.agree:,} agree, {audit.differ:,} differ")
    finally:
        await reader.stop()
    return audit


def follows(routed: PaymentRouted) -> bool:
    """The same strategy and order, exactly, and the same numbers but for the last digits, which another machine's
    arithmetic may change."""
    strategy, candidates = recomputed(routed)
    return (
        strategy == routed.strategy
        and len(candidates) == len(routed.candidates)
        and all(
            again.gateway == once.gateway
            and _is_close(again.score, once.score)
            and _is_close(again.propensity, once.propensity)
            for again, once in zip(candidates, routed.candidates, strict=True)
        )
    )


def _is_close(again: float | None, once: float | None) -> bool:
    return again is not None and once is not None and isclose(again, once, rel_tol=1e-9, abs_tol=1e-12)


def audited(audit: Audit, records: Sequence[Record]) -> Audit:
    """With so many more records."""
    agree, differ, unexplained, unreadable = audit.agree, audit.differ, audit.unexplained, audit.unreadable
    named = audit.named
    for payment_id, routed in _routes(records):
        if routed is None:
            unreadable += 1
        elif routed.decision is None:
            unexplained += 1
        elif follows(routed):
            agree += 1
        else:
            differ += 1
            named = (*named, payment_id)[:MOST_NAMED]
    return Audit(agree=agree, differ=differ, named=named, unexplained=unexplained, unreadable=unreadable)


def _routes(records: Sequence[Record]) -> Iterator[tuple[str, PaymentRouted | None]]:
    for record in records:
        if ("ce_type", _ROUTED) not in record.headers:
            continue
        try:
            found = decoded(record)
        except Unreadable:
            yield "", None
            continue
        if isinstance(found.event, PaymentRouted):
            yield found.envelope.aggregate_id, found.event
