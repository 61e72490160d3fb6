"""Projections as files of JSON lines, in an order that follows from the rows alone."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby
from pathlib import Path

from projections.experiment_sums import ExperimentSums
from schemas.base import Value
from schemas.ids import ExperimentId
from streams.replay.exposures import sums
from streams.replay.histories import Histories
from streams.replay.lines import encode_lines, merge, whole_file
from streams.replay.plan import Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source
from streams.replay.turns import in_turns


class SumsRow(Value, frozen=True, kw_only=True):
    """What a customer in one variant comes to, or, without a customer, all of the variant."""

    experiment_id: ExperimentId
    variant: str
    customer_id: str | None
    sums: dict[str, int]


def payments_into_file(
    source: Source, plan: Plan, path: Path, processes: int, tell: Tell = lambda _: None
) -> int:
    """A line for each payment with its attempts and decisions, by payment id. How many records could not be taken in.

    Raises LogBroken, LogUnavailable.
    """
    with (
        whole_file(path) as file,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder,
    ):
        dead = sum(in_processes(partial(_write_runs, source, Path(folder)), plan.parts, processes, tell))
        merge(sorted(Path(folder).iterdir()), file)
    return dead


def experiments_into_file(
    source: Source, plan: Plan, path: Path, processes: int, tell: Tell = lambda _: None
) -> int:
    """By experiment, variant and customer; each variant's own line is behind those of its customers. How many records
    could not be taken in. Raises LogBroken, LogUnavailable."""
    with whole_file(path) as file:
        found, dead = sums(source, plan, processes, tell)
        file.writelines(encode_lines([row]) for row in _sums_rows(found))
    return dead


def _sums_rows(found: ExperimentSums) -> Iterator[SumsRow]:
    arms = found.arms
    for arm, customers in groupby(sorted(found.customers), lambda customer: customer.arm):
        for one in customers:
            if any(figures := found.customers[one]):
                yield SumsRow(**arm._asdict(), customer_id=one.customer_id, sums=figures._asdict())
        if arms[arm]:
            yield SumsRow(**arm._asdict(), customer_id=None, sums=arms[arm])


async def _write_runs(source: Source, folder: Path, parts: Sequence[Part], monitor: Monitor) -> int:
    """Sorted lines of each share of a partition's payments: a line begins with the payment's id."""
    dead = 0
    for part in parts:
        turn = 0
        async with aclosing(in_turns(source, part, Histories, monitor, folder)) as turns:
            async for folded in turns:
                histories = sorted(folded.known.values(), key=lambda one: one.payment.payment_id)
                (folder / f"{part.partition:04}-{turn:06}").write_bytes(encode_lines(histories))
                dead += folded.dead
                turn += 1
    return dead
