"""The first payment that a newcomer sees: a request they could type, the answer, and where to look next."""

import asyncio
import json
import shlex
import time
import uuid
from typing import Any

import aiohttp

from infra.local import LocalError

PAY_SECONDS = 30.0
ANSWERED = {201, 202, 402}
"""Paid, not known yet, declined: what the product says of a payment. Anything else is a fault."""
BODY = {
    "amount_minor": 1000,
    "currency": "INR",
    "payment_method": "UPI",
    "merchant_id": "m_001",
    "customer_id": "cust_001",
    "instrument": {"type": "UPI", "vpa": "test@okhdfcbank"},
}


UNSETTLED = {"AWAITING_CUSTOMER", "PENDING_VERIFICATION"}
SETTLED_SECONDS = 10.0
POLL_SECONDS = 0.1


class NoPaymentError(LocalError):
    """The message holds what came back instead."""


async def pay(api: str, simulator: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"first-{uuid.uuid4().hex[:12]}"}
    print(f"\nA first payment:\n\n{as_curl(f'{api}/payments', headers)}\n")
    limit = aiohttp.ClientTimeout(total=PAY_SECONDS)
    async with aiohttp.ClientSession(timeout=limit) as client:
        async with client.post(f"{api}/payments", headers=headers, json=BODY) as answer:
            payment = await shown(answer)
        if answer.status not in ANSWERED:
            raise NoPaymentError(f"the payment was answered with {answer.status}")
        url = f"{api}/payments/{payment['payment_id']}"
        print(f"\nThe same, read back:\n\n  curl -sS {url}\n")
        token = {name: value for name, value in answer.headers.items() if name == "Consistency-Token"}
        async with client.get(url, headers=token) as answer:
            payment = await shown(answer)
        if payment["status"] in UNSETTLED:
            print("\nThe customer acts, the gateway's notification arrives, and the verifier settles it:\n")
            await settled(client, url)
    print("\nLook at:")
    for path in ("", "/events", "/routing-decision", "/attempts", "/status-verification"):
        print(f"  {url}{path}")
    for path in ("/ops/readiness", "/ops/lag", "/metrics"):
        print(f"  {api}{path}")
    print(f"  {simulator}/control/ledger      what the simulated gateways were asked to charge\n")


async def settled(client: aiohttp.ClientSession, url: str) -> None:
    """Shows the payment once it has its end, or as it stands when the time is up."""
    give_up_at = time.monotonic() + SETTLED_SECONDS
    while True:
        async with client.get(url) as answer:
            payment = await answer.json()
            if payment["status"] not in UNSETTLED or time.monotonic() > give_up_at:
                await shown(answer)
                return
        await asyncio.sleep(POLL_SECONDS)


def as_curl(url: str, headers: dict[str, str]) -> str:
    lines = [f"  curl -sS -X POST {url}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"-d {shlex.quote(json.dumps(BODY))}")
    return " \\\n    ".join(lines)


async def shown(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    text = await answer.text()
    try:
        body: dict[str, Any] = json.loads(text)
    except ValueError:
        raise NoPaymentError(f"{answer.method} {answer.url} answered {answer.status}: {text[:500]}") from None
    print(f"  HTTP {answer.status}")
    print("\n".join("  " + line for line in json.dumps(body, indent=2, ensure_ascii=False).splitlines()))
    return body
