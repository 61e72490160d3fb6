"""`/webhooks`: who may subscribe, what is refused, where a secret is told, and what became of deliveries."""

from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from infra.webhooks.signing import signed_headers
from projections.webhooks import delivery_id
from schemas.codec import PAYMENTS_TOPIC
from schemas.delivery import Delivery
from schemas.ids import PaymentId
from schemas.views import Watermark
from schemas.webhook import (
    DeliveryId,
    SubscriptionId,
    WebhookAmended,
    WebhookDisabled,
    WebhookEnabled,
    WebhookSecretRotated,
    WebhooksReplayed,
    WebhookSubscribed,
)
from tests.api.client import Answer, Client, Headers
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, WEBHOOK_SECRET_KEY, World
from tests.builders import AT

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
SUBSCRIPTIONS, DELIVERIES = "/webhooks/subscriptions", "/webhooks/deliveries"
SUBSCRIPTION = {
    "url": "https://receiver.example/hook",
    "event_types": ["payment.succeeded", "circuit.*"],
    "merchant_ids": ["m_001"],
    "by": "asha",
    "note": "the shop's books",
}


async def call(
    client: Client, method: str, path: str, document: object = None, headers: Headers = (KEY,)
) -> Answer:
    if document is None:
        return await client.request(method, path, headers)
    return await client.request(method, path, [JSON, *headers], msgspec.json.encode(document))


async def subscribed(client: Client, **changes: object) -> Any:
    answer = await call(client, "POST", SUBSCRIPTIONS, {**SUBSCRIPTION, **changes})
    assert answer.status == 201, answer.body
    return answer.json


async def an_id(client: Client, **changes: object) -> str:
    return str((await subscribed(client, **changes))["subscription"]["subscription_id"])


