"""Webhook subscriptions: the fold of their events on `configuration.events.v1`, and what may be done with them.

The log is the judge between two who write at once, by the version of each subscription (ADR 6).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar, assert_never, cast

import msgspec
from msgspec.structs import replace

from schemas.base import Event, Value
from schemas.configuration import UnreadSet
from schemas.envelope import Recorded
from schemas.errors import Refusal, Refused
from schemas.webhook import (
    WEBHOOK_EVENTS,
    AmendSubscription,
    DisableSubscription,
    EnableSubscription,
    ReplayDeliveries,
    RotateSecret,
    SecretVersion,
    Subscribe,
    SubscriptionId,
    Unsubscribe,
    WebhookAmended,
    WebhookCommand,
    WebhookDisabled,
    WebhookEnabled,
    WebhookEvent,
    WebhookSecretRotated,
    WebhookSet,
    WebhooksReplayed,
    WebhookSubscribed,
    WebhookUnsubscribed,
)
from schemas.webhook_types import is_wanted

MOST_SUBSCRIPTIONS = 1_000
FORMER_SECRET_VALID = timedelta(hours=24)
"""For so long after a rotation both signatures are sent: a receiver has a day to take the new secret."""
TOLD_WITHIN_MS = 3 * 86_400_000
"""What happened earlier is not told any more: a store that was lost must not have months told again."""


class Subscription(Value, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    version: int
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    secret: SecretVersion
    since_ms: int
    """The broker's stamp of its event: what was appended before is not told."""
    created_at: datetime
    by: str
    note: str
    former: SecretVersion | None = None
    former_until: datetime | None = None
    is_disabled: bool = False


class Subscriptions(Value, frozen=True, kw_only=True):
    known: dict[SubscriptionId, Subscription] = msgspec.field(default_factory=dict)
    ended: frozenset[SubscriptionId] = frozenset()
    version: int = 0

    @property
    def active(self) -> list[Subscription]:
        return [one for one in self.known.values() if not one.is_disabled]


INITIAL = Subscriptions()


def decide(command: WebhookCommand, subscriptions: Subscriptions) -> list[WebhookEvent]:
    """`[]` when it is so already. Raises Refused."""
    match command:
        case Subscribe():
            return [_subscribed(command, subscriptions)]
        case RotateSecret():
            one = _seen(command.subscription_id, command.instead_of_version, subscriptions)
            _require_no_former(one, command)
            return [
                WebhookSecretRotated(
                    subscription_id=one.subscription_id,
                    secret=SecretVersion(number=one.secret.number + 1, key=command.key),
                    former_until=command.at + FORMER_SECRET_VALID,
                    by=command.by,
                    note=command.note,
                    instead_of_version=one.version,
                )
            ]
        case DisableSubscription():
            one = _seen(command.subscription_id, command.instead_of_version, subscriptions)
            return [] if one.is_disabled else [_turned(WebhookDisabled, command)]
        case EnableSubscription():
            one = _seen(command.subscription_id, command.instead_of_version, subscriptions)
            _require_no_twin(one, subscriptions)
            return [_turned(WebhookEnabled, command)] if one.is_disabled else []
        case AmendSubscription():
            one = _seen(command.subscription_id, command.instead_of_version, subscriptions)
            return _amended(one, command, subscriptions)
        case ReplayDeliveries():
            return [_replayed(command, subscriptions)]
        case Unsubscribe():
            _seen(command.subscription_id, command.instead_of_version, subscriptions)
            return [_turned(WebhookUnsubscribed, command)]
        case _:
            assert_never(command)


def found(subscriptions: Subscriptions, subscription_id: SubscriptionId) -> Subscription:
    if (one := subscriptions.known.get(subscription_id)) is None:
        raise Refused(Refusal.SUBSCRIPTION_NOT_FOUND, "There is no such subscription.")
    return one


