import pytest

from infra.gateways.classification import ANYTHING, Classification, Meaning, Row, classification

RAZORPAY = classification("razorpay")


@pytest.mark.parametrize("row", RAZORPAY.rows, ids=lambda row: "-".join(row.said))
def test_each_row_is_reached_by_what_it_names(row: Row) -> None:
    said = {
        column: "never heard of" if word == ANYTHING else word
        for column, word in zip(RAZORPAY.columns, row.said, strict=True)
    }
    assert RAZORPAY(**said) == row.meaning


@pytest.mark.parametrize("row", RAZORPAY.rows, ids=lambda row: "-".join(row.said))
def test_only_what_certainly_charged_nobody_is_tried_elsewhere(row: Row) -> None:
    meaning = row.meaning
    assert meaning.certain != "no" or not meaning.retryable
    assert meaning.blame not in ("customer", "risk") or not meaning.retryable


@pytest.mark.parametrize(
    ("reason", "source", "code", "blame", "retryable"),
    [
        ("insufficient_funds", "customer", "insufficient_funds", "customer", False),
        ("incorrect_pin", "customer", "incorrect_credentials", "customer", False),
        ("payment_cancelled", "customer", "cancelled_by_customer", "customer", False),
        ("invalid_vpa", "customer", "invalid_instrument", "customer", False),
        ("card_expired", "customer", "expired_instrument", "customer", False),
        ("transaction_limit_exceeded", "customer", "limit_exceeded", "customer", False),
        ("payment_risk_check_failed", "business", "risk_declined", "risk", False),
        ("compliance_violation", "business", "risk_declined", "risk", False),
        ("input_validation_failed", "business", "invalid_request", "caller", False),
        ("upi_collect_not_enabled", "business", "method_not_eligible", "caller", True),
        ("bank_technical_error", "issuer_bank", "issuer_unavailable", "issuer", True),
        ("psp_not_available", "customer_psp", "issuer_unavailable", "issuer", True),
        ("gateway_technical_error", "gateway", "gateway_error", "gateway", True),
        ("payment_declined_due_to_high_traffic", "gateway", "gateway_busy", "gateway", True),
        ("payment_failed", "issuer_bank", "issuer_declined", "issuer", True),
        ("payment_failed", "gateway", "gateway_error", "gateway", True),
        ("payment_failed", "customer", "payment_failed", "customer", False),
    ],
)
def test_a_reason_has_one_meaning_for_merchants(
    reason: str, source: str, code: str, blame: str, retryable: bool
) -> None:
    meaning = RAZORPAY(reason=reason, source=source, step="payment_authorization")
    assert (meaning.code, meaning.blame, meaning.retryable) == (code, blame, retryable)


@pytest.mark.parametrize(
    "reason",
    [
        "request_timed_out",
        "payment_timed_out",
        "payment_pending",
        "deemed_transaction",
        "collect_request_pending",
        "server_error",
    ],
)
@pytest.mark.parametrize("source", ["customer", "gateway", "issuer_bank", "internal", None])
def test_what_is_not_known_is_no_proof_by_itself(reason: str, source: str | None) -> None:
    meaning = RAZORPAY(reason=reason, source=source)
    assert meaning.certain != "yes"
    assert not meaning.retryable


def test_what_nobody_has_heard_of_is_never_tried_elsewhere_and_proves_nothing_by_itself() -> None:
    for said in ({}, {"reason": "brand_new"}, {"source": "NA"}, {"reason": None, "source": None}):
        assert RAZORPAY(**said) == Meaning(
            code="payment_failed", blame="gateway", retryable=False, certain="once_failed"
        )


@pytest.mark.parametrize(
    "source", ["customer", "customer_psp", "internal", "gateway", "network", "issuer_bank"]
)
def test_a_reason_that_nobody_has_heard_of_proves_nothing_whoever_it_comes_from(source: str) -> None:
    assert RAZORPAY(reason="brand_new", source=source).certain == "once_failed"


@pytest.mark.parametrize(
    ("source", "certain"),
    [("customer", "yes"), ("issuer_bank", "yes"), ("gateway", "once_failed"), ("internal", "once_failed")],
)
def test_a_payment_that_failed_is_believed_of_whoever_would_have_paid(source: str, certain: str) -> None:
    assert RAZORPAY(reason="payment_failed", source=source).certain == certain


def test_the_first_column_weighs_most() -> None:
    def row(*said: str, retryable: bool = False) -> Row:
        meaning = Meaning(code="payment_failed", blame="gateway", retryable=retryable, certain="yes")
        return Row(said=said, meaning=meaning)

    rows = (row("*", "s", "t"), row("r", "*", "*", retryable=True), row("*", "*", "*"))
    classify = Classification(("reason", "source", "step"), rows)
    assert classify(reason="r", source="s", step="t").retryable


def test_a_table_has_an_answer_to_everything_and_only_one() -> None:
    meaning = Meaning(code="payment_failed", blame="gateway", retryable=False, certain="yes")
    anything, one = Row(said=("*",), meaning=meaning), Row(said=("a",), meaning=meaning)
    with pytest.raises(ValueError, match="last row"):
        Classification(("reason",), (one,))
    with pytest.raises(ValueError, match="the same"):
        Classification(("reason",), (one, one, anything))
