"""What counts on the log, and who owns an epoch of a payment."""

from commands.ownership import fold, is_owned_by, valid
from commands.payment_state import INITIAL
from schemas.payment import PaymentTakenOver
from tests.builders import recorded, requested, routed, started
from tests.spec import state_after


def taken_over(claim_id: str) -> PaymentTakenOver:
    return PaymentTakenOver(claim_id=claim_id, by="payment_service")


def test_a_record_outside_its_window_does_not_exist() -> None:
    late = recorded(started(), stamp_ms=10_000, valid_until_ms=10_000)
    early = recorded(started(), stamp_ms=999, valid_from_ms=1_000)
    assert valid([late, early]) == []
    assert fold([late, early]) == INITIAL


def test_the_fold_of_a_history_is_that_of_its_valid_records() -> None:
    history = [
        recorded(requested()),
        recorded(routed(), offset=1, stamp_ms=10_000),
        recorded(started(), offset=2),
    ]
    assert fold(history) == state_after(requested(), started())


def test_the_first_valid_record_of_an_epoch_owns_it() -> None:
    history = [
        recorded(requested()),
        recorded(taken_over("clm_a"), epoch=2),
        recorded(taken_over("clm_b"), epoch=2),
    ]
    assert is_owned_by(history, 2, "clm_a")
    assert not is_owned_by(history, 2, "clm_b")


def test_a_void_record_owns_nothing() -> None:
    history = [
        recorded(taken_over("clm_a"), epoch=2, stamp_ms=10_000),
        recorded(taken_over("clm_b"), epoch=2, offset=1),
    ]
    assert is_owned_by(history, 2, "clm_b")


def test_a_later_epoch_ends_every_earlier_one() -> None:
    history = [recorded(taken_over("clm_a"), epoch=2), recorded(taken_over("clm_c"), epoch=3, offset=1)]
    assert not is_owned_by(history, 2, "clm_a")
    assert is_owned_by(history, 3, "clm_c")


def test_an_epoch_that_did_not_begin_with_a_take_over_is_nobodys() -> None:
    assert not is_owned_by([recorded(started(), epoch=2), recorded(taken_over("clm_a"), epoch=2)], 2, "clm_a")


def test_an_epoch_without_a_record_is_nobodys() -> None:
    assert not is_owned_by([], 2, "clm_a")
