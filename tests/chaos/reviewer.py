"""A person with the gateways' statements before them, who settles through the API what verification could not.

For money that is only held, or a customer who may still pay, they first do at the gateway what they are going to say.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from infra.gateways.registry import GatewayRegistry
from infra.settings import DEFAULT_ADMIN_KEY
from schemas.charge import GivenBack
from schemas.ids import AttemptId, GatewayId
from tests.product import Client, Product

PAGE = 200
WAIT_S = 5


class Reviewer:
    """`said` are the verdicts given, each attempt's the last one only."""

    def __init__(self, product: Product, client: Client, gateways: GatewayRegistry) -> None:
        self._product = product
        self._client = client
        self._gateways = gateways
        self._http = aiohttp.ClientSession(
            headers={"X-Internal-Api-Key": DEFAULT_ADMIN_KEY}, timeout=aiohttp.ClientTimeout(total=30)
        )
        self._verdicts: dict[AttemptId, str] = {}

    @property
    def said(self) -> Counter[str]:
        return Counter(self._verdicts.values())

    async def close(self) -> None:
        await self._http.close()

    async def review(self) -> None:
        """Everything on the first page of reviews. What is refused or unanswered is looked at the next time."""
        async with self._http.get(f"{self._product.api.url}/reviews", params={"limit": PAGE}) as answer:
            if answer.status != 200:
                return
            reviews = (await answer.json())["reviews"]
        if not reviews:
            return
        charges: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for charge in await self._client.ledger():
            charges[charge["reference"]].append(charge)
        for review in reviews:
            for attempt in review["unsettled"]:
                await self._decide(attempt, charges[attempt["attempt_id"]])

    async def _decide(self, attempt: Mapping[str, Any], charges: Sequence[Mapping[str, Any]]) -> None:
        gateway = self._gateways[GatewayId(attempt["gateway"])]
        attempt_id = AttemptId(attempt["attempt_id"])
        by_status = {charge["status"]: charge for charge in charges}
        if "captured" in by_status:
            await self._say(attempt, "succeeded", by_status["captured"]["id"])
        elif "authorized" in by_status:
            await gateway.capture(attempt_id)  # the next look finds it captured
        elif "pending" in by_status:
            if isinstance(await gateway.give_back(attempt_id), GivenBack):
                await self._say(attempt, "declined", None)
        else:
            await self._say(attempt, "declined" if charges else "not_sent", None)

    async def _say(self, attempt: Mapping[str, Any], verdict: str, reference: str | None) -> None:
        body = {
            "attempt_id": attempt["attempt_id"],
            "verdict": verdict,
            "note": "seen in the gateway's statement",
            "settled_by": "asha",
        }
        if reference is not None:
            body["gateway_reference"] = reference
        url = f"{self._product.api.url}/reviews/{attempt['payment_id']}/settle"
        async with self._http.post(url, json=body, headers={"Prefer": f"wait={WAIT_S}"}) as answer:
            if answer.status in (200, 202):
                self._verdicts[AttemptId(attempt["attempt_id"])] = verdict