# Who may


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SUBSCRIPTIONS),
        ("POST", SUBSCRIPTIONS),
        ("GET", f"{SUBSCRIPTIONS}/whs_1"),
        ("DELETE", f"{SUBSCRIPTIONS}/whs_1"),
        ("PATCH", f"{SUBSCRIPTIONS}/whs_1"),
        ("POST", f"{SUBSCRIPTIONS}/whs_1/enable"),
        ("POST", f"{SUBSCRIPTIONS}/whs_1/replay"),
        ("POST", f"{SUBSCRIPTIONS}/whs_1/rotate-secret"),
        ("GET", DELIVERIES),
        ("POST", f"{DELIVERIES}/dlv_1/replay"),
    ],
)
async def test_nothing_is_told_or_done_without_the_key(client: Client, method: str, path: str) -> None:
    assert_problem(await call(client, method, path, SUBSCRIPTION, ()), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", SUBSCRIPTIONS, {"GET", "HEAD", "POST"}),
        ("POST", f"{SUBSCRIPTIONS}/x", {"GET", "HEAD", "PATCH", "DELETE"}),
    ],
)
async def test_a_405_names_every_method_of_the_path(
    client: Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = await call(client, method, path, SUBSCRIPTION)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


# Subscriptions and their secrets


async def test_what_is_subscribed_is_shown_from_then_on(client: Client) -> None:
    answer = await call(client, "POST", SUBSCRIPTIONS, SUBSCRIPTION)
    made = answer.json["subscription"]
    shown = await call(client, "GET", answer.headers["location"])
    assert shown.json == made
    assert shown.headers["etag"] == answer.headers["etag"] == '"1"'
    assert (await call(client, "GET", SUBSCRIPTIONS)).json == {"subscriptions": [made]}
    assert {name: made[name] for name in ("status", "url", "event_types", "merchant_ids", "created_by")} == {
        "status": "active",
        "url": "https://receiver.example/hook",
        "event_types": ["payment.succeeded", "circuit.*"],
        "merchant_ids": ["m_001"],
        "created_by": "asha",
    }


async def test_the_secret_is_shown_once_and_is_the_one_that_signs(world: World, client: Client) -> None:
    answer = await call(client, "POST", SUBSCRIPTIONS, SUBSCRIPTION)
    assert answer.headers["cache-control"] == "no-store"
    secret, one = answer.json["secret"], answer.json["subscription"]["subscription_id"]
    known = world.webhooks.current.known[SubscriptionId(one)]
    signing = world.secrets.secret(known.subscription_id, known.secret)
    headers = signed_headers("dlv_1", int(world.clock.now().timestamp()), b"{}", [signing])
    with pytest.raises(Exception, match="too old"):  # the clock of this test stands still
        Webhook(secret).verify(b"{}", headers)
    assert headers["webhook-signature"] == Webhook(secret).sign("dlv_1", world.clock.now(), "{}")
    for path in (SUBSCRIPTIONS, f"{SUBSCRIPTIONS}/{one}"):
        assert secret.encode() not in (await call(client, "GET", path)).body


async def test_no_secret_and_no_key_is_on_the_log(world: World, client: Client) -> None:
    made = await subscribed(client)
    await call(client, "POST", f"{SUBSCRIPTIONS}/{made['subscription']['subscription_id']}/rotate-secret")
    log = msgspec.json.encode([record.event for record in world.webhooks_topic.records])
    assert len(world.webhooks_topic.records) == 2
    for hidden in (made["secret"], made["secret"].removeprefix("whsec_"), WEBHOOK_SECRET_KEY):
        assert hidden.encode() not in log


async def test_a_rotated_secret_is_another_one_and_the_former_signs_for_a_day(
    world: World, client: Client
) -> None:
    made = await subscribed(client)
    one = made["subscription"]["subscription_id"]
    answer = await call(client, "POST", f"{SUBSCRIPTIONS}/{one}/rotate-secret", {"by": "ravi"})
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json["secret"] != made["secret"]
    assert answer.json["subscription"]["secret_number"] == 2
    assert answer.json["subscription"]["former_secret_until"] == "2026-11-24T09:30:00Z"
    assert isinstance(world.webhooks_topic.records[-1].event, WebhookSecretRotated)


async def test_a_second_rotation_within_a_day_is_409_unless_the_former_secret_may_go(client: Client) -> None:
    path = f"{SUBSCRIPTIONS}/{await an_id(client)}/rotate-secret"
    assert (await call(client, "POST", path)).status == 200
    refused = await call(client, "POST", path)
    assert_problem(refused, 409, "subscription-conflict")
    assert "2026-11-24T09:30:00Z" in refused.json["detail"]
    forced = await call(client, "POST", path, {"by": "asha", "note": "it leaked", "drop_former": True})
    assert (forced.status, forced.json["subscription"]["secret_number"]) == (200, 3)


async def test_who_names_a_version_that_is_not_the_newest_changes_nothing(client: Client) -> None:
    one = await an_id(client)
    stale = (KEY, ("If-Match", '"7"'))
    for method, path, body in (
        ("DELETE", f"{SUBSCRIPTIONS}/{one}", None),
        ("PATCH", f"{SUBSCRIPTIONS}/{one}", {"note": "other"}),
        ("POST", f"{SUBSCRIPTIONS}/{one}/enable", None),
        ("POST", f"{SUBSCRIPTIONS}/{one}/rotate-secret", None),
    ):
        assert_problem(await call(client, method, path, body, stale), 412, "stale-version")
    newest = (KEY, ("If-Match", '"1"'))
    assert (await call(client, "DELETE", f"{SUBSCRIPTIONS}/{one}", None, newest)).status == 204


async def test_what_is_ended_is_not_found_any_more(client: Client) -> None:
    one = await an_id(client)
    assert (await call(client, "DELETE", f"{SUBSCRIPTIONS}/{one}", {"by": "asha"})).status == 204
    for method, path in (
        ("GET", f"{SUBSCRIPTIONS}/{one}"),
        ("DELETE", f"{SUBSCRIPTIONS}/{one}"),
        ("POST", f"{SUBSCRIPTIONS}/{one}/rotate-secret"),
    ):
        assert_problem(await call(client, method, path), 404, "subscription-not-found")


async def test_the_same_twice_is_409_and_names_the_first(client: Client) -> None:
    one = await an_id(client)
    answer = await call(client, "POST", SUBSCRIPTIONS, {**SUBSCRIPTION, "note": "again"})
    assert_problem(answer, 409, "subscription-conflict")
    assert one in answer.json["detail"]


async def test_an_answer_that_is_known_is_not_sent_again(client: Client) -> None:
    one = await an_id(client)
    answer = await call(client, "GET", f"{SUBSCRIPTIONS}/{one}", None, (KEY, ("If-None-Match", '"1"')))
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "https://localhost/hook"}, "/url"),
        ({"url": ""}, "/url"),
        ({"event_types": []}, "/event_types"),
        ({"event_types": ["payment.succeeded", "*"]}, "/event_types/1"),
        ({"event_types": ["payment.refunded"]}, "/event_types/0"),
        ({"merchant_ids": ["a b"]}, "/merchant_ids/0"),
        ({"note": f"card {CARD_NUMBER}"}, "/note"),
        ({"by": ""}, "/by"),
        ({"secret": "mine"}, "/secret"),
    ],
)
async def test_what_is_wrong_with_a_subscription_is_named(
    world: World, client: Client, changes: dict[str, object], pointer: str
) -> None:
    answer = await call(client, "POST", SUBSCRIPTIONS, {**SUBSCRIPTION, **changes})
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert world.webhooks_topic.records == []


