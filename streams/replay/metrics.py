"""Figures of gateways from the log itself, by the tallies that are live, for attempts of any time and cut in any way.

An attempt counts in the time in which it started, as whatever is known of it by the end of the log: outcomes that were
corrected later are taken back, as they are live.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

from projections.absorption import readable
from projections.figures import figures
from projections.hot_metrics import may_be_an_outcome
from projections.ports import RawRecord
from projections.tallies import add, observe
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.dimensions import Dimensions
from schemas.errors import Unreadable
from schemas.ids import GatewayId
from schemas.metrics import Tally, WindowFigures
from schemas.payment import AttemptOutcome
from streams.replay.plan import Asked, Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source

CLOCKS_APART = timedelta(seconds=60)
"""So much later than its outcome was stamped an attempt may have started, by the clock of who started it."""

_Cut = Callable[[GatewayId, Dimensions, datetime], str | None]
BY: dict[str, _Cut] = {
    "gateway": lambda gateway, _, __: gateway,
    "method": lambda _, dimensions, __: dimensions.payment_method,
    "issuer": lambda _, dimensions, __: dimensions.issuer,
    "network": lambda _, dimensions, __: dimensions.network,
    "amount_band": lambda _, dimensions, __: dimensions.amount_band,
    "segment": lambda _, dimensions, __: dimensions.segment,
    "day": lambda _, __, at: f"{at:%Y-%m-%d}",
    "hour": lambda _, __, at: f"{at:%Y-%m-%dT%H:00Z}",
}

Group = tuple[str, ...]


class Question(Value, frozen=True, kw_only=True):
    by: tuple[str, ...]
    """Names of BY."""
    since: datetime | None = None
    until: datetime | None = None
    """Of attempts that started then or later, and before."""


class Counted(NamedTuple):
    tallies: dict[Group, Tally]
    unreadable: int


class Row(Value, frozen=True, kw_only=True):
    by: dict[str, str]
    figures: WindowFigures


def asked_of(question: Question, topic: str) -> Asked:
    """The records that can tell: an attempt has no outcome before it started, but for clocks that differ."""
    since = 0 if question.since is None else question.since - CLOCKS_APART
    return Asked(topic=topic, since=since)


def metrics(
    source: Source, plan: Plan, question: Question, processes: int, tell: Tell = lambda _: None
) -> tuple[list[Row], int]:
    """The rows in the order of what they are cut by, and how many records could not be read."""
    counted = together(in_processes(partial(_count, source, question), plan.parts, processes, tell))
    rows = [
        Row(by=dict(zip(question.by, group, strict=True)), figures=figures(tally))
        for group, tally in sorted(counted.tallies.items())
    ]
    return rows, counted.unreadable


def count(records: Iterable[RawRecord], question: Question) -> Counted:
    tallies: dict[Group, Tally] = {}
    unreadable = 0
    cuts = [BY[name] for name in question.by]
    for record in records:
        if not may_be_an_outcome(record):
            continue
        try:
            recorded = readable(record, PAYMENTS_TOPIC)
        except Unreadable:
            unreadable += 1
            continue
        if (observation := observe(recorded)) is None:
            continue
        event = cast(AttemptOutcome, recorded.event)
        assert event.account is not None
        at = event.account.started_at
        if (question.since is None or question.since <= at) and (
            question.until is None or at < question.until
        ):
            group = tuple(cut(event.gateway, event.account.dimensions, at) or "" for cut in cuts)
            add(tallies.setdefault(group, {}), observation.counts)
    return Counted(tallies, unreadable)


def together(parts: Iterable[Counted]) -> Counted:
    """What nothing is left of, since all of it was corrected, is no row."""
    tallies: dict[Group, Tally] = {}
    unreadable = 0
    for part in parts:
        _add_all(tallies, part.tallies)
        unreadable += part.unreadable
    return Counted({group: tally for group, tally in tallies.items() if tally}, unreadable)


def _add_all(tallies: dict[Group, Tally], more: Mapping[Group, Tally]) -> None:
    for group, tally in more.items():
        add(tallies.setdefault(group, {}), tally)


async def _count(source: Source, question: Question, parts: Sequence[Part], monitor: Monitor) -> Counted:
    tallies: dict[Group, Tally] = {}
    unreadable = 0
    for part in parts:
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                counted = count(batch, question)
                _add_all(tallies, counted.tallies)
                unreadable += counted.unreadable
                monitor.read(len(batch))
    return Counted(tallies, unreadable)
