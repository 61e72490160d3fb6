"""The vault in memory: whose the tokens are by which events name customers."""

from collections.abc import Collection

from schemas.ids import CustomerToken

Person = tuple[str, str]
"""A merchant, and its own id of the customer."""


class MemoryCustomers:
    def __init__(self) -> None:
        self._tokens: dict[Person, CustomerToken] = {}

    def meet(self, merchant_id: str, customer_id: str, token: CustomerToken) -> CustomerToken:
        """The token that he has; this one, if he has none."""
        return self._tokens.setdefault((merchant_id, customer_id), token)

    async def ids_of(self, tokens: Collection[CustomerToken]) -> dict[CustomerToken, str]:
        known = {token: customer_id for (_, customer_id), token in self._tokens.items()}
        return {token: known[token] for token in tokens if token in known}

    async def token_of(self, merchant_id: str, customer_id: str) -> CustomerToken | None:
        return self._tokens.get((merchant_id, customer_id))

    async def forget(self, tokens: Collection[CustomerToken]) -> None:
        self._tokens = {person: token for person, token in self._tokens.items() if token not in tokens}
