"""Webhook subscriptions: what their events come to, what may be done with them, and whom to tell."""

from datetime import timedelta

import msgspec
import pytest

from commands.routing import configuration
from commands.webhook_subscription import (
    FORMER_SECRET_VALID,
    INITIAL,
    MOST_SUBSCRIPTIONS,
    TOLD_WITHIN_MS,
    Subscriptions,
    decide,
    evolve,
    is_void,
    recipients,
    secrets_in_force,
)
from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import ReservationStoreAdopted, UnreadSet
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import Refusal, Refused
from schemas.webhook import (
    AmendSubscription,
    DeliveryId,
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
    WebhookSecretRotated,
    WebhooksReplayed,
    WebhookSubscribed,
    WebhookUnsubscribed,
)
from tests.builders import AT

ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")


def subscribed(
    to: SubscriptionId = ONE,
    *,
    url: str = "https://receiver.example/hook",
    event_types: tuple[str, ...] = ("payment.*",),
    merchant_ids: tuple[str, ...] = (),
) -> WebhookSubscribed:
    return WebhookSubscribed(
        subscription_id=to,
        url=url,
        event_types=event_types,
        merchant_ids=merchant_ids,
        secret=SecretVersion(number=1, key="k1"),
        by="asha",
        note="",
    )


def rotated(instead_of_version: int, number: int = 2) -> WebhookSecretRotated:
    return WebhookSecretRotated(
        subscription_id=ONE,
        secret=SecretVersion(number=number, key="k2"),
        former_until=AT + FORMER_SECRET_VALID,
        by="asha",
        note="",
        instead_of_version=instead_of_version,
    )


def disabled(instead_of_version: int) -> WebhookDisabled:
    return WebhookDisabled(
        subscription_id=ONE, by="webhook_dispatcher", note="410", instead_of_version=instead_of_version
    )


def enabled(instead_of_version: int) -> WebhookEnabled:
    return WebhookEnabled(subscription_id=ONE, by="asha", note="", instead_of_version=instead_of_version)


def amended(instead_of_version: int, *, url: str = "https://receiver.example/2") -> WebhookAmended:
    return WebhookAmended(
        subscription_id=ONE,
        url=url,
        event_types=("payment.failed",),
        merchant_ids=("m_1",),
        by="ravi",
        note="moved",
        instead_of_version=instead_of_version,
    )


def replayed() -> WebhooksReplayed:
    first, last = DeliveryId("dlv_1"), DeliveryId("dlv_3")
    return WebhooksReplayed(
        subscription_id=ONE, deliveries=2, first=first, last=last, by="asha", note="mended"
    )


def unsubscribed(instead_of_version: int) -> WebhookUnsubscribed:
    return WebhookUnsubscribed(subscription_id=ONE, by="asha", note="", instead_of_version=instead_of_version)


def on_the_log(event: Event, offset: int, stamp_ms: int = 1_000) -> Recorded[Event]:
    position = Position(topic=CONFIGURATION_TOPIC, partition=0, offset=offset)
    envelope = unowned(f"evt_{offset}", "webhook", AT)
    return Recorded(envelope=envelope, event=event, position=position, stamp_ms=stamp_ms)


def after(*events: Event) -> Subscriptions:
    state = INITIAL
    for offset, event in enumerate(events):
        state = evolve(state, on_the_log(event, offset))
    return state


def subscribe(to: SubscriptionId = TWO, url: str = "https://other.example/hook") -> Subscribe:
    return Subscribe(
        subscription_id=to,
        url=url,
        event_types=("payment.*",),
        merchant_ids=(),
        key="k1",
        by="asha",
        note="",
    )


def refusal(command: WebhookCommand, state: Subscriptions) -> Refusal:
    with pytest.raises(Refused) as refused:
        decide(command, state)
    return refused.value.reason


def test_a_subscription_is_known_by_its_event_and_its_version_is_the_offset_after_it() -> None:
    known = after(subscribed()).known[ONE]
    assert (known.version, known.secret.number, known.url) == (1, 1, "https://receiver.example/hook")


def test_of_two_who_act_on_one_version_the_second_is_void() -> None:
    state = after(subscribed(), rotated(1), rotated(1, number=9), unsubscribed(1))
    assert state.known[ONE].secret.number == 2
    assert state.known[ONE].version == 2


def test_what_is_no_event_of_a_subscription_changes_nothing() -> None:
    state = after(subscribed())
    adopted = ReservationStoreAdopted(system_identifier="7", timeline=1)
    assert evolve(state, on_the_log(adopted, 1)) == state


def test_what_a_newer_version_of_this_service_did_is_followed_though_it_cannot_be_read() -> None:
    unread = UnreadSet(aggregate=f"webhook:{ONE}", by="asha", note="", instead_of_version=1)
    assert after(subscribed(), unread).known[ONE].version == 2
    assert after(subscribed(), unread, unsubscribed(2)).ended == {ONE}
    assert after(subscribed(), unread, unread).known[ONE].version == 2
    assert after(subscribed(TWO), unread).known.keys() == {TWO}