def _seen(subscription_id: SubscriptionId, version: int, subscriptions: Subscriptions) -> Subscription:
    one = found(subscriptions, subscription_id)
    if one.version != version:
        raise Refused(Refusal.STALE_VERSION, f"Version {one.version} is in force: look at it first.")
    return one


def _require_no_former(one: Subscription, command: RotateSecret) -> None:
    """Two secrets sign at most. Whoever rotates again may not know that the receiver has the older of them still."""
    if _former_in_force(one, command.at) is not None and not command.drop_former:
        raise Refused(
            Refusal.SUBSCRIPTION_CONFLICT,
            f"Its former secret signs until {one.former_until:%Y-%m-%dT%H:%M:%SZ}, and would sign no more: "
            "wait, or say drop_former.",
        )


def _require_no_twin(
    wanted: Subscribe | AmendSubscription | Subscription, subscriptions: Subscriptions
) -> None:
    for one in subscriptions.active:
        if one.subscription_id != wanted.subscription_id and _is_alike(one, wanted):
            raise Refused(
                Refusal.SUBSCRIPTION_CONFLICT,
                f"{one.subscription_id} is the same. Rotate its secret if you have not seen it.",
            )


def _is_alike(one: Subscription, wanted: Subscribe | AmendSubscription | Subscription) -> bool:
    return (
        one.url == wanted.url
        and set(one.event_types) == set(wanted.event_types)
        and set(one.merchant_ids) == set(wanted.merchant_ids)
    )


def _subscribed(command: Subscribe, subscriptions: Subscriptions) -> WebhookSubscribed:
    _require_no_twin(command, subscriptions)
    if len(subscriptions.known) >= MOST_SUBSCRIPTIONS:
        raise Refused(
            Refusal.SUBSCRIPTION_CONFLICT, f"There are {MOST_SUBSCRIPTIONS} already: end one first."
        )
    return WebhookSubscribed(
        subscription_id=command.subscription_id,
        url=command.url,
        event_types=command.event_types,
        merchant_ids=command.merchant_ids,
        secret=SecretVersion(number=1, key=command.key),
        by=command.by,
        note=command.note,
    )


def _amended(
    one: Subscription, command: AmendSubscription, subscriptions: Subscriptions
) -> list[WebhookEvent]:
    if not one.is_disabled:
        _require_no_twin(command, subscriptions)
    if _is_alike(one, command) and one.note == command.note:
        return []
    return [
        WebhookAmended(
            subscription_id=one.subscription_id,
            url=command.url,
            event_types=command.event_types,
            merchant_ids=command.merchant_ids,
            by=command.by,
            note=command.note,
            instead_of_version=one.version,
        )
    ]


def _replayed(command: ReplayDeliveries, subscriptions: Subscriptions) -> WebhooksReplayed:
    if found(subscriptions, command.subscription_id).is_disabled:
        raise Refused(Refusal.SUBSCRIPTION_CONFLICT, "It is disabled: enable it first.")
    return WebhooksReplayed(
        subscription_id=command.subscription_id,
        deliveries=len(command.delivery_ids),
        first=command.delivery_ids[0],
        last=command.delivery_ids[-1],
        by=command.by,
        note=command.note,
    )


T = TypeVar("T", WebhookDisabled, WebhookEnabled, WebhookUnsubscribed)


def _turned(event: type[T], command: DisableSubscription | EnableSubscription | Unsubscribe) -> T:
    return event(
        subscription_id=command.subscription_id,
        by=command.by,
        note=command.note,
        instead_of_version=command.instead_of_version,
    )


def is_void(subscriptions: Subscriptions, record: Recorded[Event]) -> bool:
    """Whether its writer had not seen what stands there before it, or it is no event of a subscription."""
    if isinstance(record.event, UnreadSet):
        unread = subscriptions.known.get(_named(record.event))
        return unread is None or record.is_void or unread.version != record.event.instead_of_version
    if record.is_void or not isinstance(record.event, WEBHOOK_EVENTS):
        return True
    event = cast(WebhookEvent, record.event)
    if isinstance(event, WebhooksReplayed):
        return False
    known = subscriptions.known.get(event.subscription_id)
    if isinstance(event, WebhookSubscribed):
        return known is not None or event.subscription_id in subscriptions.ended
    return known is None or known.version != event.instead_of_version


