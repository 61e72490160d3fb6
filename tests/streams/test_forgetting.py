"""Who is forgotten by the log stays forgotten, whatever stops in between and whatever comes back."""

from collections.abc import Callable

import pytest

from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import KillSwitchTurnedOn
from schemas.customer import CustomerForgotten, customer_aggregate
from schemas.errors import StoreUnavailable
from schemas.ids import CustomerToken, customer_token
from schemas.routing_configuration import MethodSwitch
from streams import forgetting
from streams.forgetting import AGAIN_AFTER_MS, Forgetting
from tests.builders import minted
from tests.streams.test_audit_keeper import Log
from tests.vault import Vault

ASHA, BELA = (customer_token(minted(number)) for number in (1, 2))


class OfTwo(Vault):
    def __init__(self) -> None:
        super().__init__()
        self.meet("m_001", "asha", ASHA)
        self.meet("m_001", "bela", BELA)

    async def known(self) -> set[str]:
        return set((await self.ids_of([ASHA, BELA])).values())


def forgotten(customer: CustomerToken) -> CustomerForgotten:
    return CustomerForgotten(customer=customer, merchant_id="m_001", by="operator", note="")


def forgetter(vault: OfTwo, log: Log, elapsed_ms: Callable[[], float] = lambda: 0.0) -> Forgetting:
    return Forgetting(vault, log, elapsed_ms)


def tell(log: Log, *events: Event) -> None:
    for event in events:
        aggregate = customer_aggregate(event) if isinstance(event, CustomerForgotten) else "kill-switch"
        log.tell(CONFIGURATION_TOPIC, aggregate, event)


async def test_whom_the_log_forgets_the_vault_forgets() -> None:
    vault, log = OfTwo(), Log()
    one = forgetter(vault, log)
    await one.look()
    assert await vault.known() == {"asha", "bela"}
    switched = KillSwitchTurnedOn(
        switch=MethodSwitch(name="UPI"), by="operator", note="", instead_of_version=0
    )
    tell(log, switched, forgotten(ASHA))
    await one.look()
    assert await vault.known() == {"bela"}


async def test_who_comes_back_with_a_backup_is_forgotten_again_at_the_next_start() -> None:
    log = Log()
    tell(log, forgotten(BELA))
    await forgetter(OfTwo(), log).look()
    restored = OfTwo()
    await forgetter(restored, log).look()
    assert await restored.known() == {"asha"}


async def test_who_comes_back_with_a_fail_over_is_forgotten_again_within_the_hour() -> None:
    vault, log, now_ms = OfTwo(), Log(), [0.0]
    tell(log, forgotten(BELA))
    one = forgetter(vault, log, lambda: now_ms[0])
    await one.look()
    vault.meet("m_001", "bela", BELA)
    now_ms[0] = AGAIN_AFTER_MS
    await one.look()
    assert await vault.known() == {"asha"}


async def test_what_the_vault_did_not_hear_it_hears_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "CHUNK", 2)
    vault, log = OfTwo(), Log()
    tell(log, *[forgotten(customer_token(minted(number))) for number in range(3, 8)], forgotten(ASHA))
    one = forgetter(vault, log)
    vault.is_away = True
    with pytest.raises(StoreUnavailable):
        await one.look()
    vault.is_away = False
    await one.look()
    assert await vault.known() == {"bela"}


async def test_what_cannot_be_read_forgets_nobody_and_stops_nothing() -> None:
    vault, log = OfTwo(), Log()
    kind = ("ce_type", CustomerForgotten.__name__.encode())
    log.append(CONFIGURATION_TOPIC, 0, 0, None, b"{", [kind])
    tell(log, forgotten(BELA))
    await forgetter(vault, log).look()
    assert await vault.known() == {"asha"}
