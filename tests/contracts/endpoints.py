"""Every endpoint, and what it answers when all is well and when it is not. `$name` is what a test has prepared.

PRODUCT is the table of endpoints that the product promises, BESIDE what else there is. A new route gets a row here.
"""

import hmac
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.settings import DEFAULT_ADMIN_KEY

Headers = tuple[tuple[str, str], ...]

KEY: Headers = (("X-Internal-Api-Key", DEFAULT_ADMIN_KEY),)
NOBODYS: Headers = (("X-Internal-Api-Key", "a guess"),)
CHARGED: Headers = (("Idempotency-Key", "$key"),)
STALE: Headers = (*KEY, ("If-Match", '"999999999"'))
DECLINED: Headers = (("Idempotency-Key", "declined-$key"),)
EXAMPLE = object()
"""The body that the OpenAPI document has as its example."""
NOTHING = object()

IGNORED = msgspec.json.encode({"event": "refund.created", "payload": {}})
SIGNED: Headers = (
    ("X-Razorpay-Signature", hmac.digest(RAZORPAY_WEBHOOK_SECRET.encode(), IGNORED, "sha256").hex()),
    ("X-Razorpay-Event-Id", "evt_1"),
)


class Ask(NamedTuple):
    """`problem` is the name of its type; None where it is well. `seen`: with the ETag of what the path shows now."""

    path: str
    status: int
    problem: str | None = None
    headers: Headers = ()
    body: Any = EXAMPLE
    method: str | None = None
    seen: bool = False


class Row(NamedTuple):
    well: Ask
    not_well: tuple[Ask, ...]


def row(well: Ask, *not_well: Ask) -> Row:
    assert well.problem is None
    assert not_well, "there is always something that can go wrong"
    return Row(well, not_well)


def read(path: str, *not_well: Ask, headers: Headers = KEY) -> Row:
    """For operators: nobody reads it with a key that is none."""
    return row(Ask(path, 200, headers=headers), Ask(path, 401, "unauthorized", NOBODYS), *not_well)


def open_to_all(path: str, *not_well: Ask) -> Row:
    return row(Ask(path, 200), *not_well, Ask(path, 405, "method-not-allowed", method="TRACE"))


def of_a_payment(part: str) -> Row:
    return row(
        Ask(f"/payments/$payment{part}", 200),
        Ask(f"/payments/$unknown_payment{part}", 404, "payment-not-found"),
        Ask(f"/payments/pay_1{part}", 404, "payment-not-found"),
    )


def document(path: str, body: Any = EXAMPLE) -> Row:
    """Set instead of the version that was looked at."""
    return row(
        Ask(path, 200, headers=KEY, body=body, seen=True),
        Ask(path, 401, "unauthorized"),
        Ask(path, 428, "version-missing", KEY),
        Ask(path, 412, "stale-version", STALE, body),
        Ask(path, 422, "invalid-body", KEY, {"by": 7}, seen=True),
        Ask(path, 415, "unsupported-media-type", KEY, b"by=asha", seen=True),
    )


def order_to_a_circuit(order: str) -> Row:
    return row(
        Ask(f"/circuit-breaker/{order}/cashfree/NETBANKING", 200, headers=KEY),
        Ask(f"/circuit-breaker/{order}/cashfree/NETBANKING", 401, "unauthorized"),
        Ask(f"/circuit-breaker/{order}/moon/NETBANKING", 404, "circuit-not-found", KEY),
        Ask(f"/circuit-breaker/{order}/cashfree/CASH", 404, "circuit-not-found", KEY),
    )


def policy_of_the_bandit(verb: str) -> Row:
    return row(
        Ask(f"/bandit/policy/UPI/{verb}", 200, headers=KEY),
        Ask(f"/bandit/policy/UPI/{verb}", 401, "unauthorized"),
        Ask(f"/bandit/policy/CASH/{verb}", 404, "segment-not-found", KEY),
        Ask(f"/bandit/policy/UPI/{verb}", 412, "stale-version", STALE),
    )


def lead(verb: str) -> Row:
    return row(
        Ask(f"/experiments/$to_{verb}/{verb}", 200, headers=KEY),
        Ask(f"/experiments/$experiment/{verb}", 401, "unauthorized"),
        Ask(f"/experiments/exp_unheard_of/{verb}", 404, "experiment-not-found", KEY),
        *([Ask(f"/experiments/$ended/{verb}", 409, "experiment-conflict", KEY)] if verb != "stop" else []),
    )


def figures(name: str) -> Row:
    return row(
        Ask(f"/experiments/$experiment/{name}", 200),
        Ask(f"/experiments/exp_unheard_of/{name}", 404, "experiment-not-found"),
    )


