"""Figures from the log: what is counted live, of any time and cut in any way."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from projections.hot_metrics import fold
from projections.tallies import add
from schemas.base import Event
from schemas.metrics import Tally
from streams.replay.metrics import Question, asked_of, count, together
from tests.projections.outcomes import DOUBT, SUCCESS, an_empty_shard, outcomes, records, told
from tests.projections.story import BEGIN, junk, requested
from tests.streams.replay.world import World, messages

BY_GATEWAY = Question(by=("gateway",))
ALL = Question(by=("gateway", "method"))
GATEWAYS = st.sampled_from(["alpha", "beta"])
events = st.lists(
    st.builds(
        lambda outcome, gateway, ms, instead_of: told(
            outcome, gateway=gateway, latency_ms=ms, instead_of=instead_of, verified=instead_of is not None
        ),
        outcomes,
        GATEWAYS,
        st.integers(1, 9_000),
        st.none() | outcomes,
    ),
    max_size=20,
)


@for_any(events=events, cuts=st.lists(st.integers(0, 20), max_size=3))
def test_however_the_records_are_divided_the_sums_are_the_same(events: list[Event], cuts: list[int]) -> None:
    whole = records(events)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:stop] for start, stop in pairwise(edges)]
    assert together(count(piece, ALL) for piece in pieces) == together([count(whole, ALL)])


@for_any(events=events)
def test_the_sums_are_those_of_the_live_windows(events: list[Event]) -> None:
    shard = an_empty_shard()
    fold(shard, records(events))
    live: dict[tuple[str, ...], Tally] = {}
    for cells in shard.buckets.values():
        for cell, tally in cells.items():
            if cell.kind == "method":
                add(live.setdefault((cell.gateway, cell.method), {}), tally)
    assert together([count(records(events), ALL)]).tallies == {
        key: tally for key, tally in live.items() if tally
    }


def test_attempts_count_when_they_started_whenever_their_outcome_was_known() -> None:
    started = [told(SUCCESS, at=BEGIN + timedelta(seconds=second)) for second in range(4)]
    found = records(
        [*started, told(SUCCESS, at=BEGIN + timedelta(seconds=1), instead_of=DOUBT, verified=True)]
    )
    question = Question(by=(), since=BEGIN + timedelta(seconds=1), until=BEGIN + timedelta(seconds=3))
    (tally,) = count(found, question).tallies.values()
    assert (tally["succeeded"], tally["in_doubt:read_timeout"]) == (3, -1)


def test_a_cut_is_by_everything_that_an_outcome_is_counted_under() -> None:
    found = records([told(SUCCESS, issuer="bank", segment="UPI:gold"), told(SUCCESS, gateway="beta")])
    by = ("gateway", "method", "issuer", "network", "amount_band", "segment", "day", "hour")
    assert set(count(found, Question(by=by)).tallies) == {
        ("alpha", "UPI", "bank", "", "1e3", "UPI:gold", "2026-11-23", "2026-11-23T09:00Z"),
        ("beta", "UPI", "", "", "1e3", "", "2026-11-23", "2026-11-23T09:00Z"),
    }


def test_records_that_nobody_can_read_are_counted_apart_and_what_is_no_outcome_is_not_read() -> None:
    assert count([junk(0, 0), *records([requested()], first=1)], BY_GATEWAY) == ({}, 1)


def test_what_was_stamped_before_the_time_that_is_asked_for_tells_nothing() -> None:
    asked = asked_of(Question(by=(), since=BEGIN), "t")
    assert (asked.since, asked.until) == (BEGIN - timedelta(seconds=60), None)


@pytest.mark.integration
async def test_figures_of_a_topic_are_typed_and_answered(world: World) -> None:
    for partition in range(world.partitions):
        await world.publish(messages(5, first=100 * partition), partition)
    code, said, _ = await world.types("metrics", "--by", "gateway,issuer", METRICS_STREAM_KEY=world.topic)
    assert (code, said.split("\n")[1].split()[:5]) == (0, ["alpha", "bank", "15", "15", "1"]), said
    code, said, _ = await world.types("metrics", "--by", "method", "--json", METRICS_STREAM_KEY=world.topic)
    row = json.loads(said)
    assert (code, row["by"], row["figures"]["attempts"], row["figures"]["success_rate"]) == (
        0,
        {"method": "UPI"},
        15,
        1,
    )
    code, _, complained = await world.types("metrics", "--by", "weather")
    assert (code, "weather is none of" in complained) == (2, True)
