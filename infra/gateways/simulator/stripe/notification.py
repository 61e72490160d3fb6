"""Stripe's webhooks: the object as it is at that moment, signed with the time over the bytes that are sent."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from infra.gateways.simulator.ledger import Charge
from infra.gateways.simulator.stripe.entities import charge_entity, intent_entity
from infra.gateways.simulator.webhooks import Event
from infra.gateways.simulator.wire import encode


def stripe_notification(charge: Charge, event: Event, secret: str) -> tuple[bytes, Mapping[str, str]]:
    now_s = time.time_ns() // 1_000_000_000
    kind, about = _told(charge, event)
    name = f"{charge.request.gateway}/{charge.id}/{event}"
    body = encode(
        {
            "id": f"evt_{hashlib.blake2b(name.encode(), digest_size=10).hexdigest()}",
            "object": "event",
            "created": now_s,
            "data": {"object": about},
            "livemode": False,
            "type": kind,
        }
    )
    signature = hmac.new(secret.encode(), b"%d." % now_s + body, hashlib.sha256).hexdigest()
    return body, {
        "content-type": "application/json",
        "stripe-signature": f"t={now_s},v1={signature}",
    }


def _told(charge: Charge, event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case "authorized" if charge.status == "authorized":
            return "payment_intent.amount_capturable_updated", intent_entity(charge)
        case "authorized":
            return "charge.succeeded", charge_entity(charge)
        case "captured":
            return "payment_intent.succeeded", intent_entity(charge)
        case "failed":
            return "payment_intent.payment_failed", intent_entity(charge)
        case "refunded":
            return "charge.refunded", charge_entity(charge)
