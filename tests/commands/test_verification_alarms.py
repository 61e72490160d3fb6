"""Which of a verifier's decisions a person hears of."""

import pytest

from commands.payment_state import Open, Settled
from commands.settlement import RETRIES_MAX
from commands.verification_alarms import alarms
from schemas.ids import GatewayId
from schemas.payment import PaymentCommand, PaymentEvent
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    ReliabilityEvent,
    VerificationOverdue,
    VerificationOverdueEnded,
)
from tests.builders import (
    HORIZON_S,
    PAYMENT,
    SCHEDULE,
    attempt,
    attempt_declined,
    attempt_in_doubt,
    attempt_succeeded,
    declined,
    not_sent,
    payment_succeeded,
    requested,
    routed,
    started,
    success,
)
from tests.spec import decided, state_after
from tests.verifying import (
    GIVEN_BACK,
    NO_FUNDS,
    UNREACHABLE,
    closing,
    giving_back,
    in_review,
    late,
    performed,
    seen,
    the_review,
)

ALPHA = GatewayId("alpha")
BEGUN: tuple[PaymentEvent, ...] = (requested(), routed(), started())
IN_DOUBT = (*BEGUN, attempt_in_doubt())
IN_REVIEW = (*IN_DOUBT, performed("unreachable"), in_review())
PAID_BY_THE_SECOND = (
    *IN_DOUBT,
    started(2, "beta"),
    attempt_succeeded(2, "beta"),
    payment_succeeded(2, "beta"),
)
DECLINED = (*BEGUN, attempt_declined(declined()), NO_FUNDS)

DETECTED = DuplicateChargeDetected(
    payment_id=PAYMENT, attempt_id=attempt(), gateway=ALPHA, gateway_reference="txn_1", kept=False
)
COMPENSATED = DuplicateChargeCompensated(payment_id=PAYMENT, attempt_id=attempt(), gateway=ALPHA, by="refund")
OVERDUE = VerificationOverdue(payment_id=PAYMENT, unsettled=(attempt(),))
ENDED = VerificationOverdueEnded(payment_id=PAYMENT, attempt_id=attempt())


def heard(command: PaymentCommand, *history: PaymentEvent) -> list[ReliabilityEvent]:
    state = state_after(*history)
    assert isinstance(state, Open | Settled)
    return list(alarms(PAYMENT, decided(command, *history), state))


@pytest.mark.parametrize("history", [PAID_BY_THE_SECOND, DECLINED])
def test_a_charge_that_should_not_be_is_heard_of(history: tuple[PaymentEvent, ...]) -> None:
    assert heard(seen("succeeded", success()), *history) == [DETECTED]


def test_and_so_is_its_end() -> None:
    assert heard(giving_back(GIVEN_BACK), *PAID_BY_THE_SECOND, late()) == [COMPENSATED]


def test_giving_back_that_failed_is_no_news() -> None:
    assert heard(giving_back(UNREACHABLE), *PAID_BY_THE_SECOND, late()) == []


def test_a_payment_that_needs_a_person_is_heard_of() -> None:
    assert heard(seen("still_pending", after_s=SCHEDULE.after_s[-1]), *IN_DOUBT) == [OVERDUE]


def test_a_last_look_that_told_nothing_is_heard_of() -> None:
    """What had failed may have charged after all, and nobody looks again."""
    silence = performed("unreachable", check=RETRIES_MAX, retry=RETRIES_MAX)
    assert heard(seen("unreachable", after_s=HORIZON_S), *DECLINED, silence) == [OVERDUE]
    assert heard(seen("unreachable", after_s=HORIZON_S), *DECLINED) == []


@pytest.mark.parametrize(
    "command",
    [
        seen("succeeded", success()),
        seen("declined", declined()),
        seen("not_sent", not_sent("burned")),
        the_review("succeeded", reference="txn_1"),
        the_review("declined"),
        the_review("not_sent"),
    ],
)
def test_and_so_is_that_it_needs_one_no_more(command: PaymentCommand) -> None:
    assert heard(command, *IN_REVIEW) == [ENDED]


@pytest.mark.parametrize(
    "command",
    [
        seen("succeeded", success()),
        seen("declined", declined()),
        seen("not_sent", not_sent("burned")),
        seen("still_pending"),
        closing(1_000_000),
    ],
)
def test_what_goes_as_it_should_is_nobodys_concern(command: PaymentCommand) -> None:
    assert heard(command, *IN_DOUBT) == []