async def test_while_the_log_is_away_nothing_is_subscribed(world: World, client: Client) -> None:
    world.webhooks_topic.is_available = False
    assert_problem(await call(client, "POST", SUBSCRIPTIONS, SUBSCRIPTION), 503, "log-unavailable")


async def test_what_another_process_did_is_known_here(world: World, client: Client) -> None:
    one = SubscriptionId(await an_id(client))
    event = WebhookDisabled(subscription_id=one, by="webhook_dispatcher", note="410", instead_of_version=1)
    await world.webhooks_topic.append(event, "evt_d", "evt_d")
    assert (await call(client, "GET", f"{SUBSCRIPTIONS}/{one}")).json["status"] == "disabled"
    assert isinstance(world.webhooks_topic.records[0].event, WebhookSubscribed)


# Amending and enabling


async def test_what_a_patch_leaves_out_stays_as_it_is(world: World, client: Client) -> None:
    one = await an_id(client)
    seen = (KEY, ("If-Match", '"1"'))
    answer = await call(
        client,
        "PATCH",
        f"{SUBSCRIPTIONS}/{one}",
        {"url": "https://receiver.example/2", "merchant_ids": [], "by": "ravi"},
        seen,
    )
    assert (answer.status, answer.headers["etag"]) == (200, '"2"')
    assert {name: answer.json[name] for name in ("url", "event_types", "merchant_ids", "note")} == {
        "url": "https://receiver.example/2",
        "event_types": SUBSCRIPTION["event_types"],
        "merchant_ids": [],
        "note": SUBSCRIPTION["note"],
    }
    assert (await call(client, "GET", f"{SUBSCRIPTIONS}/{one}")).json == answer.json
    event = world.webhooks_topic.records[-1].event
    assert isinstance(event, WebhookAmended)
    assert event.by == "ravi"


async def test_a_patch_names_the_version_that_it_is_of(client: Client) -> None:
    one = await an_id(client)
    answer = await call(client, "PATCH", f"{SUBSCRIPTIONS}/{one}", {"note": "other"})
    assert_problem(answer, 428, "version-missing")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "https://localhost/hook"}, "/url"),
        ({"event_types": []}, "/event_types"),
        ({"event_types": ["payment.refunded"]}, "/event_types/0"),
        ({"merchant_ids": ["a b"]}, "/merchant_ids/0"),
        ({"note": f"card {CARD_NUMBER}"}, "/note"),
        ({"url": None}, "/url"),
        ({"status": "active"}, "/status"),
    ],
)
async def test_what_is_wrong_with_a_patch_is_named_and_nothing_is_changed(
    world: World, client: Client, changes: dict[str, object], pointer: str
) -> None:
    one = await an_id(client)
    answer = await call(client, "PATCH", f"{SUBSCRIPTIONS}/{one}", changes, (KEY, ("If-Match", '"1"')))
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert len(world.webhooks_topic.records) == 1


