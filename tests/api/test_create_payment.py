"""`POST /payments` as clients see it."""

import pytest

from api.app import create_app
from schemas.errors import AppendAmbiguous, Refusal, Refused, StoreUnavailable
from schemas.outcome import NextAction
from schemas.payment import AttemptAwaitingCustomer, Failure, PaymentEvent, PaymentFailed, ReviewRequested
from tests.api.client import Client
from tests.api.requests import BODY, HEADERS, JSON, KEY, assert_problem, body
from tests.api.stand_ins import (
    ATTEMPT,
    GATEWAY,
    PAID,
    PAYMENT,
    REQUESTED,
    ROUTED,
    STARTED,
    SUCCEEDED,
    ScriptedHandler,
    World,
    records,
)

AWAITING = AttemptAwaitingCustomer(
    attempt_id=ATTEMPT,
    gateway=GATEWAY,
    gateway_reference="pay_xyz",
    next_action=NextAction(type="upi_intent", url="upi://pay?pa=x"),
    latency_ms=5,
)
FAILED = PaymentFailed(failure=Failure(code="insufficient_funds", blame="customer", customer_may_retry=True))
REVIEW = ReviewRequested(unsettled=(ATTEMPT,))


async def test_a_successful_payment_is_201_with_its_whole_state(client: Client) -> None:
    answer = await client.post("/payments", HEADERS, body())
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["payment_id"] == PAYMENT
    assert answer.json["status"] == "SUCCESS"
    assert {name: answer.json[name] for name in ("amount_minor", "currency", "merchant_id")} == {
        "amount_minor": 1000,
        "currency": "INR",
        "merchant_id": "m_001",
    }
    assert answer.json["routing"]["strategy"] == "PRIORITY"
    assert set(answer.json) == {
        *("payment_id", "status", "amount_minor", "currency", "payment_method", "merchant_id", "customer_id"),
        *("gateway", "gateway_reference", "attempts", "failure", "next_action", "routing", "latency_ms"),
        *("created_at", "updated_at"),
    }


async def test_the_answer_says_where_the_payment_is_and_what_a_read_must_have_seen(client: Client) -> None:
    answer = await client.post("/payments", HEADERS, body())
    assert answer.headers["location"] == f"/payments/{PAYMENT}"
    assert answer.headers["etag"] == '"5"'
    assert answer.headers["consistency-token"] == "payments.events.v1-5:108"
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        ((REQUESTED, ROUTED, STARTED, SUCCEEDED, PAID), "SUCCESS", 201),
        ((REQUESTED, ROUTED, STARTED, AWAITING), "AWAITING_CUSTOMER", 202),
        ((REQUESTED, ROUTED, STARTED), "PENDING_VERIFICATION", 202),
        ((REQUESTED, ROUTED, STARTED, REVIEW), "NEEDS_REVIEW", 202),
        ((REQUESTED, ROUTED, STARTED, FAILED), "FAILURE", 402),
    ],
)
@pytest.mark.parametrize("is_replay", [False, True])
async def test_each_status_has_its_own_code_also_when_it_is_a_replay(
    world: World, events: tuple[PaymentEvent, ...], status: str, code: int, is_replay: bool
) -> None:
    world.handler = ScriptedHandler(records(*events), is_replay=is_replay)
    answer = await Client(create_app(world.services())).post("/payments", HEADERS, body())
    assert (answer.status, answer.json["status"]) == (code, status)
    assert answer.headers.get("idempotent-replayed") == ("true" if is_replay else None)


async def test_records_outside_their_window_do_not_count(world: World) -> None:
    world.handler = ScriptedHandler(records(REQUESTED, ROUTED, STARTED, SUCCEEDED, PAID, void=[4, 5]))
    answer = await Client(create_app(world.services())).post("/payments", HEADERS, body())
    assert (answer.status, answer.json["status"]) == (202, "PENDING_VERIFICATION")
    assert answer.headers["etag"] == '"3"'


async def test_the_answer_of_the_post_is_the_body_of_the_get(client: Client) -> None:
    posted = await client.post("/payments", HEADERS, body())
    read = await client.get(f"/payments/{PAYMENT}")
    assert read.body == posted.body
    assert read.headers["etag"] == posted.headers["etag"]


async def test_the_handler_gets_the_parsed_key_the_request_id_and_the_context(
    world: World, client: Client
) -> None:
    headers = [
        *HEADERS,
        ("X-Request-Id", "abc-1"),
        ("X-Context-Channel", "app"),
        ("X-Context-City", "Zürich"),
    ]
    answer = await client.post("/payments", headers, body())
    call = world.handler.calls[0]
    assert call.key == "8e03978e-40d5-43dd-bc93-6894a57f9324"
    assert call.request_id == answer.headers["x-request-id"] == "abc-1"
    assert call.attributes == {"channel": "app", "city": "Zürich", "client-network": "127.0.0.0/24"}
    assert call.body.amount_minor == BODY["amount_minor"]


@pytest.mark.parametrize("key", ['"a-key"', "a-key", '  "a-key"  '])
async def test_a_key_is_the_same_with_and_without_quotes(world: World, client: Client, key: str) -> None:
    await client.post("/payments", [JSON, ("Idempotency-Key", key)], body())
    assert world.handler.calls[0].key == "a-key"


