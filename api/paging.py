"""Pages of what is ordered by payment id, so that none is left out or told twice: `?after=pay_…&limit=50`."""

from starlette.requests import Request

from api.errors import Fault, Rejected
from schemas.ids import PaymentId, is_payment_id

USUAL = 50
LARGEST = 200


def after(request: Request) -> PaymentId | None:
    """The last payment of the page before; None for the first page."""
    text = request.query_params.get("after")
    if text is None:
        return None
    if not is_payment_id(text):
        raise Rejected(Fault.MALFORMED_QUERY, "after is the id of a payment.")
    return PaymentId(text)


def limit(request: Request) -> int:
    text = request.query_params.get("limit", str(USUAL))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= LARGEST):
        raise Rejected(Fault.MALFORMED_QUERY, f"limit is a whole number from 1 to {LARGEST}.")
    return int(text)
