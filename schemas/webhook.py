"""Who is told of what: webhook subscriptions, as events on `configuration.events.v1`, and what may be asked of them.

No secret is on the log: each follows from a key of ours and from what the events say (`infra/webhooks/secrets.py`).
"""

from datetime import datetime
from typing import NewType, get_args

from schemas.base import Command, Event, Value

SubscriptionId = NewType("SubscriptionId", str)
DeliveryId = NewType("DeliveryId", str)
"""What a receiver knows a delivery by."""


class SecretVersion(Value, frozen=True, kw_only=True):
    """Enough to make a secret again, for whoever has the key that it was made of."""

    number: int
    key: str
    """The name of that key."""


# Commands


class Subscribe(Command, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    key: str
    by: str
    note: str


class RotateSecret(Command, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    key: str
    at: datetime
    by: str
    note: str
    instead_of_version: int
    drop_former: bool = False
    """Though the former secret is in force still."""


class DisableSubscription(Command, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


class EnableSubscription(Command, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


class AmendSubscription(Command, frozen=True, kw_only=True):
    """All that it is from then on; its secret stays."""

    subscription_id: SubscriptionId
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    by: str
    note: str
    instead_of_version: int


class ReplayDeliveries(Command, frozen=True, kw_only=True):
    """These, of one subscription, in the order of their ids."""

    subscription_id: SubscriptionId
    delivery_ids: tuple[DeliveryId, ...]
    by: str
    note: str


class Unsubscribe(Command, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


WebhookCommand = (
    Subscribe
    | RotateSecret
    | AmendSubscription
    | DisableSubscription
    | EnableSubscription
    | ReplayDeliveries
    | Unsubscribe
)

# Events


class WebhookSubscribed(Event, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    """Empty: of all merchants, and what is of no merchant too."""
    secret: SecretVersion
    by: str
    note: str
    instead_of_version: int = 0


class WebhookSecretRotated(Event, frozen=True, kw_only=True):
    """Until `former_until`, what is sent is signed with the secret before it too."""

    subscription_id: SubscriptionId
    secret: SecretVersion
    former_until: datetime
    by: str
    note: str
    instead_of_version: int


class WebhookAmended(Event, frozen=True, kw_only=True):
    """All that it is from now on, for what was not read by then; its secret stays."""

    subscription_id: SubscriptionId
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    by: str
    note: str
    instead_of_version: int


class WebhookDisabled(Event, frozen=True, kw_only=True):
    """Its receiver has said that it is gone for good. Nothing is sent, and what happens waits, until it is enabled."""

    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


class WebhookEnabled(Event, frozen=True, kw_only=True):
    """What has waited meanwhile is sent."""

    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


class WebhookUnsubscribed(Event, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    by: str
    note: str
    instead_of_version: int


class WebhooksReplayed(Event, frozen=True, kw_only=True):
    """Somebody has deliveries sent again. It sets nothing: it has no version, and counts whatever is in force."""

    subscription_id: SubscriptionId
    deliveries: int
    first: DeliveryId
    last: DeliveryId
    """By their ids, which sort by time; where it is one, it is both."""
    by: str
    note: str


WebhookSet = (
    WebhookSubscribed
    | WebhookSecretRotated
    | WebhookAmended
    | WebhookDisabled
    | WebhookEnabled
    | WebhookUnsubscribed
)
"""What a subscription is, by version."""
WebhookEvent = WebhookSet | WebhooksReplayed
WEBHOOK_EVENTS: tuple[type[Event], ...] = get_args(WebhookEvent)


AGGREGATES = "webhook:"
"""What the names of all subscriptions' aggregates begin with."""


REPLAYS = "webhook-replays:"
"""And those of what was sent again of each: beside it, for it is another thing that somebody has done."""


def webhook_aggregate(event: WebhookEvent) -> str:
    return (REPLAYS if isinstance(event, WebhooksReplayed) else AGGREGATES) + event.subscription_id
