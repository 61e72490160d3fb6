"""`/payments`, `/reviews` and what gateways tell."""

from dataclasses import replace
from typing import Annotated, Any

from msgspec import Meta

from api.answers import AttemptsAnswer, DecisionsAnswer, EventsAnswer
from api.contract.common import (
    ETAG,
    GATEWAY,
    IF_NONE_MATCH,
    LIMIT,
    LOCATION,
    NOT_CHANGED,
    OF_A_STORE,
    OF_THE_LOG,
    PAYMENT_ID,
    PREFER_WAIT,
    PREFERENCE_APPLIED,
)
from api.contract.operation import OF_READING_A_BODY, Answer, Body, Header, Operation, Parameter
from api.errors import Fault
from api.notifications import NotificationAnswer
from api.reviews import ReviewsAnswer
from schemas.errors import Refusal
from schemas.http import PaymentAnswer, PaymentBody
from schemas.review import SettleBody
from schemas.views import VerificationView

_KEY = r"[!#-+\x2d-:<-\[\]-~]"
"""Visible ASCII without the quote, the backslash, the comma and the semicolon."""
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    type=Annotated[str, Meta(pattern=f'^{_KEY}{{1,255}}$|^"{_KEY}{{1,255}}"$')],
    says="New for every payment; the same key again, with the same body, never charges twice.",
    required=True,
    example="order-1001",
)
CONSISTENCY_TOKEN = Header(
    name="Consistency-Token", says="Sent with a later read, it shows no less than this."
)
_SEEN = Parameter(
    name="Consistency-Token",
    place="header",
    type=Annotated[str, Meta(pattern=r"^payments\.events\.v1-([0-9]|1[01]):[0-9]{1,18}$")],
    says="What you have seen already, from an earlier answer.",
)
_SOURCE = Header(name="X-Read-Source", says="`projection`, or `log` where that was not far enough.")
_REPLAYED = Header(name="Idempotent-Replayed", says="`true` where the key was used before.", always=False)
_MADE = (LOCATION, ETAG, CONSISTENCY_TOKEN, _REPLAYED)
_NOT_KNOWN = (Refusal.PAYMENT_NOT_FOUND, *OF_THE_LOG)


def _reading(id: str, path: str, says: str, type: Any) -> Operation:
    """Of the read model, as far as the client has seen already."""
    shown = Answer(
        says="As it stands.", type=type, headers=(ETAG, CONSISTENCY_TOKEN, _SOURCE, PREFERENCE_APPLIED)
    )
    return Operation(
        id=id,
        method="GET",
        path=path,
        tag="payments",
        says=says,
        parameters=(PAYMENT_ID, IF_NONE_MATCH, _SEEN, PREFER_WAIT),
        answers={200: shown, 304: replace(NOT_CHANGED, headers=shown.headers)},
        problems=(*_NOT_KNOWN, Fault.MALFORMED_HEADER, Fault.READ_TOO_FAR_BEHIND, *OF_A_STORE),
        is_merchants=True,
    )


def _of_the_log(id: str, path: str, says: str, type: Any) -> Operation:
    return Operation(
        id=id,
        method="GET",
        path=path,
        tag="payments",
        says=says,
        parameters=(PAYMENT_ID,),
        answers={200: Answer(says="As of now.", type=type, headers=(CONSISTENCY_TOKEN, _SOURCE))},
        problems=(*_NOT_KNOWN, Fault.READ_TOO_FAR_BEHIND, *OF_A_STORE),
        is_merchants=True,
    )


