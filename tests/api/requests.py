"""Requests that tests start from."""

import msgspec

from tests.api.client import Answer

BODY = {
    "amount_minor": 1000,
    "currency": "INR",
    "payment_method": "UPI",
    "merchant_id": "m_001",
    "customer_id": "cust_001",
    "instrument": {"type": "UPI", "vpa": "test@okhdfcbank"},
}
CARD = {"type": "CARD", "token": "tok_123456", "bin": "411111", "last4": "1111"}
JSON = ("Content-Type", "application/json")
KEY = ("Idempotency-Key", '"8e03978e-40d5-43dd-bc93-6894a57f9324"')
HEADERS = [JSON, KEY]
CARD_NUMBER = "4111111111111111"


def body(**changes: object) -> bytes:
    return msgspec.json.encode({**BODY, **changes})


def assert_problem(answer: Answer, status: int, name: str) -> None:
    """The one shape of every failure."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    problem = answer.json
    assert problem["type"] == f"/problems/{name}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert set(problem) <= {"type", "title", "status", "detail", "instance", "errors"}
    assert answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503) or name == "payment-in-progress")
