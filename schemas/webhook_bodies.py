"""What operators say of webhook subscriptions."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from schemas.base import Body
from schemas.http import FieldError, PartyId, faults_of_text
from schemas.webhook import DeliveryId
from schemas.webhook_types import WANTABLE

REPLAYED_MOST = 1_000
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
EventTypes = Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]
MerchantIds = Annotated[tuple[PartyId, ...], Meta(max_length=100)]


class SubscriptionReasonBody(Body, frozen=True, kw_only=True):
    """Of whatever is done to a subscription; it is on the log for ever."""

    by: Annotated[str, Meta(min_length=1, max_length=64)] = "operator"
    note: Annotated[str, Meta(max_length=500)] = ""


class RotationBody(SubscriptionReasonBody, frozen=True, kw_only=True):
    """`POST /webhooks/subscriptions/{id}/rotate-secret`."""

    drop_former: bool = False
    """Rotates though the former secret signs still, which then signs no more: it may be the one that is in use."""


class SubscriptionBody(SubscriptionReasonBody, frozen=True, kw_only=True):
    """`POST /webhooks/subscriptions`."""

    url: Url
    """It is on the log for ever: nothing in it may be a secret."""
    event_types: EventTypes
    merchant_ids: MerchantIds = ()


class AmendmentBody(Body, frozen=True, kw_only=True):
    """`PATCH /webhooks/subscriptions/{id}`: what is left out stays as it is."""

    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    merchant_ids: MerchantIds | UnsetType = UNSET
    """Empty: of all merchants, and what is of no merchant too."""
    note: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    by: Annotated[str, Meta(min_length=1, max_length=64)] = "operator"


class ReplayBody(SubscriptionReasonBody, frozen=True, kw_only=True):
    """`POST /webhooks/subscriptions/{id}/replay`: so many of its dead deliveries, the oldest first."""

    after: Annotated[DeliveryId, Meta(pattern="^dlv_[0-9a-z]{26}$")] | None = None
    """The `next` of the answer before."""
    limit: Annotated[int, Meta(ge=1, le=REPLAYED_MOST)] = REPLAYED_MOST


def faults_in(body: SubscriptionReasonBody | AmendmentBody) -> list[FieldError]:
    """What is wrong with a body whose every field is well formed by itself; its address is judged elsewhere."""
    faults = faults_of_text("by", body.by)
    if body.note is not UNSET:
        faults += faults_of_text("note", body.note)
    if isinstance(body, SubscriptionBody | AmendmentBody) and body.event_types is not UNSET:
        faults += [
            FieldError(pointer=f"/event_types/{place}", detail="is no type that anybody is told of")
            for place, name in enumerate(body.event_types)
            if name not in WANTABLE
        ]
    return faults
