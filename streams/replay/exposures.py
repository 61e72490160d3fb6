"""Experiments folded from the log: the exposures of its payments, and the sums that those come to, in memory.

The customers are all in memory; exposures are only a share of a partition's at a time.
"""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from infra.kafka.partition import partition_for
from projections.experiment_intake import telling
from projections.experiment_sums import ExperimentSums
from projections.experiments import evolve
from projections.ports import RawRecord
from schemas.exposure import Exposure
from schemas.ids import PaymentId
from streams.replay.plan import Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source
from streams.replay.turns import Fold, Places, in_turns


class Summed(NamedTuple):
    sums: ExperimentSums
    dead: int
    """Records that could not be read."""


class Exposures(Fold):
    def __init__(self, left_out: Places) -> None:
        super().__init__(left_out)
        self.known: dict[PaymentId, Exposure] = {}

    def _take_in(self, record: RawRecord) -> None:
        recorded = telling(record, partition_for)
        if recorded is not None:
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            if (exposure := evolve(self.known.get(payment_id), recorded)) is not None:
                self.known[payment_id] = exposure


def sums(
    source: Source,
    plan: Plan,
    processes: int,
    tell: Tell = lambda _: None,
    left_out: Places = frozenset(),
) -> Summed:
    """`left_out` is what the live projection could not take in. Raises LogBroken, LogUnavailable."""
    together, dead = ExperimentSums(), 0
    for share in in_processes(partial(_sum, source, left_out), plan.parts, processes, tell):
        together.add_all(share.sums)
        dead += share.dead
    return Summed(together, dead)


async def _sum(source: Source, left_out: Places, parts: Sequence[Part], monitor: Monitor) -> Summed:
    found, dead = ExperimentSums(), 0
    for part in parts:
        async with aclosing(in_turns(source, part, partial(Exposures, left_out), monitor)) as turns:
            async for folded in turns:
                found.add(folded.known.values())
                dead += folded.dead
    return Summed(found, dead)
