"""Customers in a hurry: each key is posted once or several times, at once or in turn, to any process, now and then with
another body, and some hang up before they are answered.

Each customer's amount is its own, and every gateway's ledger has it: so who paid twice is seen without any id of ours.
"""

import asyncio
import time
from random import Random
from typing import Any

from msgspec import Struct, field

from tests.chaos.mix import BAND_MINOR, MERCHANTS
from tests.product import Answer, Client

MOST_AT_ONCE = 400
"""Posts that wait for their answers; customers beyond them stay away."""
PATIENCE_S = 20.0
POSTS = (1, 1, 1, 2, 2, 3, 4)
AT_ONCE, IMPATIENT, MISTAKEN = 0.3, 0.08, 0.04
"""The chance that all posts of a key go out at once; that one's answer is not waited for; that one has another body."""
APART_MINOR = BAND_MINOR // 2
"""Added to an amount it makes another one of the same customer's."""
BANDS = (35, 30, 20, 15)
INSTRUMENTS: tuple[tuple[int, dict[str, str]], ...] = (
    (45, {"type": "UPI", "vpa": "test@okhdfcbank"}),
    (30, {"type": "CARD", "token": "pm_card_visa", "bin": "411111", "last4": "1111", "network": "VISA"}),
    (10, {"type": "NETBANKING", "bank_code": "HDFC"}),
    (8, {"type": "WALLET", "wallet": "paypal"}),
    (7, {"type": "WALLET", "wallet": "paytm"}),
)


class Post(Struct, frozen=True, kw_only=True):
    sent_ms: float
    answered_ms: float
    answer: Answer


class Plan(Struct, frozen=True, kw_only=True):
    """Of one post; the pause is after it."""

    has_other_body: bool
    patience_s: float
    pause_s: float


class Purchase(Struct, kw_only=True):
    """One key, and everything that was answered to it. Whichever body comes first is the one that counts."""

    key: str
    who: str
    body: dict[str, Any]
    other_body: dict[str, Any]
    posts: list[Post] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        return any(post.answer.status in (201, 202, 402) for post in self.posts)


def who_pays(amount_minor: int) -> str:
    return f"customer {amount_minor % APART_MINOR}"


class Shoppers:
    def __init__(self, client: Client, seed: int, apis: int) -> None:
        self.purchases: list[Purchase] = []
        self.stayed_away = 0
        self._client = client
        self._chance = Random(f"shoppers {seed}")
        self._apis = apis
        self._run = f"{seed}-{time.time_ns() // 1_000_000}"
        self._posting = 0

    async def shop(self, per_second: float, seconds: float) -> None:
        """Returns when the last of them has gone home."""
        begun, came = time.monotonic(), 0
        async with asyncio.TaskGroup() as shop:
            while (elapsed := time.monotonic() - begun) < seconds:
                while came < elapsed * per_second:
                    came += 1
                    if self._posting < MOST_AT_ONCE:
                        shop.create_task(self._buy())
                    else:
                        self.stayed_away += 1
                await asyncio.sleep(0.02)

    async def ask_again(self, purchase: Purchase) -> None:
        """Once more, patiently, and with the other body if the first is refused as such."""
        for body in (purchase.body, purchase.other_body):
            await self._post(purchase, body, PATIENCE_S)
            if purchase.posts[-1].answer.status != 422:
                return

    async def _buy(self) -> None:
        purchase = self._purchase(len(self.purchases) + 1)
        self.purchases.append(purchase)
        plans = [self._plan() for _ in range(self._chance.choice(POSTS))]
        if self._chance.random() < AT_ONCE:
            await asyncio.gather(*(self._carry_out(plan, purchase) for plan in plans))
            return
        for plan in plans:
            await self._carry_out(plan, purchase)
            await asyncio.sleep(plan.pause_s)

    def _plan(self) -> Plan:
        is_impatient = self._chance.random() < IMPATIENT
        return Plan(
            has_other_body=self._chance.random() < MISTAKEN,
            patience_s=self._chance.choice((0.02, 0.1, 0.4)) if is_impatient else PATIENCE_S,
            pause_s=self._chance.choice((0.05, 0.5, 2, 6)),
        )

    async def _carry_out(self, plan: Plan, purchase: Purchase) -> None:
        body = purchase.other_body if plan.has_other_body else purchase.body
        await self._post(purchase, body, plan.patience_s)

    def _purchase(self, number: int) -> Purchase:
        (band,) = self._chance.choices(range(len(BANDS)), BANDS)
        (instrument,) = self._chance.choices([i for _, i in INSTRUMENTS], [w for w, _ in INSTRUMENTS])
        amount_minor = (band + 1) * BAND_MINOR + number
        body = {
            "amount_minor": amount_minor,
            "payment_method": instrument["type"],
            "merchant_id": self._chance.choice(MERCHANTS),
            "customer_id": f"cust_{number}",
            "instrument": instrument,
        }
        return Purchase(
            key=f"{self._run}-{number}",
            who=who_pays(amount_minor),
            body=body,
            other_body=body | {"amount_minor": amount_minor + APART_MINOR},
        )

    async def _post(self, purchase: Purchase, body: dict[str, Any], patience_s: float) -> None:
        self._posting += 1
        try:
            sent_ms, api = time.time() * 1000, self._chance.randrange(self._apis)
            answer = await self._client.pay(purchase.key, api=api, timeout_s=patience_s, **body)
            answered_ms = time.time() * 1000
            purchase.posts.append(Post(sent_ms=sent_ms, answered_ms=answered_ms, answer=answer))
        finally:
            self._posting -= 1