async def test_escapes_in_a_quoted_key_are_undone(world: World, client: Client) -> None:
    await client.post("/payments", [JSON, ("Idempotency-Key", r'"a\"b\\c"')], body())
    assert world.handler.calls[0].key == r'a"b\c'


@pytest.mark.parametrize(
    "headers", [[JSON], [JSON, ("Idempotency-Key", "")], [JSON, ("Idempotency-Key", '""')]]
)
async def test_without_a_key_nothing_is_done(
    world: World, client: Client, headers: list[tuple[str, str]]
) -> None:
    assert_problem(await client.post("/payments", headers, body()), 400, "idempotency-key-missing")
    assert not world.handler.calls


@pytest.mark.parametrize(
    "key",
    [
        "a b",
        '"a',
        'a"',
        '"a"b"',
        '"a";x=1',
        "a,b",
        '"a", "b"',
        "é",
        "a\\b",
        r'"a\b"',
        "x" * 256,
        f'"{"x" * 256}"',
    ],
)
async def test_a_key_that_cannot_be_used_is_refused(world: World, client: Client, key: str) -> None:
    answer = await client.post("/payments", [JSON, ("Idempotency-Key", key)], body())
    assert_problem(answer, 400, "idempotency-key-invalid")
    assert not world.handler.calls


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', "YWJjZA==", "urn:uuid:1/2", "!#$%&'*+-.^_`|~"])
async def test_any_visible_ascii_makes_a_key(world: World, client: Client, key: str) -> None:
    answer = await client.post("/payments", [JSON, ("Idempotency-Key", key)], body())
    assert answer.status == 201
    assert world.handler.calls[0].key == key.strip('"')


async def test_two_keys_are_refused_also_when_they_are_equal(client: Client) -> None:
    assert_problem(await client.post("/payments", [JSON, KEY, KEY], body()), 400, "idempotency-key-invalid")


@pytest.mark.parametrize(
    "headers",
    [
        [(f"X-Context-N{number}", "v") for number in range(17)],
        [("X-Context-" + "n" * 65, "v")],
        [("X-Context-", "v")],
        [("X-Context-A", "v" * 257)],
        [("X-Context-A", b"\xff")],
        [("X-Context-A", "a\x01b")],
        [("X-Context-A", "1"), ("x-context-a", "2")],
        [("X-Context-A", "4111 1111 1111 1111")],
        [("X-Context-A", "paid with 4111-1111-1111-1111, he said")],
    ],
)
async def test_context_that_is_too_much_or_unfit_for_the_log_is_refused(
    world: World, client: Client, headers: list[tuple[str, str | bytes]]
) -> None:
    identified = [*HEADERS, ("X-Request-Id", "no-digits-to-mistake")]
    answer = await client.post("/payments", [*identified, *headers], body())
    assert_problem(answer, 400, "malformed-header")
    assert b"1111" not in answer.body
    assert not world.handler.calls


async def test_as_much_context_as_is_allowed_is_taken(world: World, client: Client) -> None:
    headers = [(f"X-Context-{'n' * 62}{number:02}", "v" * 256) for number in range(16)]
    assert (await client.post("/payments", [*HEADERS, *headers], body())).status == 201
    assert len(world.handler.calls[0].attributes) == 16 + 1


async def test_a_time_in_milliseconds_is_no_card_number(world: World, client: Client) -> None:
    times = [("X-Context-Since", str(1_732_400_000_000 + number)) for number in range(20)]
    for header in times:
        assert (await client.post("/payments", [*HEADERS, header], body())).status == 201


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Refusal.KEY_REUSED, 422),
        (Refusal.PAYMENT_IN_PROGRESS, 409),
        (Refusal.NO_ELIGIBLE_GATEWAY, 503),
        (Refusal.UNSUPPORTED_PAYMENT, 422),
        (Refusal.TOO_BUSY, 503),
        (Refusal.NOT_ADMITTING, 503),
        (Refusal.LOG_UNAVAILABLE, 503),
        (Refusal.STORE_UNAVAILABLE, 503),
    ],
)
async def test_every_refusal_has_its_own_problem(
    world: World, client: Client, reason: Refusal, code: int
) -> None:
    world.handler.failure = Refused(reason, "because", retry_after_s=7)
    answer = await client.post("/payments", HEADERS, body())
    assert_problem(answer, code, reason.value)
    assert answer.json["detail"] == "because"
    assert answer.headers.get("retry-after") == ("7" if code in (409, 503) else None)


@pytest.mark.parametrize(
    ("failure", "name"),
    [
        (StoreUnavailable("connect to 10.0.0.7 failed: password"), "store-unavailable"),
        (AppendAmbiguous("KafkaTimeoutError from the broker"), "log-unavailable"),
    ],
)
async def test_a_part_that_is_away_is_503_without_inner_text(
    world: World, client: Client, failure: Exception, name: str
) -> None:
    world.handler.failure = failure
    answer = await client.post("/payments", HEADERS, body())
    assert_problem(answer, 503, name)
    assert b"10.0.0.7" not in answer.body
    assert b"Kafka" not in answer.body


async def test_a_process_that_is_going_away_admits_no_payment(world: World) -> None:
    services = world.services()
    services.draining.set()
    answer = await Client(create_app(services)).post("/payments", HEADERS, body())
    assert_problem(answer, 503, "not-admitting")
    assert not world.handler.calls
