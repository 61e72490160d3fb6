"""A vault that may be away when somebody is to be forgotten."""

from collections.abc import Collection

from infra.memory.customers import MemoryCustomers
from schemas.errors import StoreUnavailable
from schemas.ids import CustomerToken


class Vault(MemoryCustomers):
    is_away = False

    async def forget(self, tokens: Collection[CustomerToken]) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        await super().forget(tokens)
