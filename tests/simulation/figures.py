"""What a run of many worlds has come to, in figures: how much went wrong, and how long it took to become certain."""

from collections import Counter
from collections.abc import Iterable
from statistics import median, quantiles

from commands.ownership import valid
from schemas.envelope import Recorded
from schemas.payment import (
    AttemptInDoubt,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
    PaymentHandedOver,
    PaymentSucceeded,
    ReviewRequested,
    VerificationPerformed,
)
from tests.simulation.world import World


class Figures:
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.reviews: Counter[str] = Counter()
        """How many ended in review, by the last verdict before it."""
        self.settled_after_s: list[float] = []
        """From the first hand-over to the end, of payments that were handed over without one; virtual time."""

    def add(self, world: World) -> None:
        self.faults += world.faults.counted
        self.counted["worlds"] += 1
        self.counted["posts"] += world.posts
        self.counted["charges"] += sum(len(ledger.entries) for ledger in world.ledgers.values())
        records = [record for partition in world.log.partitions for record in partition]
        self.counted["records"] += len(records)
        self.counted["void records"] += sum(record.is_void for record in records)
        for history in _by_payment(records):
            self._add(history)

    def _add(self, history: list[Recorded[PaymentEvent]]) -> None:
        self.counted["payments"] += 1
        handed_over_ms, verdict, was_in_doubt = None, "", False
        for record in valid(history):
            match record.event:
                case AttemptInDoubt():
                    was_in_doubt = True
                case PaymentHandedOver():
                    handed_over_ms = handed_over_ms or record.stamp_ms
                case VerificationPerformed() as event:
                    self.counted["checks"] += 1
                    verdict = event.verdict
                case ReviewRequested():
                    self.reviews[verdict] += 1
                case LateSuccessDetected(kept=kept):
                    self.counted["late successes kept" if kept else "late successes"] += 1
                case ChargeCompensated():
                    self.counted["charges given back"] += 1
                case PaymentSucceeded() | PaymentFailed() if handed_over_ms is not None:
                    self.settled_after_s.append(max(0, record.stamp_ms - handed_over_ms) / 1000)
                    handed_over_ms = None
                case _:
                    pass
        self.counted["payments in doubt"] += was_in_doubt

    def lines(self) -> list[str]:
        lines = [f"{name:<24}{count:>12,}" for name, count in sorted(self.counted.items())]
        lines += [f"  fault: {name:<32}{count:>12,}" for name, count in sorted(self.faults.items())]
        lines += [
            f"  in review after: {name:<22}{count:>12,}" for name, count in sorted(self.reviews.items())
        ]
        if len(self.settled_after_s) > 1:
            p99 = quantiles(self.settled_after_s, n=100)[98]
            half = median(self.settled_after_s)
            lines.append(
                f"settled after the hand-over: median {half:.1f} s, p99 {p99:.1f} s "
                f"({len(self.settled_after_s):,} payments, virtual time)"
            )
        return lines


def _by_payment(records: Iterable[Recorded[PaymentEvent]]) -> Iterable[list[Recorded[PaymentEvent]]]:
    found: dict[str, list[Recorded[PaymentEvent]]] = {}
    for record in records:
        found.setdefault(record.envelope.aggregate_id, []).append(record)
    return found.values()
