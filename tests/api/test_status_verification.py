"""`GET /payments/{id}/status-verification`: what verification knows."""

from datetime import timedelta

import pytest

from schemas.payment import AttemptInDoubt, ReviewRequested, VerificationPerformed
from tests.api.client import Client
from tests.api.requests import assert_problem
from tests.api.stand_ins import ATTEMPT, GATEWAY, PAYMENT, REQUESTED, ROUTED, START, STARTED, World, records

PATH = f"/payments/{PAYMENT}/status-verification"
LATER = START + timedelta(seconds=90)
IN_DOUBT = AttemptInDoubt(attempt_id=ATTEMPT, gateway=GATEWAY, reason="read_timeout", latency_ms=2500)
LOOKED = VerificationPerformed(
    attempt_id=ATTEMPT, check=1, verdict="not_found_yet", next_check_at=LATER, source="look_up"
)


async def test_a_settled_payment_has_nothing_left_to_verify(client: Client) -> None:
    answer = await client.get(PATH)
    assert (answer.status, answer.headers["x-read-source"]) == (200, "log")
    assert answer.headers["consistency-token"] == "payments.events.v1-5:108"
    assert (answer.json["payment_id"], answer.json["status"]) == (PAYMENT, "SUCCESS")
    assert answer.json["next_check_at"] is None
    (attempt,) = answer.json["attempts"]
    assert (attempt["attempt_id"], attempt["gateway"], attempt["checks"]) == (ATTEMPT, GATEWAY, [])


async def test_every_check_is_told_with_what_it_found_and_when_the_next_is(
    world: World, client: Client
) -> None:
    world.histories.history = records(REQUESTED, ROUTED, STARTED, IN_DOUBT, LOOKED)
    answer = (await client.get(PATH)).json
    assert (answer["status"], answer["next_check_at"]) == ("PENDING_VERIFICATION", "2026-11-23T09:31:30Z")
    (attempt,) = answer["attempts"]
    assert (attempt["status"], attempt["next_check_at"]) == ("IN_DOUBT", "2026-11-23T09:31:30Z")
    assert attempt["checks"] == [
        {
            "attempt_id": ATTEMPT,
            "check": 1,
            "verdict": "not_found_yet",
            "source": "look_up",
            "at": "2026-11-23T09:30:00Z",
            "next_check_at": "2026-11-23T09:31:30Z",
            "is_final": False,
        }
    ]


async def test_what_a_person_must_decide_is_not_looked_at_again(world: World, client: Client) -> None:
    review = ReviewRequested(unsettled=(ATTEMPT,))
    world.histories.history = records(REQUESTED, ROUTED, STARTED, IN_DOUBT, LOOKED, review)
    answer = (await client.get(PATH)).json
    assert (answer["status"], answer["next_check_at"]) == ("NEEDS_REVIEW", None)
    assert (answer["attempts"][0]["in_review"], answer["attempts"][0]["next_check_at"]) == (True, None)


async def test_a_void_check_was_never_made(world: World, client: Client) -> None:
    world.histories.history = records(REQUESTED, ROUTED, STARTED, IN_DOUBT, LOOKED, void=[5])
    (attempt,) = (await client.get(PATH)).json["attempts"]
    assert attempt["checks"] == []


@pytest.mark.parametrize("history", [(), records(REQUESTED, void=[1])])
async def test_a_payment_of_which_nothing_counts_is_404(
    world: World, client: Client, history: object
) -> None:
    world.histories.history = history  # type: ignore[assignment]
    assert_problem(await client.get(PATH), 404, "payment-not-found")


async def test_a_malformed_id_is_404_and_a_log_that_is_away_503(world: World, client: Client) -> None:
    assert_problem(await client.get("/payments/x/status-verification"), 404, "payment-not-found")
    world.histories.is_away = True
    assert_problem(await client.get(PATH), 503, "log-unavailable")
