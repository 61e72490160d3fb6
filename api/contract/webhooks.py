"""`/webhooks`: who is told of what, and what was sent to them."""

from dataclasses import replace
from enum import Enum
from typing import Annotated

from msgspec import Meta

from api.contract.common import (
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    LIMIT,
    LOCATION,
    NOT_CHANGED,
    OF_A_STORE,
    OF_SETTING,
    OF_THE_LOG,
)
from api.contract.operation import Answer, Body, Operation, Parameter
from api.deliveries import DeliveriesAnswer, ReplayAnswer
from api.errors import Fault
from api.webhooks import SecretAnswer, SubscriptionAnswer, SubscriptionsAnswer
from schemas.delivery import DeliveryStatus, DeliveryView
from schemas.errors import Refusal
from schemas.webhook_bodies import (
    AmendmentBody,
    ReplayBody,
    RotationBody,
    SubscriptionBody,
    SubscriptionReasonBody,
)
from schemas.webhook_types import TYPES

_EVERY = "/webhooks/subscriptions"
_ONE = f"{_EVERY}/{{subscription_id}}"
_ID = Parameter(name="subscription_id", place="path", type=str, says="The subscription's id.", required=True)
_IF_MATCH = replace(IF_MATCH, required=False, example=None)
_REASON = Body(type=SubscriptionReasonBody, example={"by": "asha", "note": "they have moved"}, required=False)
_ROTATION = Body(type=RotationBody, example={"by": "asha", "note": "it leaked"}, required=False)
_OF_A_CHANGE = (
    Refusal.SUBSCRIPTION_NOT_FOUND,
    Refusal.SUBSCRIPTION_CONFLICT,
    Refusal.STALE_VERSION,
    Fault.MALFORMED_HEADER,
    *OF_SETTING,
)
_DELIVERY_ID = Annotated[str, Meta(pattern="^dlv_[0-9a-z]{26}$")]
_NAME = Annotated[str, Meta(pattern="^[!-~]{1,100}$")]
_EVENT_TYPE = Enum("EventType", {name: name for name in TYPES.values()})  # type: ignore[misc]  # of what there is


def _only(name: str, type: object, says: str) -> Parameter:
    return Parameter(name=name, place="query", type=type, says=says)


OPERATIONS = (
    Operation(
        id="page_subscriptions",
        method="GET",
        path=_EVERY,
        tag="webhooks",
        says="Who is told of what.",
        scope="webhooks",
        answers={200: Answer(says="As they stand.", type=SubscriptionsAnswer)},
        problems=OF_THE_LOG,
    ),
    Operation(
        id="subscribe",
        method="POST",
        path=_EVERY,
        tag="webhooks",
        says="Have an address told of events. The answer is the only one that shows its secret.",
        scope="webhooks",
        body=Body(
            type=SubscriptionBody,
            example={"url": "https://merchant.example/hooks", "event_types": ["payment.*"], "by": "asha"},
        ),
        answers={201: Answer(says="It is told from now on.", type=SecretAnswer, headers=(ETAG, LOCATION))},
        problems=(Refusal.SUBSCRIPTION_CONFLICT, *OF_SETTING),
    ),
    Operation(
        id="show_subscription",
        method="GET",
        path=_ONE,
        tag="webhooks",
        says="A subscription.",
        scope="webhooks",
        parameters=(_ID, IF_NONE_MATCH),
        answers={
            200: Answer(says="As it stands.", type=SubscriptionAnswer, headers=(ETAG,)),
            304: NOT_CHANGED,
        },
        problems=(Refusal.SUBSCRIPTION_NOT_FOUND, *OF_THE_LOG),
    ),
    Operation(
        id="amend_subscription",
        method="PATCH",
        path=_ONE,
        tag="webhooks",
        says="Another address, events, merchants or note: what is left out stays as it is, and so does its secret.",
        scope="webhooks",
        parameters=(_ID, IF_MATCH),
        body=Body(type=AmendmentBody, example={"url": "https://merchant.example/hooks/2", "by": "asha"}),
        answers={200: Answer(says="As it is from now on.", type=SubscriptionAnswer, headers=(ETAG,))},
        problems=(*_OF_A_CHANGE, Fault.VERSION_MISSING),
    ),
    Operation(
        id="enable_subscription",
        method="POST",
        path=f"{_ONE}/enable",
        tag="webhooks",
        says="Send to it again, after its receiver answered 410 Gone; first what has waited meanwhile.",
        scope="webhooks",
        parameters=(_ID, _IF_MATCH),
        body=_REASON,
        answers={200: Answer(says="It is active.", type=SubscriptionAnswer, headers=(ETAG,))},
        problems=_OF_A_CHANGE,
    ),
    Operation(
        id="unsubscribe",
        method="DELETE",
        path=_ONE,
        tag="webhooks",
        says="Nothing more is sent.",
        scope="webhooks",
        parameters=(_ID, _IF_MATCH),
        body=_REASON,
        answers={204: Answer(says="It has ended.", media_type=None)},
        problems=_OF_A_CHANGE,
    ),
    Operation(
        id="rotate_secret",
        method="POST",
        path=f"{_ONE}/rotate-secret",
        tag="webhooks",
        says="A new secret; for a day the one before it signs too, and another takes `drop_former`.",
        scope="webhooks",
        parameters=(_ID, _IF_MATCH),
        body=_ROTATION,
        answers={200: Answer(says="The new secret.", type=SecretAnswer, headers=(ETAG,))},
        problems=_OF_A_CHANGE,
    ),
    Operation(
        id="page_deliveries",
        method="GET",
        path="/webhooks/deliveries",
        tag="webhooks",
        says="What was sent to whom, and what came of it; the newest first.",
        scope="webhooks",
        parameters=(
            LIMIT,
            _only("before", _DELIVERY_ID, "The `next` of the page before."),
            _only("status", DeliveryStatus, "Only these."),
            _only("event_type", _EVENT_TYPE, "Only of events of this type."),
            _only("subscription_id", _NAME, "Only to this subscription."),
            _only("subject", _NAME, "Only about this: a payment's id, a circuit …"),
        ),
        answers={200: Answer(says="A page.", type=DeliveriesAnswer)},
        problems=(Fault.MALFORMED_QUERY, *OF_A_STORE),
    ),
    Operation(
        id="replay_delivery",
        method="POST",
        path="/webhooks/deliveries/{delivery_id}/replay",
        tag="webhooks",
        says="Send it again, under the id that its receiver may know.",
        scope="webhooks",
        parameters=(replace(_ID, name="delivery_id", type=_DELIVERY_ID, says="The delivery's id."),),
        body=_REASON,
        answers={202: Answer(says="It is due now.", type=DeliveryView)},
        problems=(
            Refusal.DELIVERY_NOT_FOUND,
            Refusal.SUBSCRIPTION_NOT_FOUND,
            Refusal.SUBSCRIPTION_CONFLICT,
            *OF_A_STORE,
            *OF_SETTING,
        ),
    ),
    Operation(
        id="replay_deliveries",
        method="POST",
        path=f"{_ONE}/replay",
        tag="webhooks",
        says="Send again what of a subscription was given up: so many, the oldest first.",
        scope="webhooks",
        parameters=(_ID,),
        body=Body(type=ReplayBody, example={"by": "asha", "note": "their disk is mended"}, required=False),
        answers={202: Answer(says="So many are due now.", type=ReplayAnswer)},
        problems=(
            Refusal.SUBSCRIPTION_NOT_FOUND,
            Refusal.SUBSCRIPTION_CONFLICT,
            *OF_A_STORE,
            *OF_SETTING,
        ),
    ),
)