def test_one_that_ended_is_not_known_and_does_not_come_back() -> None:
    state = after(subscribed(), unsubscribed(1), subscribed(), rotated(2))
    assert state.known == {}
    assert state.ended == {ONE}


def test_a_rotation_signs_with_both_secrets_for_a_day_and_then_with_the_new_one() -> None:
    known = after(subscribed(), rotated(1)).known[ONE]
    assert [one.number for one in secrets_in_force(known, AT)] == [2, 1]
    assert [one.number for one in secrets_in_force(known, AT + FORMER_SECRET_VALID)] == [2]


def test_to_subscribe_makes_the_first_secret() -> None:
    (event,) = decide(subscribe(), after(subscribed()))
    assert isinstance(event, WebhookSubscribed)
    assert event.secret == SecretVersion(number=1, key="k1")


def test_the_same_subscription_twice_is_refused() -> None:
    again = subscribe(TWO, url="https://receiver.example/hook")
    assert refusal(again, after(subscribed())) == Refusal.SUBSCRIPTION_CONFLICT
    assert decide(again, after(subscribed(), disabled(1)))


def test_there_is_a_most_that_there_can_be() -> None:
    crowd = [
        subscribed(SubscriptionId(f"whs_{n}"), url=f"https://{n}.example/") for n in range(MOST_SUBSCRIPTIONS)
    ]
    assert refusal(subscribe(), after(*crowd)) == Refusal.SUBSCRIPTION_CONFLICT


def test_whoever_has_not_seen_the_newest_version_is_refused() -> None:
    state = after(subscribed(), rotated(1))
    end = Unsubscribe(subscription_id=ONE, by="asha", note="", instead_of_version=1)
    assert refusal(end, state) == Refusal.STALE_VERSION


def test_what_is_not_there_is_not_found() -> None:
    end = Unsubscribe(subscription_id=TWO, by="asha", note="", instead_of_version=1)
    assert refusal(end, after(subscribed())) == Refusal.SUBSCRIPTION_NOT_FOUND


def test_a_rotation_takes_the_next_number_and_the_newest_key() -> None:
    rotate = RotateSecret(subscription_id=ONE, key="k2", at=AT, by="asha", note="", instead_of_version=1)
    assert decide(rotate, after(subscribed())) == [rotated(1)]


def test_a_second_rotation_while_the_former_secret_signs_is_refused_and_told_until_when() -> None:
    again = RotateSecret(subscription_id=ONE, key="k2", at=AT, by="asha", note="", instead_of_version=2)
    state = after(subscribed(), rotated(1))
    last = msgspec.structs.replace(again, at=AT + FORMER_SECRET_VALID - timedelta(seconds=1))
    for early in (again, last):
        with pytest.raises(Refused) as refused:
            decide(early, state)
        assert refused.value.reason == Refusal.SUBSCRIPTION_CONFLICT
        assert f"{AT + FORMER_SECRET_VALID:%Y-%m-%dT%H:%M:%SZ}" in refused.value.detail
    assert decide(msgspec.structs.replace(again, at=AT + FORMER_SECRET_VALID), state)


def test_whoever_says_so_rotates_again_and_the_former_secret_signs_no_more() -> None:
    again = RotateSecret(
        subscription_id=ONE, key="k2", at=AT, by="asha", note="", instead_of_version=2, drop_former=True
    )
    (event,) = decide(again, after(subscribed(), rotated(1)))
    one = after(subscribed(), rotated(1), event).known[ONE]
    assert [secret.number for secret in secrets_in_force(one, AT)] == [3, 2]


def test_to_disable_what_is_disabled_is_nothing() -> None:
    disable = DisableSubscription(subscription_id=ONE, by="d", note="", instead_of_version=2)
    state = after(subscribed(), disabled(1))
    assert decide(disable, state) == []
    assert state.active == []


def enable(instead_of_version: int) -> EnableSubscription:
    return EnableSubscription(subscription_id=ONE, by="asha", note="", instead_of_version=instead_of_version)


def amend(instead_of_version: int, url: str = "https://receiver.example/2") -> AmendSubscription:
    return AmendSubscription(
        subscription_id=ONE,
        url=url,
        event_types=("payment.failed",),
        merchant_ids=("m_1",),
        by="ravi",
        note="moved",
        instead_of_version=instead_of_version,
    )


def test_one_that_is_enabled_again_is_as_it_was() -> None:
    (event,) = decide(enable(2), after(subscribed(), disabled(1)))
    assert event == enabled(2)
    before, now = after(subscribed()), after(subscribed(), disabled(1), enabled(2))
    assert now.known[ONE] == msgspec.structs.replace(before.known[ONE], version=3)


