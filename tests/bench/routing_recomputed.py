"""Whether every decision can be recomputed from what its event holds, after a way through JSON as on the log."""

from collections.abc import Sequence

import msgspec
from rich.console import Console

from commands.routing.ranking import recomputed
from schemas.payment import PaymentRouted
from tests.bench.routing_world import World
from tests.bench.scenarios import Scenario, uniforms


def show_recomputed(scenarios: Sequence[Scenario], console: Console) -> int:
    """1 if any decision comes out differently."""
    differing = 0
    for scenario in scenarios:
        records: list[bytes] = []
        World(
            scenario,
            uniforms(scenario, 0),
            bandit=True,
            told=lambda routed, records=records: records.append(msgspec.json.encode(routed)),  # type: ignore[misc]
        ).play()
        agreeing = sum(map(agrees, records))
        differing += len(records) - agreeing
        console.print(f"{scenario.name}: {agreeing:,} of {len(records):,} decisions are recomputed the same")
    return 1 if differing else 0


def agrees(record: bytes) -> bool:
    routed = msgspec.json.decode(record, type=PaymentRouted)
    return recomputed(routed) == (routed.strategy, routed.candidates)
