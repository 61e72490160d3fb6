"""What counts against a gateway's health."""

from typing import get_args

import pytest

from schemas.outcome import (
    AwaitingCustomer,
    Blame,
    Decline,
    Declined,
    DoubtReason,
    InDoubt,
    NextAction,
    NotSent,
    NotSentReason,
    Outcome,
    Succeeded,
    is_gateways_fault,
)

FAULTS = {"dns", "tls", "connect"}


@pytest.mark.parametrize("blame", get_args(Blame))
def test_of_declines_only_those_that_the_gateway_is_to_blame_for(blame: Blame) -> None:
    declined = Declined(decline=Decline(code="any", blame=blame, retryable=False))
    assert is_gateways_fault(declined) == (blame == "gateway")


@pytest.mark.parametrize("reason", get_args(NotSentReason))
def test_that_it_could_not_be_reached_but_not_our_own_limits(reason: NotSentReason) -> None:
    assert is_gateways_fault(NotSent(reason=reason)) == (reason in FAULTS)


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(gateway_reference="txn_1"),
        AwaitingCustomer(gateway_reference="txn_1", next_action=NextAction(type="upi_collect")),
        *(InDoubt(reason=reason) for reason in get_args(DoubtReason)),
    ],
)
def test_no_success_and_no_doubt(outcome: Outcome) -> None:
    assert not is_gateways_fault(outcome)
