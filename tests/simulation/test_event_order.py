"""What `docs/events.md` promises of the order within a payment, in worlds where everything goes wrong."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest

from schemas.envelope import Recorded
from schemas.ids import AttemptId
from schemas.payment import (
    AttemptStarted,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
    PaymentSucceeded,
    PaymentTakenOver,
)
from tests.simulation.test_simulation import SCENARIOS, simulated

SEEDS = range(100, 160)
"""In one of these worlds a late charge is kept."""
History = Sequence[Recorded[PaymentEvent]]


@pytest.fixture(scope="module")
def histories() -> Sequence[History]:
    """Of every payment, what counts, by its offsets."""
    return [history for seed in SEEDS for history in _histories(seed)]


def _histories(seed: int) -> Iterator[History]:
    by_payment: Mapping[str, list[Recorded[PaymentEvent]]] = defaultdict(list)
    for partition in simulated(seed, SCENARIOS[seed % len(SCENARIOS)]).log.partitions:
        for record in partition:
            if not record.is_void:
                by_payment[record.envelope.aggregate_id].append(record)
    yield from by_payment.values()


def test_an_attempt_is_started_before_anything_else_is_told_of_it(histories: Sequence[History]) -> None:
    for history in histories:
        told: set[AttemptId] = set()
        for event in (record.event for record in history):
            if isinstance(event, AttemptStarted):
                assert event.attempt_id not in told
            attempt: AttemptId | None = getattr(event, "attempt_id", None)
            told |= {attempt} if attempt is not None else set()
        started = {one.event.attempt_id for one in history if isinstance(one.event, AttemptStarted)}
        assert told == started


def test_no_attempt_is_started_after_an_end(histories: Sequence[History]) -> None:
    for history in histories:
        events = [record.event for record in history]
        ends = [n for n, event in enumerate(events) if isinstance(event, PaymentSucceeded | PaymentFailed)]
        starts = [n for n, event in enumerate(events) if isinstance(event, AttemptStarted)]
        assert not ends or not starts or starts[-1] < ends[0]


def test_a_payment_has_one_end_unless_a_late_charge_is_kept(histories: Sequence[History]) -> None:
    was_kept = False
    for history in histories:
        events = [record.event for record in history]
        ends = [type(event) for event in events if isinstance(event, PaymentSucceeded | PaymentFailed)]
        is_kept = any(isinstance(event, LateSuccessDetected) and event.kept for event in events)
        was_kept |= is_kept
        assert len(ends) <= 1 or (is_kept and ends == [PaymentFailed, PaymentSucceeded])
    assert was_kept


def test_a_charge_is_given_back_after_it_was_detected(histories: Sequence[History]) -> None:
    given_back = 0
    for history in histories:
        detected: set[AttemptId] = set()
        for event in (record.event for record in history):
            if isinstance(event, LateSuccessDetected):
                detected.add(event.attempt_id)
            if isinstance(event, ChargeCompensated):
                assert event.attempt_id in detected
                given_back += 1
    assert given_back


def test_epochs_never_fall_and_each_but_the_first_begins_with_a_take_over(
    histories: Sequence[History],
) -> None:
    for history in histories:
        epochs = [record.envelope.epoch for record in history]
        assert epochs == sorted(epochs)
        for epoch in set(epochs) - {1}:
            first = next(record for record in history if record.envelope.epoch == epoch)
            assert isinstance(first.event, PaymentTakenOver)
