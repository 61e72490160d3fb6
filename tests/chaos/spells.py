"""Spells in which a gateway does not answer what is asked of it.

They are short: who is not answered several times asks again after many minutes, and a run is to see the end of it.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from infra.gateways.simulator.profile import Fault, Profile
from tests.product import Client, plain

APART_S = (3.0, 8.0)
LAST_S = (1.0, 4.0)
UNANSWERED = Fault(kind="lookup_500", probability=0.7)


async def come_and_go(client: Client, profiles: Sequence[Profile], seed: int, seconds: float) -> int:
    """At one gateway at a time; returns how many there were. In the end all answer again."""
    chance, spells = Random(f"spells {seed}"), 0
    end_at = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end_at:
        await asyncio.sleep(chance.uniform(*APART_S))
        profile = chance.choice(profiles)
        silent = replace(profile, faults=(*profile.faults, UNANSWERED))
        await client.set_profile(**plain(silent))
        await asyncio.sleep(chance.uniform(*LAST_S))
        await client.set_profile(**plain(profile))
        spells += 1
    return spells
