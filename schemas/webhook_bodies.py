"""What operators say of webhook subscriptions."""

from typing import Annotated

from msgspec import Meta

from schemas.base import Body
from schemas.http import FieldError, PartyId, faults_of_text
from schemas.webhook_types import WANTABLE


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

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]
    """It is on the log for ever: nothing in it may be a secret."""
    event_types: Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]
    merchant_ids: Annotated[tuple[PartyId, ...], Meta(max_length=100)] = ()


def faults_in(body: SubscriptionReasonBody) -> list[FieldError]:
    """What is wrong with a body whose every field is well formed by itself; its address is judged elsewhere."""
    faults = [*faults_of_text("by", body.by), *faults_of_text("note", body.note)]
    if isinstance(body, SubscriptionBody):
        faults += [
            FieldError(pointer=f"/event_types/{place}", detail="is no type that anybody is told of")
            for place, name in enumerate(body.event_types)
            if name not in WANTABLE
        ]
    return faults