def test_to_enable_what_is_active_is_nothing() -> None:
    assert decide(enable(1), after(subscribed())) == []


def test_one_is_not_enabled_beside_another_that_is_the_same() -> None:
    state = after(subscribed(), disabled(1), subscribed(TWO))
    assert refusal(enable(2), state) == Refusal.SUBSCRIPTION_CONFLICT


def test_one_that_is_amended_has_all_of_it_and_keeps_its_secret_and_its_beginning() -> None:
    assert decide(amend(1), after(subscribed())) == [amended(1)]
    before, now = after(subscribed()).known[ONE], after(subscribed(), amended(1)).known[ONE]
    assert (now.url, now.event_types) == ("https://receiver.example/2", ("payment.failed",))
    assert (now.merchant_ids, now.note, now.version) == (("m_1",), "moved", 2)
    assert (now.secret, now.since_ms, now.by) == (before.secret, before.since_ms, before.by)


def test_one_that_is_amended_to_what_it_is_stays_as_it_is() -> None:
    assert decide(amend(2), after(subscribed(), amended(1))) == []


def test_one_is_not_amended_to_what_another_is() -> None:
    twin = subscribed(
        TWO, url="https://other.example/", event_types=("payment.failed",), merchant_ids=("m_1",)
    )
    assert refusal(amend(1, url=twin.url), after(subscribed(), twin)) == Refusal.SUBSCRIPTION_CONFLICT


def test_one_that_is_disabled_can_be_amended_and_stays_disabled() -> None:
    state = after(subscribed(), disabled(1), amended(2))
    assert state.known[ONE].is_disabled
    assert decide(amend(2), after(subscribed(), disabled(1)))


def test_whoever_enables_or_amends_has_seen_the_newest_version() -> None:
    state = after(subscribed(), disabled(1))
    assert refusal(enable(1), state) == refusal(amend(1), state) == Refusal.STALE_VERSION
    assert after(subscribed(), disabled(1), enabled(1), amended(1)) == state


def test_a_replay_is_told_by_its_first_and_last_delivery_and_sets_nothing() -> None:
    ids = (DeliveryId("dlv_1"), DeliveryId("dlv_3"))
    command = ReplayDeliveries(subscription_id=ONE, delivery_ids=ids, by="asha", note="mended")
    assert decide(command, after(subscribed())) == [replayed()]
    assert after(subscribed(), replayed()) == after(subscribed())
    assert not is_void(after(subscribed()), on_the_log(replayed(), 1))


def test_nothing_is_replayed_to_one_that_is_disabled_or_unknown() -> None:
    command = ReplayDeliveries(subscription_id=ONE, delivery_ids=(DeliveryId("dlv_1"),), by="asha", note="")
    assert refusal(command, after(subscribed(), disabled(1))) == Refusal.SUBSCRIPTION_CONFLICT
    assert refusal(command, after()) == Refusal.SUBSCRIPTION_NOT_FOUND


def told(state: Subscriptions, *, merchant: str | None = None, stamp_ms: int = 2_000) -> list[SubscriptionId]:
    return recipients(state.active, merchant, stamp_ms, now_ms=3_000)


def test_one_with_merchants_is_told_of_theirs_alone() -> None:
    state = after(subscribed(merchant_ids=("m_1",)), subscribed(TWO))
    assert told(state, merchant="m_1") == [ONE, TWO]
    assert told(state, merchant="m_2") == [TWO]
    assert told(state, merchant=None) == [TWO]


def test_nobody_is_told_of_what_was_before_the_subscription() -> None:
    assert told(after(subscribed()), stamp_ms=999) == []
    assert told(after(subscribed()), stamp_ms=1_000) == [ONE]


def test_nobody_is_told_of_what_is_days_old() -> None:
    state = after(subscribed())
    assert recipients(state.active, None, 2_000, now_ms=2_000 + TOLD_WITHIN_MS) == [ONE]
    assert recipients(state.active, None, 2_000, now_ms=2_001 + TOLD_WITHIN_MS) == []


def test_whoever_folds_all_of_the_topic_comes_to_the_same_versions() -> None:
    events = (
        subscribed(),
        rotated(1),
        rotated(1),
        subscribed(TWO),
        disabled(1),
        disabled(2),
        replayed(),
        enabled(6),
        amended(6),
        amended(8),
        subscribed(),
        unsubscribed(10),
    )
    everything = configuration.INITIAL
    for offset, event in enumerate(events):
        record = on_the_log(event, offset)
        counts_for_all = not configuration.is_void(everything, record)  # type: ignore[arg-type]  # of its events
        assert counts_for_all == (not is_void(after(*events[:offset]), record)), offset
        everything = configuration.evolve(everything, record)  # type: ignore[arg-type]  # of its events
    assert everything.routing == configuration.INITIAL.routing
    assert everything.setting(f"webhook:{ONE}").by == "asha"
    assert everything.version(f"webhook:{TWO}") == 4
