"""What `POST /payments` says about a body that it does not take."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.app import create_app
from api.body import BodyLimits, field_error
from schemas.http import PaymentBody
from tests.api.client import Client
from tests.api.requests import CARD, CARD_NUMBER, HEADERS, JSON, KEY, assert_problem, body
from tests.api.stand_ins import World

pytestmark = pytest.mark.time_jumps


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount_minor": "1000"}, "/amount_minor"),
        ({"amount_minor": 0}, "/amount_minor"),
        ({"amount_minor": -5}, "/amount_minor"),
        ({"amount_minor": 10.5}, "/amount_minor"),
        ({"amount_minor": 2**53}, "/amount_minor"),
        ({"amount_minor": 2**70}, "/amount_minor"),
        ({"amount_minor": None}, "/amount_minor"),
        ({"currency": "inr"}, "/currency"),
        ({"currency": "XXX"}, "/currency"),
        ({"payment_method": "CREDIT"}, "/payment_method"),
        ({"payment_method": "CARD"}, "/instrument/type"),
        ({"merchant_id": ""}, "/merchant_id"),
        ({"merchant_id": "a\x00b"}, "/merchant_id"),
        ({"customer_id": "x" * 65}, "/customer_id"),
        ({"instrument": None}, "/instrument"),
        ({"instrument": {"type": "CASH"}}, "/instrument/type"),
        ({"instrument": {"vpa": "a@b"}}, "/instrument/type"),
        ({"instrument": {"type": "UPI", "vpa": "nobody"}}, "/instrument/vpa"),
        ({"instrument": {"type": "UPI", "upi": "x"}}, "/instrument/upi"),
        ({"amount": 5}, "/amount"),
    ],
)
async def test_a_wrong_field_is_named_by_its_pointer(
    world: World, client: Client, changes: dict[str, object], pointer: str
) -> None:
    answer = await client.post("/payments", HEADERS, body(**changes))
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert answer.json["errors"][0]["detail"]
    assert not world.handler.calls


@pytest.mark.parametrize("field", ["amount_minor", "currency", "payment_method", "merchant_id", "instrument"])
async def test_a_missing_field_is_named_by_its_pointer(client: Client, field: str) -> None:
    given_body = msgspec.json.decode(body())
    del given_body[field]
    answer = await client.post("/payments", HEADERS, msgspec.json.encode(given_body))
    assert_problem(answer, 422, "invalid-body")
    assert answer.json["errors"] == [{"pointer": f"/{field}", "detail": "is required"}]


async def test_faults_of_a_well_formed_body_are_all_named_at_once(client: Client) -> None:
    answer = await client.post("/payments", HEADERS, body(currency="XXX", payment_method="CARD"))
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == ["/currency", "/instrument/type"]


async def test_a_body_that_is_no_object_is_named_at_its_root(client: Client) -> None:
    answer = await client.post("/payments", HEADERS, b"[]")
    assert_problem(answer, 422, "invalid-body")
    assert answer.json["errors"][0]["pointer"] == ""


@pytest.mark.parametrize(
    "instrument",
    [
        {"type": "CARD", "number": CARD_NUMBER, "cvv": "987", "exp_month": 12, "exp_year": 2030},
        CARD | {"number": CARD_NUMBER},
        CARD | {"cvv": "987"},
        CARD | {"token": CARD_NUMBER},
        CARD | {"bin": CARD_NUMBER},
        CARD | {"last4": CARD_NUMBER},
        CARD | {"network": CARD_NUMBER + "!"},
        CARD | {CARD_NUMBER: "x"},
        {"type": CARD_NUMBER},
        CARD_NUMBER,
        [CARD_NUMBER],
    ],
)
async def test_a_card_number_or_cvv_is_refused_and_never_echoed_nor_logged(
    world: World, client: Client, instrument: object, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    headers = [*HEADERS, ("X-Request-Id", "no-digits-to-mistake")]
    answer = await client.post("/payments", headers, body(payment_method="CARD", instrument=instrument))
    assert_problem(answer, 422, "invalid-body")
    assert not world.handler.calls
    shown = answer.body.decode() + str(answer.headers) + caplog.text + "".join(capsys.readouterr())
    assert CARD_NUMBER not in shown
    assert "987" not in shown


@pytest.mark.parametrize(
    "changes", [{"merchant_id": CARD_NUMBER}, {"customer_id": CARD_NUMBER}, {"payment_method": CARD_NUMBER}]
)
async def test_a_card_number_is_not_echoed_from_any_other_field(
    client: Client, changes: dict[str, object]
) -> None:
    answer = await client.post("/payments", HEADERS, body(**changes))
    assert_problem(answer, 422, "invalid-body")
    assert CARD_NUMBER.encode() not in answer.body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        body() + b"x",
        b"\xef\xbb\xbf" + body(),
        b'{"currency":"\xff\xfe"}',
        body().decode().encode("utf-16"),
        b'{"amount_minor":NaN}',
        b'{"instrument":' + b'{"a":' * 10_000,
        b'{"instrument":{"vpa":' + b"[" * 60_000,
    ],
)
async def test_what_is_not_json_in_utf_8_is_400(client: Client, raw: bytes) -> None:
    assert_problem(await client.post("/payments", HEADERS, raw), 400, "malformed-body")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/x-www-form-urlencoded")],
        [("Content-Type", "application/json; charset=latin-1")],
        [JSON, JSON],
        [JSON, ("Content-Encoding", "gzip")],
    ],
)
async def test_another_content_type_is_415(client: Client, headers: list[tuple[str, str]]) -> None:
    assert_problem(await client.post("/payments", [KEY, *headers], body()), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
async def test_json_may_say_that_it_is_utf_8(client: Client, content_type: str) -> None:
    assert (await client.post("/payments", [KEY, ("Content-Type", content_type)], body())).status == 201


async def test_a_body_may_come_in_pieces(client: Client) -> None:
    pieces = [body()[at : at + 10] for at in range(0, len(body()), 10)]
    assert (await client.post("/payments", HEADERS, pieces)).status == 201


async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_413(client: Client) -> None:
    at_limit = body() + b" " * (65_536 - len(body()))
    assert (await client.post("/payments", HEADERS, at_limit)).status == 201
    answer = await client.post("/payments", HEADERS, at_limit + b" ")
    assert_problem(answer, 413, "body-too-large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("declared", ["10", "1000000", "99999999999999999999", "-1", "x"])
async def test_a_content_length_that_lies_changes_nothing_about_the_limit(
    client: Client, declared: str
) -> None:
    headers = [*HEADERS, ("Content-Length", declared)]
    assert_problem(await client.post("/payments", headers, [b" " * 40_000] * 2), 413, "body-too-large")


async def test_a_body_that_does_not_come_is_408(world: World) -> None:
    world.limits = BodyLimits(timeout_s=0)
    answer = await Client(create_app(world.services())).post("/payments", HEADERS, body())
    assert_problem(answer, 408, "body-too-slow")
    assert answer.headers["connection"] == "close"


async def test_a_client_that_leaves_within_its_body_pays_nothing(world: World, client: Client) -> None:
    answer = await client.request("POST", "/payments", HEADERS, body(), ends=False)
    assert answer.status == 0
    assert not world.handler.calls


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    n: int


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    many: list[Inner]
    by_name: dict[str, list[int]] = {}
    slash: int = msgspec.field(name="a/b~c", default=0)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"many": [{"n": 1}, {"n": "x"}]}, "/many/1/n"),
        ({"many": [{"n": 1}, {"m": 1}]}, "/many/1/m"),
        ({"many": [{}]}, "/many/0/n"),
        ({"many": [], "by_name": {"k": [1, "x"]}}, "/by_name"),
        ({"many": [], "a/b~c": "x"}, "/a~1b~0c"),
        ({"many": [], "x" * 65: 1}, ""),
    ],
)
def test_a_path_of_the_decoder_becomes_a_json_pointer(value: object, pointer: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(value, Outer)
    assert field_error(str(refused.value)).pointer == pointer


@given(
    st.dictionaries(
        st.sampled_from(["amount_minor", "currency", "payment_method", "merchant_id", "instrument", "zz"]),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.just("SECRET-4111"),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "vpa"]), inner)
            ),
        ),
    )
)
def test_no_detail_ever_quotes_a_value(value: dict[str, object]) -> None:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=PaymentBody)
    except msgspec.ValidationError as error:
        fault = field_error(str(error))
        assert "SECRET" not in fault.pointer + fault.detail