async def test_one_that_was_disabled_is_enabled_by_an_operator(world: World, client: Client) -> None:
    one = SubscriptionId(await an_id(client))
    event = WebhookDisabled(subscription_id=one, by="webhook_dispatcher", note="410", instead_of_version=1)
    await world.webhooks_topic.append(event, "evt_d", "evt_d")
    answer = await call(client, "POST", f"{SUBSCRIPTIONS}/{one}/enable", {"by": "asha", "note": "a mistake"})
    assert (answer.status, answer.json["status"], answer.headers["etag"]) == (200, "active", '"3"')
    again = await call(client, "POST", f"{SUBSCRIPTIONS}/{one}/enable")
    assert (again.status, again.headers["etag"]) == (200, '"3"')
    (enabled,) = [
        record for record in world.webhooks_topic.records if isinstance(record.event, WebhookEnabled)
    ]
    assert (enabled.event.by, enabled.event.note) == ("asha", "a mistake")
    assert enabled.envelope.correlation_id == answer.headers["x-request-id"]


# Deliveries


async def delivered(world: World, to: str, *events: str) -> list[DeliveryId]:
    """Made of these events; none was attempted yet."""
    made = [
        Delivery(
            delivery_id=delivery_id(AT, event, SubscriptionId(to)),
            subscription_id=SubscriptionId(to),
            event_id=event,
            event_type="payment.succeeded",
            subject=PaymentId("pay_1"),
            merchant_id="m_001",
            body="{}",
        )
        for event in events
    ]
    async with world.deliveries.transaction(PAYMENTS_TOPIC, [0]) as transaction:
        await transaction.store(made, {0: Watermark(next_offset=1, last_stamp_ms=1)})
    return sorted((one.delivery_id for one in made), reverse=True)


async def claimed(world: World, to: str) -> list[DeliveryId]:
    claims = await world.deliveries.claim(
        [SubscriptionId(to)], by="one", at_once=9, most=9, lease_ms=60_000, unreported_most=9
    )
    return [one.delivery_id for one in claims]


async def test_deliveries_are_paged_from_the_newest_on(world: World, client: Client) -> None:
    ids = await delivered(world, await an_id(client), "evt_a", "evt_b", "evt_c")
    first = (await call(client, "GET", f"{DELIVERIES}?limit=2")).json
    second = (await call(client, "GET", f"{DELIVERIES}?limit=2&before={first['next']}")).json
    assert [one["delivery_id"] for one in [*first["deliveries"], *second["deliveries"]]] == ids
    assert second["next"] is None
    assert first["deliveries"][0]["status"] == "waiting"
    assert "body" not in first["deliveries"][0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=waiting", 1),
        ("status=dead", 0),
        ("event_type=payment.succeeded", 1),
        ("event_type=payment.failed", 0),
        ("subject=pay_1", 1),
        ("subject=pay_2", 0),
        ("subscription_id=whs_nobody", 0),
    ],
)
async def test_filters_leave_out_what_was_not_asked_for(
    world: World, client: Client, query: str, found: int
) -> None:
    await delivered(world, await an_id(client), "evt_a")
    assert len((await call(client, "GET", f"{DELIVERIES}?{query}")).json["deliveries"]) == found


@pytest.mark.parametrize(
    "query", ["status=lost", "event_type=moon", "before=dlv_1", "limit=0", "subject=%00", "subscription_id="]
)
async def test_a_query_that_cannot_be_is_400(client: Client, query: str) -> None:
    assert_problem(await call(client, "GET", f"{DELIVERIES}?{query}"), 400, "malformed-query")


async def test_a_replay_makes_it_due_under_its_own_id(world: World, client: Client) -> None:
    to = await an_id(client)
    (one,) = await delivered(world, to, "evt_a")
    assert await claimed(world, to) == [one]
    answer = await call(client, "POST", f"{DELIVERIES}/{one}/replay")
    assert (answer.status, answer.json["delivery_id"], answer.json["replays"]) == (202, one, 1)
    assert await claimed(world, to) == [one]


