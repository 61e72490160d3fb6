"""`/reviews`: what waits for a person, and a person's word."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from api.answers import folded
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.ids import PaymentId, attempt_id
from schemas.notification import ReviewDecided
from schemas.payment import AttemptInDoubt, AttemptSucceeded, ReviewRequested, ReviewSettled
from schemas.views import PaymentHistory
from tests.api.client import Answer, Client, Headers
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import (
    ADMIN_KEY,
    ATTEMPT,
    GATEWAY,
    PAID,
    PAYMENT,
    REQUESTED,
    ROUTED,
    STARTED,
    SUCCESS,
    Reading,
    World,
    records,
)

pytestmark = pytest.mark.time_jumps

IN_DOUBT = AttemptInDoubt(attempt_id=ATTEMPT, gateway=GATEWAY, reason="read_timeout", latency_ms=2500)
REVIEW = (REQUESTED, ROUTED, STARTED, IN_DOUBT, ReviewRequested(unsettled=(ATTEMPT,)))
SETTLED = (
    *REVIEW,
    ReviewSettled(attempt_id=ATTEMPT, verdict="succeeded", settled_by="asha", note="seen"),
    AttemptSucceeded(
        attempt_id=ATTEMPT, gateway=GATEWAY, gateway_reference="txn_1", latency_ms=0, verified=True
    ),
    PAID,
)
KEY = ("X-Internal-Api-Key", ADMIN_KEY)
SETTLE = f"/reviews/{PAYMENT}/settle"
BODY = {
    "attempt_id": ATTEMPT,
    "verdict": "succeeded",
    "note": "seen in the statement of the 23rd",
    "settled_by": "asha",
    "gateway_reference": "txn_1",
}


@pytest.fixture
def world() -> World:
    world = World()
    world.reader.reading = Reading(folded(records(*REVIEW)))
    return world


def in_review(number: int) -> PaymentHistory:
    history = folded(records(*REVIEW))
    payment_id = PaymentId(PAYMENT[:-2] + f"{number:02}")
    return replace(history, payment=replace(history.payment, payment_id=payment_id))


async def settle(client: Client, *headers: tuple[str, str], **changes: object) -> Answer:
    return await client.post(SETTLE, [JSON, KEY, *headers], msgspec.json.encode(BODY | changes))


async def test_reviews_show_payments_with_the_attempts_that_wait(world: World, client: Client) -> None:
    world.reviews.waiting = [in_review(1)]
    answer = await client.get("/reviews", [KEY])
    assert (answer.status, answer.json["next"]) == (200, None)
    (review,) = answer.json["reviews"]
    assert (review["payment"]["status"], review["payment"]["amount_minor"]) == ("NEEDS_REVIEW", 1000)
    assert [(one["attempt_id"], one["gateway"]) for one in review["unsettled"]] == [(ATTEMPT, GATEWAY)]


async def test_reviews_come_in_pages_that_meet_without_a_gap(world: World, client: Client) -> None:
    world.reviews.waiting = [in_review(number) for number in range(5)]
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get(f"/reviews?limit=2{after and '&after=' + after}", [KEY])).json
        assert len(page["reviews"]) <= 2
        seen += [review["payment"]["payment_id"] for review in page["reviews"]]
        after = page["next"]
    assert seen == [one.payment.payment_id for one in world.reviews.waiting]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=", "limit=-1", "limit=1.5", "after=", "after=x"]
)
async def test_a_malformed_query_is_400(client: Client, query: str) -> None:
    assert_problem(await client.get(f"/reviews?{query}", [KEY]), 400, "malformed-query")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Internal-Api-Key", "")],
        [("X-Internal-Api-Key", "wrong")],
        [("X-Internal-Api-Key", ADMIN_KEY[:-1])],
        [("X-Internal-Api-Key", ADMIN_KEY + "x")],
        [("X-Internal-Api-Key", b"\xff")],
        [("Authorization", ADMIN_KEY)],
        [KEY, KEY],
        [KEY, ("X-Internal-Api-Key", "wrong")],
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/reviews"), ("GET", "/reviews?limit=x"), ("POST", "/reviews/x/settle")]
)
async def test_without_the_key_nothing_is_read_and_nothing_told(
    world: World, client: Client, method: str, path: str, headers: Headers
) -> None:
    answer = await client.request(method, path, headers, b"{", ends=False)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"]
    assert not world.reader.asked


async def test_a_decision_is_on_the_log_with_who_and_why_and_the_payment_is_shown_as_it_stands(
    world: World, client: Client
) -> None:
    answer = await settle(client, ("X-Request-Id", "req_asha"))
    assert (answer.status, answer.json["status"]) == (202, "NEEDS_REVIEW")
    assert answer.headers["location"] == f"/payments/{PAYMENT}"
    ((decided, payment_id, request_id),) = world.messages.published
    assert (payment_id, request_id) == (PAYMENT, "req_asha")
    assert isinstance(decided, ReviewDecided)
    assert decided == ReviewDecided(decision_id=decided.decision_id, **BODY)  # type: ignore[arg-type]
    assert decided.decision_id.startswith("dec_")


async def test_a_decision_is_audited_in_the_log_lines_without_its_free_text(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await settle(client)
    logged = "".join(capsys.readouterr())
    assert all(word in logged for word in ("a review was decided", PAYMENT, ATTEMPT, "asha", "succeeded"))
    assert "statement" not in logged


async def test_who_prefers_to_wait_sees_the_settled_payment(world: World, client: Client) -> None:
    async def verifier() -> None:
        await world.messages.arrived.wait()
        world.reader.reading = Reading(folded(records(*SETTLED)))

    settling = asyncio.create_task(verifier())
    answer = await settle(client, ("Prefer", "wait=5"))
    await settling
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    assert answer.headers["preference-applied"] == "wait=5"


async def test_who_waits_sees_the_payments_end_and_not_only_the_attempts(
    world: World, client: Client
) -> None:
    async def verifier() -> None:
        await world.messages.arrived.wait()
        world.reader.reading = Reading(folded(records(*SETTLED[:-1])))
        await asyncio.sleep(0.3)
        world.reader.reading = Reading(folded(records(*SETTLED)))

    settling = asyncio.create_task(verifier())
    answer = await settle(client, ("Prefer", "wait=5"))
    await settling
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")


async def test_who_waits_does_not_wait_for_other_attempts(world: World, client: Client) -> None:
    other = replace(STARTED, attempt_id=attempt_id(PAYMENT, 1, 2), number=2)

    async def verifier() -> None:
        await world.messages.arrived.wait()
        world.reader.reading = Reading(folded(records(*REVIEW, other, SETTLED[len(REVIEW)])))

    world.reader.reading = Reading(folded(records(*REVIEW, other)))
    settling = asyncio.create_task(verifier())
    answer = await settle(client, ("Prefer", "wait=5"))
    await settling
    assert (answer.status, answer.json["status"]) == (200, "NEEDS_REVIEW")


async def test_who_waits_in_vain_is_told_that_it_is_accepted(client: Client) -> None:
    assert (await settle(client, ("Prefer", "wait=1"))).status == 202


async def test_a_read_model_that_goes_away_meanwhile_does_not_undo_the_decision(
    world: World, client: Client
) -> None:
    async def fail() -> None:
        await world.messages.arrived.wait()
        world.reader.failure = StoreUnavailable("asyncpg")

    failing = asyncio.create_task(fail())
    assert (await settle(client, ("Prefer", "wait=5"))).status == 202
    await failing


@pytest.mark.parametrize("path", ["/reviews/x/settle", SETTLE])
async def test_an_unknown_payment_is_404(world: World, client: Client, path: str) -> None:
    world.reader.reading = Reading(None)
    answer = await client.post(path, [JSON, KEY], msgspec.json.encode(BODY))
    assert_problem(answer, 404, "payment-not-found")


@pytest.mark.parametrize("history", [SUCCESS, SETTLED, REVIEW[:-1]])
async def test_an_attempt_that_is_not_in_review_is_409(
    world: World, client: Client, history: tuple[Any, ...]
) -> None:
    world.reader.reading = Reading(folded(records(*history)))
    assert_problem(await settle(client), 409, "not-in-review")
    assert not world.messages.published


async def test_another_payments_attempt_is_409(client: Client) -> None:
    assert_problem(await settle(client, attempt_id=ATTEMPT[:-1] + "9"), 409, "not-in-review")


@pytest.mark.parametrize("verdict", ["declined", "not_sent"])
async def test_only_a_success_needs_the_gateways_reference(client: Client, verdict: str) -> None:
    assert (await settle(client, verdict=verdict, gateway_reference=None)).status == 202


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"gateway_reference": None}, "/gateway_reference"),
        ({"gateway_reference": ""}, "/gateway_reference"),
        ({"gateway_reference": CARD_NUMBER}, "/gateway_reference"),
        ({"note": ""}, "/note"),
        ({"note": "x" * 501}, "/note"),
        ({"note": "a\nb"}, "/note"),
        ({"note": "a\0b"}, "/note"),
        ({"note": f"the card was {CARD_NUMBER}"}, "/note"),
        ({"settled_by": ""}, "/settled_by"),
        ({"settled_by": "x" * 65}, "/settled_by"),
        ({"settled_by": "a\u202eb"}, "/settled_by"),
        ({"settled_by": CARD_NUMBER}, "/settled_by"),
        ({"verdict": "failed"}, "/verdict"),
        ({"attempt_id": "x"}, "/attempt_id"),
        ({"attempt_id": None}, "/attempt_id"),
        ({"why": "x"}, "/why"),
    ],
)
async def test_a_wrong_field_is_named_by_its_pointer(
    world: World, client: Client, changes: dict[str, object], pointer: str
) -> None:
    answer = await settle(client, **changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert CARD_NUMBER.encode() not in answer.body
    assert not world.messages.published


async def test_a_decision_that_is_not_on_the_log_is_503(world: World, client: Client) -> None:
    world.messages.failure = LogUnavailable("broker 1 at 10.0.0.1")
    answer = await settle(client)
    assert_problem(answer, 503, "log-unavailable")
    assert b"10.0.0.1" not in answer.body


@pytest.mark.parametrize(("method", "path"), [("POST", "/reviews"), ("GET", SETTLE)])
async def test_a_wrong_method_is_405(client: Client, method: str, path: str) -> None:
    assert_problem(await client.request(method, path, [KEY]), 405, "method-not-allowed")
