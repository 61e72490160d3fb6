"""What is on the log about a customer: a token, and that nobody knows any more whose it was."""

from schemas.base import Event
from schemas.ids import CustomerToken


class CustomerForgotten(Event, frozen=True, kw_only=True):
    """Nothing ties the token to a person from now on: the vault deletes the row, and deletes it again wherever a
    backup has brought it back."""

    customer: CustomerToken
    merchant_id: str
    by: str
    note: str


def customer_aggregate(event: CustomerForgotten) -> str:
    return f"customer:{event.customer}"
