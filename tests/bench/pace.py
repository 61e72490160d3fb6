"""How fast verifiers settled, by the broker's stamps: folded record by record, so that a million do not fill memory."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct

from schemas.base import Event
from schemas.envelope import Recorded
from schemas.payment import AttemptDeclined, AttemptNotSent, AttemptSucceeded, PaymentFailed, PaymentSucceeded


class GatewayPace(Struct, frozen=True, kw_only=True):
    """Settlements. `most_in_a_second` is of any second, wherever it begins."""

    settled: int
    per_second: float
    most_in_a_second: int


class Pace:
    """`ended_twice` are payments with two ends, `written_twice` epochs with two writers: there must be none."""

    def __init__(self) -> None:
        self.stamps: dict[str, list[int]] = defaultdict(list)
        self._gateways: dict[str, str] = {}
        self._ends: Counter[str] = Counter()
        self._writers: dict[tuple[str, int], set[str]] = defaultdict(set)

    def note(self, record: Recorded[Event]) -> None:
        if record.is_void:
            return
        payment_id, epoch = record.envelope.aggregate_id, record.envelope.epoch
        self._writers[payment_id, epoch].add(record.envelope.correlation_id)
        match record.event:
            case AttemptSucceeded(gateway=gateway) | AttemptNotSent(gateway=gateway):
                self._gateways[payment_id] = gateway
            case AttemptDeclined(gateway=gateway):
                self._gateways[payment_id] = gateway
            case PaymentSucceeded() | PaymentFailed():
                self._ends[payment_id] += 1
                if epoch > 1:  # a verifier's
                    self.stamps[self._gateways[payment_id]].append(record.stamp_ms)
            case _:
                pass

    @property
    def settled(self) -> int:
        return sum(map(len, self.stamps.values()))

    @property
    def first_ms(self) -> int | None:
        return min((min(stamps) for stamps in self.stamps.values()), default=None)

    @property
    def ended_twice(self) -> int:
        return sum(ends > 1 for ends in self._ends.values())

    @property
    def written_twice(self) -> int:
        return sum(len(writers) > 1 for writers in self._writers.values())

    def between(self, begin_ms: int, end_ms: int) -> dict[str, GatewayPace]:
        """By gateway, of that time."""
        chosen = {
            gateway: sorted(stamp for stamp in stamps if begin_ms <= stamp < end_ms)
            for gateway, stamps in sorted(self.stamps.items())
        }
        return {
            gateway: GatewayPace(
                settled=len(stamps),
                per_second=round(len(stamps) / (end_ms - begin_ms) * 1000, 1),
                most_in_a_second=most_in_a_second(stamps),
            )
            for gateway, stamps in chosen.items()
        }


def most_in_a_second(ordered: Sequence[int]) -> int:
    return max(
        (place + 1 - bisect_left(ordered, stamp - 999) for place, stamp in enumerate(ordered)), default=0
    )
