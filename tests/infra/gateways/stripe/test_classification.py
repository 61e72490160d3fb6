import pytest

from infra.gateways.classification import ANYTHING, Row, classification

STRIPE = classification("stripe")

# https://docs.stripe.com/declines/codes
DECLINE_CODES = [
    "authentication_required",
    "approve_with_id",
    "call_issuer",
    "card_not_supported",
    "card_velocity_exceeded",
    "currency_not_supported",
    "do_not_honor",
    "do_not_try_again",
    "duplicate_transaction",
    "expired_card",
    "fraudulent",
    "generic_decline",
    "incorrect_address",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_pin",
    "incorrect_zip",
    "insufficient_funds",
    "invalid_account",
    "invalid_amount",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "invalid_pin",
    "issuer_not_available",
    "lost_card",
    "merchant_blacklist",
    "mobile_device_authentication_required",
    "new_account_information_available",
    "no_action_taken",
    "not_permitted",
    "offline_pin_required",
    "online_or_offline_pin_required",
    "pickup_card",
    "pin_try_exceeded",
    "processing_error",
    "reenter_transaction",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "testmode_decline",
    "transaction_not_allowed",
    "try_again_later",
    "withdrawal_count_limit_exceeded",
]


@pytest.mark.parametrize("row", STRIPE.rows, ids=lambda row: "-".join(row.said))
def test_each_row_is_reached_by_what_it_names(row: Row) -> None:
    said = {
        column: "never heard of" if word == ANYTHING else word
        for column, word in zip(STRIPE.columns, row.said, strict=True)
    }
    assert STRIPE(**said) == row.meaning


@pytest.mark.parametrize("row", STRIPE.rows, ids=lambda row: "-".join(row.said))
def test_what_the_customer_or_the_caller_has_to_mend_is_not_tried_elsewhere(row: Row) -> None:
    meaning = row.meaning
    assert meaning.blame not in ("customer", "risk") or not meaning.retryable
    assert meaning.blame != "caller" or meaning.retryable == (meaning.code == "method_not_eligible")


@pytest.mark.parametrize("decline_code", DECLINE_CODES)
def test_each_decline_that_stripe_publishes_has_a_row(decline_code: str) -> None:
    column = STRIPE.columns.index("decline_code")
    assert decline_code in {row.said[column] for row in STRIPE.rows}
    meaning = STRIPE(decline_code=decline_code, error_code="card_declined", type="card_error")
    assert meaning.certain == "yes"


@pytest.mark.parametrize("code", ["expired_card", "incorrect_cvc", "invalid_number", "processing_error"])
def test_a_code_means_the_same_wherever_stripe_writes_it(code: str) -> None:
    alone = STRIPE(error_code=code, type="card_error")
    assert STRIPE(decline_code=code, error_code="card_declined", type="card_error") == alone
    assert STRIPE(decline_code=code, error_code=code, type="card_error") == alone


@pytest.mark.parametrize(
    ("said", "code", "blame", "retryable"),
    [
        ({"decline_code": "insufficient_funds"}, "insufficient_funds", "customer", False),
        ({"decline_code": "incorrect_pin"}, "incorrect_credentials", "customer", False),
        ({"error_code": "payment_method_customer_decline"}, "cancelled_by_customer", "customer", False),
        ({"decline_code": "expired_card"}, "expired_instrument", "customer", False),
        ({"decline_code": "card_velocity_exceeded"}, "limit_exceeded", "customer", False),
        ({"decline_code": "lost_card"}, "invalid_instrument", "customer", False),
        ({"decline_code": "fraudulent"}, "risk_declined", "risk", False),
        ({"type": "invalid_request_error"}, "invalid_request", "caller", False),
        ({"error_code": "api_key_expired"}, "configuration_error", "caller", False),
        ({"error_code": "payment_method_unactivated"}, "method_not_eligible", "caller", True),
        ({"decline_code": "issuer_not_available"}, "issuer_unavailable", "issuer", True),
        ({"decline_code": "do_not_honor"}, "issuer_declined", "issuer", True),
        ({"decline_code": "do_not_try_again"}, "issuer_declined", "issuer", False),
        ({"decline_code": "processing_error"}, "gateway_error", "gateway", True),
        ({"error_code": "rate_limit"}, "gateway_busy", "gateway", True),
        ({"type": "card_error"}, "payment_failed", "issuer", True),
    ],
)
def test_an_error_has_one_meaning_for_merchants(
    said: dict[str, str], code: str, blame: str, retryable: bool
) -> None:
    meaning = STRIPE(**said)
    assert (meaning.code, meaning.blame, meaning.retryable) == (code, blame, retryable)


def test_what_nobody_has_heard_of_proves_nothing_by_itself() -> None:
    for said in ({}, {"type": "api_error"}, {"type": "card_error"}, {"type": "brand_new"}):
        assert STRIPE(**said).certain == "once_failed"
