"""Razorpay's webhooks: the payment as it is at that moment, signed over the bytes that are sent."""

import hashlib
import hmac
import time
from collections.abc import Mapping

from infra.gateways.simulator.ledger import Charge
from infra.gateways.simulator.razorpay.book import Book, payment_entity, refund_entity
from infra.gateways.simulator.webhooks import Event
from infra.gateways.simulator.wire import encode

NAMES: dict[Event, str] = {
    "authorized": "payment.authorized",
    "captured": "payment.captured",
    "failed": "payment.failed",
    "refunded": "refund.processed",
}


class RazorpayNotifications:
    def __init__(self, book: Book) -> None:
        self._book = book

    def __call__(self, charge: Charge, event: Event, secret: str) -> tuple[bytes, Mapping[str, str]]:
        payload = {
            "payment": {"entity": payment_entity(self._book.payment(charge.request.gateway, charge.id))}
        }
        if event == "refunded":
            payload["refund"] = {"entity": refund_entity(charge)}
        body = encode(
            {
                "entity": "event",
                "account_id": "acc_simulated",
                "event": NAMES[event],
                "contains": list(payload),
                "payload": payload,
                "created_at": time.time_ns() // 1_000_000_000,
            }
        )
        name = f"{charge.request.gateway}/{charge.id}/{event}"
        return body, {
            "content-type": "application/json",
            "x-razorpay-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "x-razorpay-event-id": f"evt_{hashlib.blake2b(name.encode(), digest_size=10).hexdigest()}",
        }