async def test_a_replay_is_an_event_of_who_when_and_by_which_request(world: World, client: Client) -> None:
    (one,) = await delivered(world, await an_id(client), "evt_a")
    answer = await call(
        client, "POST", f"{DELIVERIES}/{one}/replay", {"by": "asha", "note": "their disk is mended"}
    )
    record = world.webhooks_topic.records[-1]
    assert isinstance(record.event, WebhooksReplayed)
    assert (record.event.first, record.event.last, record.event.deliveries) == (one, one, 1)
    assert (record.event.by, record.event.note) == ("asha", "their disk is mended")
    assert record.envelope.correlation_id == answer.headers["x-request-id"]


async def test_nothing_is_replayed_that_is_not_on_the_log(world: World, client: Client) -> None:
    (one,) = await delivered(world, await an_id(client), "evt_a")
    world.webhooks_topic.is_available = False
    assert_problem(await call(client, "POST", f"{DELIVERIES}/{one}/replay"), 503, "log-unavailable")
    view = await world.deliveries.find(one)
    assert view is not None
    assert view.replays == 0


async def test_what_was_given_up_of_a_subscription_is_replayed_page_by_page_from_the_oldest_on(
    world: World, client: Client
) -> None:
    to, other = await an_id(client), await an_id(client, url="https://other.example/")
    ids = sorted(await delivered(world, to, "evt_a", "evt_b", "evt_c"))
    await delivered(world, other, "evt_a")
    await world.deliveries.give_up_crowded(0, 100)
    path = f"{SUBSCRIPTIONS}/{to}/replay"
    first = await call(client, "POST", path, {"limit": 2, "by": "asha"})
    assert (first.status, first.json) == (202, {"replayed": 2, "next": ids[1]})
    second = await call(client, "POST", path, {"limit": 2, "after": ids[1]})
    assert second.json == {"replayed": 1, "next": None}
    assert sorted(await claimed(world, to)) == ids
    assert await claimed(world, other) == []
    events = [record.event for record in world.webhooks_topic.records[2:]]
    assert [(one.first, one.last, one.deliveries) for one in events if isinstance(one, WebhooksReplayed)] == [
        (ids[0], ids[1], 2),
        (ids[2], ids[2], 1),
    ]


async def test_where_nothing_was_given_up_a_replay_leaves_no_event(world: World, client: Client) -> None:
    to = await an_id(client)
    answer = await call(client, "POST", f"{SUBSCRIPTIONS}/{to}/replay")
    assert (answer.status, answer.json) == (202, {"replayed": 0, "next": None})
    assert len(world.webhooks_topic.records) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 1_001}, "/limit"),
        ({"after": "dlv_1"}, "/after"),
        ({"by": ""}, "/by"),
    ],
)
async def test_a_replay_of_too_many_or_from_nowhere_is_refused(
    client: Client, body: dict[str, object], pointer: str
) -> None:
    answer = await call(client, "POST", f"{SUBSCRIPTIONS}/{await an_id(client)}/replay", body)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


async def test_nothing_is_replayed_to_one_that_is_disabled(world: World, client: Client) -> None:
    to = await an_id(client)
    (one,) = await delivered(world, to, "evt_a")
    event = WebhookDisabled(
        subscription_id=SubscriptionId(to), by="webhook_dispatcher", note="410", instead_of_version=1
    )
    await world.webhooks_topic.append(event, "evt_d", "evt_d")
    answer = await call(client, "POST", f"{DELIVERIES}/{one}/replay")
    assert_problem(answer, 409, "subscription-conflict")
    assert "enable" in answer.json["detail"]


@pytest.mark.parametrize("delivery", ["dlv_1", "dlv_" + "0" * 26, "x%00y"])
async def test_what_is_not_there_cannot_be_replayed(client: Client, delivery: str) -> None:
    answer = await call(client, "POST", f"{DELIVERIES}/{delivery}/replay")
    assert_problem(answer, 404, "delivery-not-found")


async def test_nothing_is_replayed_to_a_subscription_that_ended(world: World, client: Client) -> None:
    to = await an_id(client)
    (one,) = await delivered(world, to, "evt_a")
    await call(client, "DELETE", f"{SUBSCRIPTIONS}/{to}")
    answer = await call(client, "POST", f"{DELIVERIES}/{one}/replay")
    assert_problem(answer, 409, "subscription-conflict")
