"""Reading a payment: as it stands, as it was tried, as it was routed, as it happened."""

import pytest
from msgspec.structs import replace

from api.answers import folded
from schemas.envelope import Position
from schemas.errors import LogUnavailable, ReadTooFarBehind, StoreUnavailable
from tests.api.client import Client
from tests.api.requests import assert_problem
from tests.api.stand_ins import (
    ATTEMPT,
    CUSTOMER,
    GATEWAY,
    PAID,
    PAYMENT,
    REQUESTED,
    ROUTED,
    STARTED,
    SUCCEEDED,
    Reading,
    World,
    records,
)

PATHS = [f"/payments/{PAYMENT}{rest}" for rest in ("", "/attempts", "/routing-decision")]
EVENTS = f"/payments/{PAYMENT}/events"


async def test_a_payment_is_read_with_what_a_later_read_must_have_seen(client: Client) -> None:
    answer = await client.get(PATHS[0])
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    assert answer.headers["etag"] == '"5"'
    assert answer.headers["consistency-token"].endswith(":108")
    assert answer.headers["x-read-source"] == "projection"


async def test_the_merchant_reads_its_own_id_of_the_customer_until_he_is_forgotten(
    world: World, client: Client
) -> None:
    assert (await client.get(PATHS[0])).json["customer_id"] == "cust_001"
    await world.customers.forget([CUSTOMER])
    answer = await client.get(PATHS[0])
    assert (answer.status, answer.json["customer_id"]) == (200, None)


async def test_a_payment_from_before_there_were_tokens_is_read_with_what_it_has(
    world: World, client: Client
) -> None:
    order = replace(REQUESTED.order, customer_id="cust_of_old")
    earlier = folded(records(replace(REQUESTED, order=order), ROUTED, STARTED, SUCCEEDED, PAID))
    world.reader.reading = Reading(earlier)
    assert (await client.get(PATHS[0])).json["customer_id"] == "cust_of_old"


async def test_attempts_tell_what_was_tried(client: Client) -> None:
    answer = await client.get(PATHS[1])
    assert answer.json["payment_id"] == PAYMENT
    assert [(attempt["attempt_id"], attempt["gateway"]) for attempt in answer.json["attempts"]] == [
        (ATTEMPT, GATEWAY)
    ]


async def test_routing_decisions_are_all_told_the_newest_first(world: World, client: Client) -> None:
    again = replace(ROUTED, reason="taken_over")
    world.reader.reading = Reading(folded(records(REQUESTED, ROUTED, again, STARTED)), source="log")
    answer = await client.get(PATHS[2])
    assert [decision["reason"] for decision in answer.json["decisions"]] == ["taken_over", ROUTED.reason]
    assert answer.headers["x-read-source"] == "log"


async def test_events_are_the_raw_history_void_records_included(world: World, client: Client) -> None:
    world.histories.history = records(REQUESTED, ROUTED, STARTED, SUCCEEDED, PAID, void=[5])
    answer = await client.get(EVENTS)
    assert (answer.status, answer.headers["x-read-source"]) == (200, "log")
    events = answer.json["events"]
    assert [event["event"]["type"] for event in events][:2] == ["PaymentRequested", "PaymentRouted"]
    assert [event["is_void"] for event in events] == [False] * 4 + [True]
    assert events[0]["position"] == {"topic": "payments.events.v1", "partition": 5, "offset": 100}
    assert events[0]["envelope"]["sequence"] == 1
    assert events[0]["event"]["order"]["customer_id"] == CUSTOMER
    assert events[0]["stamp_ms"] > 0
    assert answer.headers["consistency-token"] == "payments.events.v1-5:108"


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_already_known_is_304(client: Client, path: str) -> None:
    for tags in ('"5"', 'W/"5"', '"4", "5"', "*"):
        answer = await client.get(path, [("If-None-Match", tags)])
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"5"')
    assert (await client.get(path, [("If-None-Match", '"4"')])).status == 200