def evolve(subscriptions: Subscriptions, record: Recorded[Event]) -> Subscriptions:
    """A void event changes nothing, not even a version; nor does one that sets nothing."""
    if is_void(subscriptions, record) or isinstance(record.event, WebhooksReplayed):
        return subscriptions
    version, known = record.position.offset + 1, dict(subscriptions.known)
    if isinstance(record.event, UnreadSet):  # it goes on as it was, and its version is followed
        known[_named(record.event)] = replace(known[_named(record.event)], version=version)
        return replace(subscriptions, known=known, version=version)
    event = cast(WebhookSet, record.event)
    if isinstance(event, WebhookUnsubscribed):
        del known[event.subscription_id]
        ended = subscriptions.ended | {event.subscription_id}
        return Subscriptions(known=known, ended=ended, version=version)
    known[event.subscription_id] = _changed(known.get(event.subscription_id), event, record, version)
    return replace(subscriptions, known=known, version=version)


def _named(event: UnreadSet) -> SubscriptionId:
    return SubscriptionId(event.aggregate.removeprefix("webhook:"))


def _changed(
    before: Subscription | None,
    event: WebhookSubscribed | WebhookSecretRotated | WebhookAmended | WebhookDisabled | WebhookEnabled,
    record: Recorded[Event],
    version: int,
) -> Subscription:
    if isinstance(event, WebhookSubscribed):
        return Subscription(
            subscription_id=event.subscription_id,
            version=version,
            url=event.url,
            event_types=event.event_types,
            merchant_ids=event.merchant_ids,
            secret=event.secret,
            since_ms=record.stamp_ms,
            created_at=record.envelope.at,
            by=event.by,
            note=event.note,
        )
    assert before is not None, "void otherwise"
    match event:
        case WebhookDisabled() | WebhookEnabled():
            return replace(before, version=version, is_disabled=isinstance(event, WebhookDisabled))
        case WebhookAmended():
            return replace(
                before,
                version=version,
                url=event.url,
                event_types=event.event_types,
                merchant_ids=event.merchant_ids,
                note=event.note,
            )
        case WebhookSecretRotated():
            return replace(
                before,
                version=version,
                secret=event.secret,
                former=before.secret,
                former_until=event.former_until,
            )
        case _:
            assert_never(event)


def secrets_in_force(subscription: Subscription, at: datetime) -> tuple[SecretVersion, ...]:
    """The newest first."""
    former = _former_in_force(subscription, at)
    return (subscription.secret,) if former is None else (subscription.secret, former)


def _former_in_force(subscription: Subscription, at: datetime) -> SecretVersion | None:
    until = subscription.former_until
    return subscription.former if until is not None and at < until else None


def recipients(
    wanting: Sequence[Subscription], merchant_id: str | None, stamp_ms: int, now_ms: float
) -> list[SubscriptionId]:
    """Of those that want such events, whom to tell of one that was appended at `stamp_ms`."""
    if now_ms - stamp_ms > TOLD_WITHIN_MS:
        return []
    return [one.subscription_id for one in wanting if stamp_ms >= one.since_ms and _is_of(one, merchant_id)]


def still_wants(subscription: Subscription, event_type: str, merchant_id: str | None) -> bool:
    """Whether what waits for it is for it as it has been amended meanwhile: it may be somebody else's by now."""
    return is_wanted(event_type, subscription.event_types) and _is_of(subscription, merchant_id)


def _is_of(subscription: Subscription, merchant_id: str | None) -> bool:
    return not subscription.merchant_ids or merchant_id in subscription.merchant_ids
