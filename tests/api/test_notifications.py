"""`POST /gateway-notifications/{gateway}` as gateways, and those who pretend to be one, see it."""

import asyncio
from itertools import count

import msgspec
import pytest
from prometheus_client import REGISTRY

from schemas.errors import AppendAmbiguous, LogUnavailable
from tests.api.client import Answer, Client, Headers
from tests.api.requests import JSON, assert_problem
from tests.api.stand_ins import ATTEMPT, GATEWAY, PAYMENT, World, signed

PATH = f"/gateway-notifications/{GATEWAY}"
_ids = count(1)


def notification(**changes: object) -> bytes:
    return msgspec.json.encode({"id": f"evt_{next(_ids)}", "about": ATTEMPT} | changes)


async def tell(client: Client, body: bytes, *headers: tuple[str, str]) -> Answer:
    return await client.post(PATH, [JSON, signed(body), *headers], body)


def counted(result: str) -> float:
    labels = {"gateway": GATEWAY, "result": result}
    return REGISTRY.get_sample_value("payments_gateway_notifications_total", labels) or 0.0


async def test_a_notification_is_on_the_log_under_its_payment_before_it_is_acknowledged(
    world: World, client: Client
) -> None:
    before = counted("accepted")
    answer = await tell(client, notification(id="evt_x"), ("X-Request-Id", "req_gw"))
    assert (answer.status, answer.json) == (200, {"status": "accepted"})
    ((message, payment_id, request_id),) = world.messages.published
    assert (message.attempt_id, payment_id, request_id) == (ATTEMPT, PAYMENT, "req_gw")
    assert counted("accepted") == before + 1


async def test_what_is_about_nothing_of_ours_is_acknowledged_and_ignored(
    world: World, client: Client
) -> None:
    before = counted("ignored")
    answer = await tell(client, notification(about=None))
    assert (answer.status, answer.json) == (200, {"status": "ignored"})
    assert not world.messages.published
    assert counted("ignored") == before + 1


async def test_the_same_notification_again_is_acknowledged_and_not_written_again(
    world: World, client: Client
) -> None:
    body = notification()
    for _ in range(3):
        assert (await tell(client, body)).json == {"status": "accepted"}
    assert len(world.messages.published) == 1


async def test_another_notification_under_a_known_id_is_written(world: World, client: Client) -> None:
    other = ATTEMPT[:-1] + "2"
    await tell(client, notification(id="evt_same"))
    await tell(client, notification(id="evt_same", about=other))
    assert [message.attempt_id for message, _, _ in world.messages.published] == [ATTEMPT, other]


@pytest.mark.parametrize("failure", [LogUnavailable("broker"), AppendAmbiguous("broker")])
async def test_without_an_acknowledgement_of_the_log_the_gateway_is_told_to_come_again(
    world: World, client: Client, failure: Exception
) -> None:
    body = notification()
    world.messages.failure = failure
    assert_problem(await tell(client, body), 503, "log-unavailable")
    world.messages.failure = None
    assert (await tell(client, body)).status == 200
    assert len(world.messages.published) == 1


@pytest.mark.parametrize(
    "headers", [[], [("X-Signature", "")], [("X-Signature", "ab" * 32)], [signed(b"{}")]]
)
async def test_what_the_gateway_did_not_sign_is_401_and_nobody_looks_into_it(
    world: World, client: Client, headers: Headers
) -> None:
    before = counted("bad_signature")
    for body in (notification(), b"no json"):
        answer = await client.post(PATH, [JSON, *headers], body)
        assert_problem(answer, 401, "bad-signature")
        assert answer.headers["www-authenticate"]
    assert not world.messages.published
    assert counted("bad_signature") == before + 2


async def test_the_signature_is_of_the_bytes_and_not_of_what_they_mean(world: World, client: Client) -> None:
    body = b'{"id":"evt_r","about":"%b"}' % ATTEMPT.encode()
    reordered = b'{"about":"%b","id":"evt_r"}' % ATTEMPT.encode()
    spaced = body.replace(b",", b", ")
    for same in (reordered, spaced):
        assert msgspec.json.decode(same) == msgspec.json.decode(body)
        assert_problem(await client.post(PATH, [JSON, signed(body)], same), 401, "bad-signature")
    assert not world.messages.published


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"id":1}'])
async def test_what_is_signed_and_unreadable_is_400(world: World, client: Client, body: bytes) -> None:
    before = counted("unreadable")
    assert_problem(await tell(client, body), 400, "unreadable-notification")
    assert not world.messages.published
    assert counted("unreadable") == before + 1


@pytest.mark.parametrize("headers", [[], [("Content-Type", "text/plain")], [("Content-Type", "x"), JSON]])
async def test_gateways_call_the_content_what_they_like(client: Client, headers: Headers) -> None:
    body = notification()
    assert (await client.post(PATH, [*headers, signed(body)], body)).status == 200


async def test_a_body_may_come_in_pieces(client: Client) -> None:
    body = notification()
    assert (await client.post(PATH, [signed(body)], [body[:5], body[5:9], body[9:]])).status == 200


@pytest.mark.parametrize(
    "gateway",
    ["payu", "", "RAZORPAY", "razorpay ", "razorpay%00", "räzorpay", "..", "a/b", "'; --", "x" * 5000, "{}"],
)
async def test_a_gateway_that_sends_no_notifications_is_404_before_its_body_is_read(
    world: World, client: Client, gateway: str
) -> None:
    answer = await client.request("POST", f"/gateway-notifications/{gateway}", [JSON], b"x", ends=False)
    assert answer.status == 404
    assert answer.json["type"] in ("/problems/gateway-not-found", "/problems/path-not-found")
    assert "payu" not in (await client.get("/metrics")).body.decode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "BREW"])
async def test_notifications_are_only_posted(client: Client, method: str) -> None:
    answer = await client.request(method, PATH)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("size", [262_145, 10_000_000])
async def test_a_body_that_is_too_large_is_413(world: World, client: Client, size: int) -> None:
    body = notification() + b" " * size
    for length in ([], [("Content-Length", str(len(body)))]):
        pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
        answer = await client.post(PATH, [signed(body), *length], pieces)
        assert_problem(answer, 413, "body-too-large")
    assert not world.messages.published


async def test_a_body_at_the_limit_is_taken(client: Client) -> None:
    body = notification()
    assert (await tell(client, body + b" " * (262_144 - len(body)))).status == 200


async def test_many_at_once_are_all_written(world: World, client: Client) -> None:
    answers = await asyncio.gather(*(tell(client, notification()) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len(world.messages.published) == 100


async def test_nothing_of_a_notification_is_told_back_or_logged(
    world: World, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    body = notification(about=7, vpa="someone@okbank")
    for headers, status in (([signed(body)], 400), ([], 401)):
        answer = await client.post(PATH, headers, body)
        assert answer.status == status
        assert b"okbank" not in answer.body
    assert "okbank" not in "".join(capsys.readouterr())
