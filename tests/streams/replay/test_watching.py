"""Of the records that go by, those that were asked for, each in a line that says what it is."""

from streams.replay.watching import Wanted, Watch
from tests.projections.story import PAYMENT, junk, new_payment_id, paid, raw, recorded, requested

REQUESTED, PAID = raw(recorded(requested(merchant="m_1"))), raw(recorded(paid(), 1))
OTHER = new_payment_id(2)
ANOTHERS = [
    raw(recorded(requested(merchant="m_2"), 2, payment=OTHER)),
    raw(recorded(paid(), 3, payment=OTHER)),
]
RECORDS = [REQUESTED, PAID, *ANOTHERS]


def offsets(wanted: Wanted) -> list[int]:
    watch = Watch(wanted)
    return [seen.offset for record in RECORDS if (seen := watch.see(record))]


def test_everything_is_seen_by_whoever_asks_for_nothing() -> None:
    assert offsets(Wanted()) == [0, 1, 2, 3]


def test_a_payment_a_type_and_a_merchant_can_be_asked_for_together() -> None:
    assert offsets(Wanted(keys=frozenset({OTHER}))) == [2, 3]
    assert offsets(Wanted(types=frozenset({"PaymentSucceeded"}))) == [1, 3]
    assert offsets(Wanted(merchants=frozenset({"m_1"}))) == [0, 1]
    assert offsets(Wanted(merchants=frozenset({"m_2"}), types=frozenset({"PaymentSucceeded"}))) == [3]


def test_a_line_says_what_happened_and_whether_it_counts() -> None:
    late = raw(recorded(paid(), 1, stamp_ms=2**41))
    seen = [Watch(Wanted()).see(record) for record in (PAID, late, junk(3, 9))]
    assert [one and (one.key, one.type, one.is_void) for one in seen] == [
        (PAYMENT, "PaymentSucceeded", False),
        (PAYMENT, "PaymentSucceeded", True),
        ("k", "?", False),
    ]
    assert seen[0] is not None
    assert seen[0].what == "charged by alpha, ref_alpha"