async def test_a_consistency_token_reaches_the_reader(world: World, client: Client) -> None:
    await client.get(PATHS[0], [("Consistency-Token", "payments.events.v1-5:108")])
    assert world.reader.asked == [
        (PAYMENT, Position(topic="payments.events.v1", partition=5, offset=108), 0.25)
    ]


@pytest.mark.parametrize(
    ("prefer", "wait_s", "applied"),
    [
        ([], 0.25, None),
        (["wait=3"], 3, "wait=3"),
        (["wait=0"], 0, "wait=0"),
        (["respond-async, Wait=2; x=y"], 2, "wait=2"),
        (["return=minimal", 'wait="4"'], 4, "wait=4"),
        (["wait=60"], 10, "wait=10"),
        (["return=minimal"], 0.25, None),
    ],
)
async def test_a_reader_waits_as_long_as_is_preferred_within_ten_seconds(
    world: World, client: Client, prefer: list[str], wait_s: float, applied: str | None
) -> None:
    answer = await client.get(PATHS[0], [("Prefer", value) for value in prefer])
    assert world.reader.asked[0][2] == wait_s
    assert answer.headers.get("preference-applied") == applied


@pytest.mark.parametrize(
    "header",
    [
        *(
            ("Consistency-Token", token)
            for token in (
                "",
                "x",
                "payments.events.v1-5",
                "payments.events.v1-12:1",
                "payments.events.v1-5:-1",
            )
        ),
        ("Consistency-Token", "circuits.events.v1-5:1"),
        ("Consistency-Token", "payments.events.v1-5:" + "9" * 19),
        ("Prefer", "wait"),
        ("Prefer", "wait=soon"),
        ("Prefer", "wait=-1"),
        ("Prefer", "wait=0.5"),
        ("Prefer", "wait=9999999999"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_malformed_header_is_400(client: Client, path: str, header: tuple[str, str]) -> None:
    assert_problem(await client.get(path, [header]), 400, "malformed-header")


async def test_two_consistency_tokens_are_400(client: Client) -> None:
    token = ("Consistency-Token", "payments.events.v1-5:108")
    assert_problem(await client.get(PATHS[0], [token, token]), 400, "malformed-header")


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_payment_is_404_after_the_reader_has_waited(
    world: World, client: Client, path: str
) -> None:
    world.reader.reading = Reading(None)
    assert_problem(await client.get(path, [("Prefer", "wait=1")]), 404, "payment-not-found")
    assert world.reader.asked[0][2] == 1


async def test_an_unknown_payment_has_no_events(world: World, client: Client) -> None:
    world.histories.history = ()
    assert_problem(await client.get(EVENTS), 404, "payment-not-found")


@pytest.mark.parametrize("rest", ["", "/attempts", "/routing-decision", "/events", "/status-verification"])
@pytest.mark.parametrize("payment_id", ["x", "pay_", PAYMENT + "0", PAYMENT.upper(), "4111111111111111"])
async def test_a_malformed_id_is_404_without_asking_anybody(
    world: World, client: Client, payment_id: str, rest: str
) -> None:
    answer = await client.get(f"/payments/{payment_id}{rest}")
    assert_problem(answer, 404, "payment-not-found")
    assert payment_id.encode() not in answer.body or len(payment_id) < 5
    assert not world.reader.asked


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (ReadTooFarBehind("lag 9000"), "read-too-far-behind"),
        (LogUnavailable("KafkaError"), "log-unavailable"),
        (StoreUnavailable("asyncpg"), "store-unavailable"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_read_that_cannot_be_certain_is_503(
    world: World, client: Client, path: str, failure: Exception, name: str
) -> None:
    world.reader.failure = failure
    assert_problem(await client.get(path), 503, name)


async def test_events_are_503_while_the_log_is_away(world: World, client: Client) -> None:
    world.histories.is_away = True
    answer = await client.get(EVENTS)
    assert_problem(answer, 503, "log-unavailable")
    assert b"10.0.0.1" not in answer.body
