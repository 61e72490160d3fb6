"""Customers as merchants know them: events have only tokens, and the vault knows whose they are."""

from collections.abc import Sequence

from api.answers import payment_answer
from api.ports import Customers
from schemas.http import PaymentAnswer
from schemas.ids import CustomerToken, is_customer_token
from schemas.views import PaymentView


async def payment_answers(customers: Customers, payments: Sequence[PaymentView]) -> list[PaymentAnswer]:
    """Raises StoreUnavailable."""
    named = {payment.order.customer_id for payment in payments if payment.order is not None}
    tokens = [CustomerToken(one) for one in named if is_customer_token(one)]
    ids = await customers.ids_of(tokens) if tokens else {}
    return [payment_answer(payment, ids) for payment in payments]
