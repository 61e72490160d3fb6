"""What counts against a gateway's health, and against its circuit."""

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
    counts_against_circuit,
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


# Circuits


@pytest.mark.parametrize("blame", get_args(Blame))
def test_a_decline_tells_that_the_gateway_works_unless_it_or_we_are_to_blame(blame: Blame) -> None:
    declined = Declined(decline=Decline(code="any", blame=blame, retryable=False))
    told = {"gateway": True, "caller": None}
    assert counts_against_circuit(declined) is told.get(blame, False)


@pytest.mark.parametrize("reason", get_args(NotSentReason))
def test_what_we_did_not_send_ourselves_tells_nothing(reason: NotSentReason) -> None:
    assert counts_against_circuit(NotSent(reason=reason)) is (True if reason in FAULTS else None)


@pytest.mark.parametrize("reason", get_args(DoubtReason))
def test_doubt_counts_against_a_circuit_at_once(reason: DoubtReason) -> None:
    assert counts_against_circuit(InDoubt(reason=reason)) is True


def test_a_gateway_works_that_succeeds_or_waits_for_its_customer() -> None:
    assert counts_against_circuit(Succeeded(gateway_reference="txn_1")) is False
    waiting = AwaitingCustomer(gateway_reference="txn_1", next_action=NextAction(type="upi_collect"))
    assert counts_against_circuit(waiting) is False