def changed(body: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {**body, **fields}


PAYMENT = {
    "amount_minor": 1000,
    "currency": "INR",
    "payment_method": "UPI",
    "merchant_id": "m_001",
    "customer_id": "cust_001",
    "instrument": {"type": "UPI", "vpa": "test@okhdfcbank"},
}
EXPERIMENT = {
    "name": "razorpay first",
    "variants": [
        {"name": "control", "weight": 50},
        {"name": "razorpay-first", "weight": 50, "override": {"order": ["razorpay"]}},
    ],
    "planned_customers": 10_000,
    "planned_days": 14,
    "by": "asha",
}
SETTLED = {
    "attempt_id": "$attempt_in_review",
    "verdict": "declined",
    "note": "they told us",
    "settled_by": "asha",
}
HOOK = {"url": "http://127.0.0.1:9/hook", "event_types": ["payment.*"], "by": "asha"}

PRODUCT: Mapping[str, Row] = {
    "POST /payments": row(
        Ask("/payments", 201, headers=CHARGED),
        Ask("/payments", 402, headers=DECLINED),
        Ask("/payments", 400, "idempotency-key-missing"),
        Ask("/payments", 400, "idempotency-key-missing", (("Idempotency-Key", ""),)),
        Ask("/payments", 400, "idempotency-key-invalid", (("Idempotency-Key", "k" * 256),)),
        Ask("/payments", 422, "idempotency-key-reused", CHARGED, changed(PAYMENT, amount_minor=1001)),
        Ask("/payments", 422, "invalid-body", CHARGED, changed(PAYMENT, amount_minor=-1)),
        Ask(
            "/payments",
            422,
            "unsupported-payment",
            (("Idempotency-Key", "yen-$key"),),
            changed(PAYMENT, currency="JPY"),
        ),
        Ask(
            "/payments",
            503,
            "merchant-switched-off",
            (("Idempotency-Key", "off-$key"),),
            changed(PAYMENT, merchant_id="m_off"),
        ),
        Ask("/payments", 400, "malformed-body", CHARGED, b"{"),
    ),
    "GET /payments/{payment_id}": of_a_payment(""),
    "GET /payments/{payment_id}/routing-decision": of_a_payment("/routing-decision"),
    "GET /payments/{payment_id}/attempts": of_a_payment("/attempts"),
    "GET /payments/{payment_id}/status-verification": of_a_payment("/status-verification"),
    "GET /payments/{payment_id}/events": of_a_payment("/events"),
    "GET /gateways": read("/gateways"),
    "PATCH /gateways/{id}": row(
        Ask("/gateways/payu", 200, headers=KEY, seen=True),
        Ask("/gateways/payu", 401, "unauthorized"),
        Ask("/gateways/moon", 404, "no-such-gateway", STALE),
        Ask("/gateways/payu", 428, "version-missing", KEY),
        Ask("/gateways/payu", 412, "stale-version", STALE),
        Ask(
            "/gateways/payu", 422, "invalid-body", KEY, {"fee_bps": -1, "by": "asha", "note": "n"}, seen=True
        ),
    ),
    "GET /metrics/gateways/{name}": open_to_all(
        "/metrics/gateways/razorpay", Ask("/metrics/gateways/moon", 404, "no-such-gateway")
    ),
    "GET /scoring/debug": open_to_all(
        "/scoring/debug?payment_method=UPI",
        Ask("/scoring/debug", 400, "malformed-query"),
        Ask("/scoring/debug?payment_method=UPI&merchant_id=m_001", 200),
    ),
    "GET /circuit-breaker/status": open_to_all(
        "/circuit-breaker/status",
        Ask("/circuit-breaker/status?method=CASH", 400, "malformed-query"),
        Ask("/circuit-breaker/status", 401, "unauthorized", NOBODYS),
    ),
    "POST /circuit-breaker/force-open/{gateway}/{method}": order_to_a_circuit("force-open"),
    "POST /circuit-breaker/force-close/{gateway}/{method}": order_to_a_circuit("force-close"),
    "POST /circuit-breaker/release/{gateway}/{method}": order_to_a_circuit("release"),
    "GET /retry-policy/{merchant_id}": read(
        "/retry-policy/m_001", Ask("/retry-policy/%20", 404, "no-such-merchant", KEY)
    ),
    "PUT /retry-policy/{merchant_id}": document("/retry-policy/m_001"),
    "GET /experiments": open_to_all("/experiments", Ask("/experiments?status=LOST", 400, "malformed-query")),
    "POST /experiments": row(
        Ask("/experiments", 201, headers=KEY, body=changed(EXPERIMENT, name="of the table")),
        Ask("/experiments", 401, "unauthorized"),
        Ask(
            "/experiments", 409, "experiment-conflict", KEY, changed(EXPERIMENT, name="taken", planned_days=7)
        ),
        Ask("/experiments", 422, "invalid-body", KEY, changed(EXPERIMENT, variants=[])),
    ),
    "GET /experiments/{experiment_id}/results": figures("results"),
    "GET /experiments/{experiment_id}/winner": figures("winner"),
    "POST /experiments/{experiment_id}/stop": lead("stop"),
    "POST /experiments/{experiment_id}/pause": lead("pause"),
    "POST /experiments/{experiment_id}/resume": lead("resume"),
    "GET /routing-rules": read("/routing-rules"),
    "PUT /routing-rules": document("/routing-rules", {"rules": [], "by": "asha", "note": "none"}),
    "POST /routing-rules/dry-run": row(
        Ask("/routing-rules/dry-run", 200, headers=KEY),
        Ask("/routing-rules/dry-run", 401, "unauthorized"),
        Ask("/routing-rules/dry-run", 422, "invalid-body", KEY, {}),
    ),
    "GET /kill-switches": read("/kill-switches"),
    "POST /kill-switches": row(
        Ask(
            "/kill-switches",
            200,
            headers=KEY,
            body={"kind": "merchant", "name": "m_2", "on": True, "by": "asha", "note": "n"},
        ),
        Ask("/kill-switches", 401, "unauthorized"),
        Ask("/kill-switches", 412, "stale-version", STALE),
        Ask("/kill-switches", 422, "invalid-body", KEY, {"kind": "planet", "name": "moon", "on": True}),
    ),
    "GET /reviews": read("/reviews", Ask("/reviews?limit=0", 400, "malformed-query", KEY)),
    "POST /reviews/{payment_id}/settle": row(
        Ask("/reviews/$payment_in_review/settle", 200, headers=(*KEY, ("Prefer", "wait=10")), body=SETTLED),
        Ask("/reviews/$payment_in_review/settle", 401, "unauthorized"),
        Ask("/reviews/$unknown_payment/settle", 404, "payment-not-found", KEY, SETTLED),
        Ask("/reviews/$payment/settle", 409, "not-in-review", KEY, SETTLED),
        Ask(
            "/reviews/$payment/settle",
            422,
            "invalid-body",
            KEY,
            changed(SETTLED, verdict="succeeded"),
        ),
    ),
    "POST /bandit/policy/{segment}/enable": policy_of_the_bandit("enable"),
    "POST /bandit/policy/{segment}/disable": policy_of_the_bandit("disable"),
    "GET /bandit/state": open_to_all("/bandit/state"),
    "POST /webhooks/subscriptions": row(
        Ask(
            "/webhooks/subscriptions", 201, headers=KEY, body=changed(HOOK, url="http://127.0.0.1:9/another")
        ),
        Ask("/webhooks/subscriptions", 401, "unauthorized"),
        Ask("/webhooks/subscriptions", 409, "subscription-conflict", KEY, HOOK),
        Ask("/webhooks/subscriptions", 422, "invalid-body", KEY, changed(HOOK, url="https://10.0.0.1/hook")),
    ),
    "GET /webhooks/subscriptions": read("/webhooks/subscriptions"),
    "DELETE /webhooks/subscriptions/{subscription_id}": row(
        Ask("/webhooks/subscriptions/$ending", 204, headers=KEY),
        Ask("/webhooks/subscriptions/$subscription", 401, "unauthorized"),
        Ask("/webhooks/subscriptions/whs_1", 404, "subscription-not-found", KEY),
        Ask("/webhooks/subscriptions/$subscription", 412, "stale-version", STALE),
    ),
    "GET /webhooks/deliveries": read(
        "/webhooks/deliveries?subscription_id=$subscription",
        Ask("/webhooks/deliveries?status=lost", 400, "malformed-query", KEY),
    ),
    "POST /webhooks/deliveries/{delivery_id}/replay": row(
        Ask("/webhooks/deliveries/$delivery/replay", 202, headers=KEY),
        Ask("/webhooks/deliveries/$delivery/replay", 401, "unauthorized"),
        Ask("/webhooks/deliveries/dlv_1/replay", 404, "delivery-not-found", KEY),
    ),
    "GET /audit": read("/audit?limit=5", Ask("/audit?after=yesterday", 400, "malformed-query", KEY)),
    "DELETE /customers/{customer_id}/data": row(
        Ask("/customers/cust_gone/data?merchant_id=m_001", 204, headers=KEY),
        Ask("/customers/cust_gone/data?merchant_id=m_001", 401, "unauthorized"),
        Ask("/customers/cust_gone/data", 400, "malformed-query", KEY),
        Ask("/customers/cus~t/data?merchant_id=m_001", 404, "no-such-customer", KEY),
        Ask("/customers/cust_gone/data?merchant_id=m_001", 422, "invalid-body", KEY, {"note": "cust_gone"}),
    ),
    "POST /gateway-notifications/{gateway}": row(
        Ask("/gateway-notifications/told", 200, headers=SIGNED, body=IGNORED),
        Ask(
            "/gateway-notifications/told",
            401,
            "bad-signature",
            (("X-Razorpay-Signature", "ab" * 32),),
            IGNORED,
        ),
        Ask("/gateway-notifications/payu", 404, "gateway-not-found", SIGNED, IGNORED),
    ),
    "GET /ops/liveness": open_to_all("/ops/liveness"),
    "GET /ops/readiness": open_to_all("/ops/readiness"),
    "GET /ops/lag": open_to_all("/ops/lag"),
    "GET /metrics": open_to_all("/metrics"),
    "GET /openapi.json": open_to_all("/openapi.json"),
    "GET /asyncapi.json": open_to_all("/asyncapi.json"),
    "GET /docs": open_to_all("/docs"),
}

BESIDE: Mapping[str, Row] = {
    "GET /gateways/{id}": read("/gateways/payu", Ask("/gateways/moon", 404, "no-such-gateway", KEY)),
    "DELETE /retry-policy/{merchant_id}": row(
        Ask("/retry-policy/m_001", 200, headers=KEY, body=NOTHING, seen=True),
        Ask("/retry-policy/m_001", 401, "unauthorized", body=NOTHING),
        Ask("/retry-policy/m_001", 412, "stale-version", STALE, NOTHING),
    ),
    "GET /experiments/{experiment_id}": open_to_all(
        "/experiments/$experiment", Ask("/experiments/exp_unheard_of", 404, "experiment-not-found")
    ),
    "GET /scoring/weights": read("/scoring/weights"),
    "PUT /scoring/weights": document("/scoring/weights"),
    "GET /shadow-policy": read("/shadow-policy"),
    "PUT /shadow-policy": document("/shadow-policy"),
    "GET /bandit/segmentation": read("/bandit/segmentation"),
    "PUT /bandit/segmentation": document("/bandit/segmentation"),
    "GET /bandit/policy": read("/bandit/policy"),
    "GET /webhooks/subscriptions/{subscription_id}": read(
        "/webhooks/subscriptions/$subscription",
        Ask("/webhooks/subscriptions/whs_1", 404, "subscription-not-found", KEY),
    ),
    "POST /webhooks/subscriptions/{subscription_id}/rotate-secret": row(
        Ask("/webhooks/subscriptions/$subscription/rotate-secret", 200, headers=KEY),
        Ask("/webhooks/subscriptions/$subscription/rotate-secret", 401, "unauthorized"),
        Ask("/webhooks/subscriptions/$subscription/rotate-secret", 409, "subscription-conflict", KEY),
        Ask("/webhooks/subscriptions/whs_1/rotate-secret", 404, "subscription-not-found", KEY),
    ),
    "PATCH /webhooks/subscriptions/{subscription_id}": row(
        Ask(
            "/webhooks/subscriptions/$subscription", 200, headers=KEY, body={"note": "they moved"}, seen=True
        ),
        Ask("/webhooks/subscriptions/$subscription", 401, "unauthorized"),
        Ask("/webhooks/subscriptions/whs_1", 404, "subscription-not-found", STALE),
        Ask("/webhooks/subscriptions/$subscription", 428, "version-missing", KEY),
        Ask("/webhooks/subscriptions/$subscription", 412, "stale-version", STALE, {"note": "n"}),
        Ask("/webhooks/subscriptions/$subscription", 422, "invalid-body", KEY, {"url": 7}, seen=True),
    ),
    "POST /webhooks/subscriptions/{subscription_id}/enable": row(
        Ask("/webhooks/subscriptions/$subscription/enable", 200, headers=KEY),
        Ask("/webhooks/subscriptions/$subscription/enable", 401, "unauthorized"),
        Ask("/webhooks/subscriptions/whs_1/enable", 404, "subscription-not-found", KEY),
    ),
    "POST /webhooks/subscriptions/{subscription_id}/replay": row(
        Ask("/webhooks/subscriptions/$subscription/replay", 202, headers=KEY),
        Ask("/webhooks/subscriptions/$subscription/replay", 401, "unauthorized"),
        Ask("/webhooks/subscriptions/whs_1/replay", 404, "subscription-not-found", KEY),
    ),
    "GET /docs/style.css": open_to_all("/docs/style.css"),
}

ENDPOINTS = {**PRODUCT, **BESIDE}
