"""Spells in which a gateway does not answer what is asked of it, or breaks: then nobody is told whether it charged.

They are short: who is not answered several times asks again after many minutes, and a run is to see the end of it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from infra.gateways.simulator.profile import Fault, FaultKind, Profile
from tests.chaos.mix import CIRCUITS
from tests.product import Client, plain

APART_S = (2.0, 6.0)
LAST_S = (1.0, 4.0)
UNANSWERED = Fault(kind="lookup_500", probability=0.7)
BREAKING: tuple[FaultKind, ...] = ("error_500_before_effect", "effect_then_500")
BROKEN_S = (4.0, 8.0)
"""Long enough for its busiest circuits to open."""


async def come_and_go(client: Client, profiles: Sequence[Profile], seed: int, seconds: float) -> Counter[str]:
    """At one gateway at a time; returns how many there were of each. In the end all answer again."""
    chance, spells = Random(f"spells {seed}"), Counter[str]()
    breakable = [profile for profile in profiles if CIRCUITS[profile.gateway].mode == "active"]
    end_at = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end_at:
        await asyncio.sleep(chance.uniform(*APART_S))
        if chance.random() < 0.5:
            profile, fault, last_s = chance.choice(profiles), UNANSWERED, LAST_S
        else:
            fault = Fault(kind=chance.choice(BREAKING), probability=0.95)
            profile, last_s = chance.choice(breakable), BROKEN_S
        # The last one: what else was to befall a charge does, whatever is said of the gateway in the end.
        await client.set_profile(**plain(replace(profile, faults=(*profile.faults, fault))))
        await asyncio.sleep(chance.uniform(*last_s))
        await client.set_profile(**plain(profile))
        spells[fault.kind] += 1
    return spells
