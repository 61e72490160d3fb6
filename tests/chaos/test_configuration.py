"""Rules that operators set at two processes at once, and that a killed process knows again when it is back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.settings import DEFAULT_ADMIN_KEY
from tests.chaos.test_one_key import new_key
from tests.product import Answer, Client, Product
from tests.waiting import is_once_within, until

pytestmark = pytest.mark.chaos

IN_FORCE_WITHIN_S = 0.5


@pytest.fixture
async def operator(client: Client) -> AsyncIterator["Operator"]:
    operator = Operator(client)
    yield operator
    answer = await operator.put([], version=(await operator.get())["version"])  # as it was found
    assert answer.status == 200


class Operator:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, *, api: int = 0) -> dict[str, Any]:
        answer = await self._client.get("/routing-rules", api=api, X_Internal_Api_Key=DEFAULT_ADMIN_KEY)
        assert answer.status == 200, answer
        return answer.body

    async def put(self, rules: list[dict[str, Any]], *, version: int, api: int = 0) -> Answer:
        return await self._client.put(
            "/routing-rules",
            {"by": "asha", "rules": rules},
            api=api,
            X_Internal_Api_Key=DEFAULT_ADMIN_KEY,
            If_Match=f'"{version}"',
        )

    async def shown(self, answer: Answer) -> None:
        """Returns when both processes do what was set."""

        async def is_so() -> bool:
            return await self.get() == await self.get(api=1) == answer.body

        await until(is_so)


def a_rule(id: str) -> dict[str, Any]:
    return {"id": id, "then": {"type": "prefer", "gateways": ["stripe", "razorpay"]}}


async def test_what_is_set_at_one_process_is_in_force_at_the_other(operator: Operator) -> None:
    answers: list[Answer] = []

    async def is_in_force() -> None:
        await operator.shown(answers[-1])

    async def set_one() -> None:
        rule = a_rule(f"number-{len(answers)}")
        answers.append(await operator.put([rule], version=(await operator.get())["version"]))
        assert answers[-1].status == 200, answers[-1]

    await is_once_within(IN_FORCE_WITHIN_S, is_in_force, before=set_one)


async def test_payments_at_either_process_obey_the_rules_that_are_set_at_one(
    client: Client, operator: Operator
) -> None:
    for gateway in ("stripe", "payu"):
        pinned = {"id": "pinned", "then": {"type": "pin", "gateway": gateway}}
        answer = await operator.put([pinned], version=(await operator.get())["version"])
        assert answer.status == 200, answer
        await operator.shown(answer)
        for api in (0, 1):
            paid = await client.pay(new_key(), api=api)
            assert (paid.status, paid.body["gateway"]) == (201, gateway), paid


async def test_of_two_operators_at_two_processes_one_wins_and_the_other_is_told(operator: Operator) -> None:
    for turn in range(10):
        version = (await operator.get())["version"]
        one, other = await asyncio.gather(
            operator.put([a_rule(f"one-{turn}")], version=version),
            operator.put([a_rule(f"other-{turn}")], version=version, api=1),
        )
        assert sorted([one.status, other.status]) == [200, 412], (one, other)
        won = one if one.status == 200 else other
        await operator.shown(won)


async def test_a_process_that_was_killed_knows_again_what_is_set(
    product: Product, operator: Operator
) -> None:
    answer = await operator.put([a_rule("kept")], version=(await operator.get())["version"])
    product.api.kill()
    await product.api.start()
    await product.api.wait_ready()
    assert await operator.get() == answer.body