OPERATIONS = (
    Operation(
        id="create_payment",
        method="POST",
        path="/payments",
        tag="payments",
        says="Charge a customer once. `X-Context-*` headers, 16 at most, are what rules and experiments may name.",
        is_merchants=True,
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(
            type=PaymentBody,
            example={
                "amount_minor": 1000,
                "currency": "INR",
                "payment_method": "UPI",
                "merchant_id": "m_001",
                "customer_id": "cust_001",
                "instrument": {"type": "UPI", "vpa": "test@okhdfcbank"},
            },
        ),
        answers={
            201: Answer(says="Charged, certainly.", type=PaymentAnswer, headers=_MADE),
            202: Answer(says="Not known yet: read it later.", type=PaymentAnswer, headers=_MADE),
            402: Answer(
                says="Not charged, certainly; `failure` says why.", type=PaymentAnswer, headers=_MADE
            ),
        },
        problems=(
            Refusal.KEY_MISSING,
            Refusal.KEY_INVALID,
            Refusal.KEY_REUSED,
            Refusal.PAYMENT_IN_PROGRESS,
            Refusal.NO_ELIGIBLE_GATEWAY,
            Refusal.UNSUPPORTED_PAYMENT,
            Refusal.METHOD_SWITCHED_OFF,
            Refusal.MERCHANT_SWITCHED_OFF,
            Refusal.TOO_BUSY,
            Fault.MALFORMED_HEADER,
            *OF_THE_LOG,
            *OF_A_STORE,
        ),
    ),
    _reading("show_payment", "/payments/{payment_id}", "A payment as it stands.", PaymentAnswer),
    _reading("show_attempts", "/payments/{payment_id}/attempts", "What was tried.", AttemptsAnswer),
    _reading(
        "show_routing_decision",
        "/payments/{payment_id}/routing-decision",
        "Why these gateways, in this order.",
        DecisionsAnswer,
    ),
    _of_the_log(
        "show_events", "/payments/{payment_id}/events", "Its records, as they lie on the log.", EventsAnswer
    ),
    _of_the_log(
        "show_status_verification",
        "/payments/{payment_id}/status-verification",
        "What verification has found out, and when it looks again.",
        VerificationView,
    ),
    Operation(
        id="page_reviews",
        method="GET",
        path="/reviews",
        tag="reviews",
        says="The payments that verification could not settle, by their ids.",
        scope="reviews",
        parameters=(LIMIT, replace(PAYMENT_ID, name="after", place="query", required=False)),
        answers={200: Answer(says="A page.", type=ReviewsAnswer)},
        problems=(Fault.MALFORMED_QUERY, *OF_A_STORE),
    ),
    Operation(
        id="settle_review",
        method="POST",
        path="/reviews/{payment_id}/settle",
        tag="reviews",
        says="A person's word about an attempt in review.",
        scope="reviews",
        parameters=(PAYMENT_ID, PREFER_WAIT),
        body=Body(
            type=SettleBody,
            example={
                "attempt_id": "att_01jd8x5w3r0000000000000000_1_1",
                "verdict": "succeeded",
                "note": "seen in the gateway's statement",
                "settled_by": "asha",
                "gateway_reference": "txn_1",
            },
        ),
        answers={
            200: Answer(says="Settled.", type=PaymentAnswer, headers=(ETAG, LOCATION, PREFERENCE_APPLIED)),
            202: Answer(
                says="Recorded, and not seen to have taken effect within the wait.",
                type=PaymentAnswer,
                headers=(ETAG, LOCATION, PREFERENCE_APPLIED),
            ),
        },
        problems=(
            *_NOT_KNOWN,
            Refusal.NOT_IN_REVIEW,
            Fault.MALFORMED_HEADER,
            Fault.READ_TOO_FAR_BEHIND,
            *OF_A_STORE,
        ),
    ),
    Operation(
        id="receive_notification",
        method="POST",
        path="/gateway-notifications/{gateway}",
        tag="gateways",
        says="What a gateway tells by itself, in its own words and signed its own way; anything but 200 comes again.",
        parameters=(GATEWAY,),
        answers={200: Answer(says="It is on the log, or about nothing of ours.", type=NotificationAnswer)},
        problems=(
            Fault.GATEWAY_NOT_FOUND,
            Fault.BAD_SIGNATURE,
            Fault.UNREADABLE_NOTIFICATION,
            *OF_READING_A_BODY,
            *OF_THE_LOG,
        ),
    ),
)
