"""When a person hears of a gateway or a projection, once, and when that it is over."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.alarm_writer import AlarmWriter
from commands.standing_alarms import (
    DROP,
    NOTHING_STANDS,
    JudgeGateways,
    JudgeProjection,
    Raised,
    Standing,
    decide,
    evolve,
    has_dropped,
    place_of,
)
from schemas.base import Event
from schemas.codec import RELIABILITY_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.ids import GatewayId
from schemas.metrics import GatewayHealth
from schemas.reliability import (
    GatewayDegradationEnded,
    GatewayDegraded,
    ProjectionStalled,
    ProjectionStallEnded,
    ReliabilityEvent,
    StandingAlarm,
    StandingEnd,
    SuccessRateDropEnded,
    SuccessRateDropped,
    VerificationOverdue,
)
from tests.builders import PAYMENT, attempt

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
ALPHA = GatewayId("alpha")


def health(
    succeeded: int = 0,
    of: int = 0,
    usual: tuple[int, int] = (950, 1000),
    p90: float | None = None,
    calls: int = 0,
    usual_p95: float | None = 400.0,
    usual_calls: int = 1000,
) -> GatewayHealth:
    return GatewayHealth(
        gateway=ALPHA,
        payment_method="UPI",
        succeeded=succeeded,
        failed=of - succeeded,
        usual_succeeded=usual[0],
        usual_failed=usual[1] - usual[0],
        calls=calls,
        latency_ms_p90=p90,
        usual_calls=usual_calls,
        usual_latency_ms_p95=usual_p95,
    )


def gateways(*of: GatewayHealth, at: datetime = AT) -> JudgeGateways:
    return JudgeGateways(at=at, health=of)


def projection(still_s: dict[int, float], behind_s: float = 0, records: int = 0) -> JudgeProjection:
    return JudgeProjection(
        group="projections-v1",
        topic="payments.events.v1",
        still_s=still_s,
        records=records,
        behind_s=behind_s,
    )


def recorded(event: Event, offset: int = 0) -> Recorded[Event]:
    envelope = unowned("rel_1", "a subject", AT, correlation_id="c", causation_id="c")
    position = Position(topic=RELIABILITY_TOPIC, partition=0, offset=offset)
    return Recorded(envelope=envelope, event=event, position=position, stamp_ms=0)


def standing(*events: Event) -> Standing:
    found = NOTHING_STANDS
    for event in events:
        found = evolve(found, recorded(event))
    return found


def dropped(episode: int = 1, rate: float = 0.5, outcomes: int = 60) -> SuccessRateDropped:
    return SuccessRateDropped(
        gateway=ALPHA, payment_method="UPI", episode=episode, rate=rate, outcomes=outcomes, usual_rate=0.95
    )


def drop_ended(episode: int = 1, rate: float | None = 0.94) -> SuccessRateDropEnded:
    return SuccessRateDropEnded(
        gateway=ALPHA,
        payment_method="UPI",
        episode=episode,
        because="recovered",
        rate=rate,
        outcomes=100,
    )


DEGRADED = GatewayDegraded(
    gateway=ALPHA,
    payment_method="UPI",
    episode=1,
    latency_ms_p90=900,
    calls=200,
    usual_latency_ms_p95=400,
)
STALLED = ProjectionStalled(
    group="projections-v1", topic="payments.events.v1", episode=1, partitions=(3, 7), records=40
)


def test_a_rate_that_is_credibly_lower_than_usual_is_told() -> None:
    assert decide(gateways(health(30, of=60)), NOTHING_STANDS) == [dropped()]


@pytest.mark.parametrize(
    "untold",
    [
        health(0, of=19),
        health(0, of=60, usual=(90, 99)),
        health(54, of=60),
        health(18, of=20, usual=(1000, 1000)),
        health(850, of=1000, usual=(900, 1000)),
        health(),
    ],
    ids=[
        "too few outcomes",
        "nothing to compare with",
        "within chance",
        "two bad luck",
        "hardly more than 5 points",
        "none",
    ],
)
def test_what_may_be_chance_or_little_is_not_told(untold: GatewayHealth) -> None:
    assert decide(gateways(untold), NOTHING_STANDS) == []


def test_a_dead_gateway_is_told_after_twenty_outcomes() -> None:
    assert has_dropped(health(0, of=20))


def test_what_was_told_is_not_told_again() -> None:
    assert decide(gateways(health(0, of=500)), standing(dropped())) == []


@pytest.mark.parametrize(("succeeded", "is_over"), [(94, True), (93, True), (92, False), (60, False)])
def test_a_drop_is_over_within_two_points_of_what_was_usual(succeeded: int, is_over: bool) -> None:
    """What was usual is told by the event: the hour that is looked at by then holds the drop itself."""
    found = decide(gateways(health(succeeded, of=100, usual=(500, 1000))), standing(dropped()))
    assert found == ([drop_ended(rate=succeeded / 100)] if is_over else [])


def test_a_drop_is_not_over_because_nobody_pays_there_any_more_until_an_hour_has_passed() -> None:
    assert decide(gateways(health()), standing(dropped())) == []
    (end,) = decide(gateways(), standing(dropped()))
    assert isinstance(end, SuccessRateDropEnded)
    assert (end.because, end.rate, end.outcomes) == ("silent", None, 0)


def test_what_has_been_so_for_a_day_is_usual_by_now() -> None:
    a_day = timedelta(days=1, seconds=1)
    (end,) = decide(
        gateways(health(50, of=100, usual=(500, 1000)), at=AT + a_day), standing(dropped(), DEGRADED)
    )[:1]
    assert isinstance(end, SuccessRateDropEnded)
    assert end.because == "usual_by_now"


def test_a_second_drop_is_another_episode() -> None:
    found = decide(gateways(health(30, of=60)), standing(dropped(), drop_ended()))
    assert found == [dropped(episode=2)]


def test_a_gateway_that_takes_much_longer_than_usual_is_degraded() -> None:
    assert decide(gateways(health(p90=900, calls=200)), NOTHING_STANDS) == [DEGRADED]


@pytest.mark.parametrize(
    "untold",
    [
        health(p90=800, calls=200),
        health(p90=2000, calls=99),
        health(p90=2000, calls=200, usual_calls=99),
        health(p90=2000, calls=200, usual_p95=None),
    ],
    ids=["twice as long at most", "too few calls", "too few before", "nothing before"],
)
def test_a_gateway_is_not_degraded_by_few_slow_calls(untold: GatewayHealth) -> None:
    assert decide(gateways(untold), NOTHING_STANDS) == []


@pytest.mark.parametrize(("p90", "is_over"), [(500.0, True), (501.0, False), (790.0, False)])
def test_a_degradation_is_over_when_the_gateway_is_nearly_as_fast_as_it_was(
    p90: float, is_over: bool
) -> None:
    found = decide(gateways(health(p90=p90, calls=50, usual_p95=900)), standing(DEGRADED))
    end = GatewayDegradationEnded(
        gateway=ALPHA, payment_method="UPI", episode=1, because="recovered", latency_ms_p90=p90, calls=50
    )
    assert found == ([end] if is_over else [])


def test_a_projection_that_does_not_move_for_a_minute_is_stalled() -> None:
    behind = {3: 60.0, 5: 59.9, 7: 300.0}
    assert decide(projection(behind, behind_s=300, records=40), NOTHING_STANDS) == [STALLED]
    assert decide(projection({5: 59.9}, behind_s=600), NOTHING_STANDS) == []


def test_a_stall_is_over_when_all_is_taken_in_and_not_when_it_moves_again() -> None:
    assert decide(projection({}, behind_s=5.1), standing(STALLED)) == []
    over = ProjectionStallEnded(group="projections-v1", topic="payments.events.v1", episode=1)
    assert decide(projection({}, behind_s=5.0), standing(STALLED)) == [over]
    assert decide(projection({}, behind_s=0), standing(STALLED, over)) == []


def test_an_alarm_counts_once_and_an_end_only_of_the_alarm_that_stands() -> None:
    place = place_of(dropped())
    late = standing(dropped(), dropped(rate=0.4), dropped(episode=7), drop_ended(episode=2))
    assert late[place] == Raised(alarm=dropped(), at=AT)
    assert standing(drop_ended()) == NOTHING_STANDS
    again = standing(dropped(), drop_ended(), dropped(), drop_ended())
    assert again == standing(dropped(), drop_ended())


def test_alarms_of_payments_stand_by_themselves() -> None:
    assert standing(VerificationOverdue(payment_id=PAYMENT, unsettled=(attempt(),))) == NOTHING_STANDS


HEALTH = st.builds(
    lambda n, share, usual, p90, calls: health(
        round(n * share), of=n, usual=(round(1000 * usual), 1000), p90=p90, calls=calls
    ),
    st.integers(0, 400),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(1, 5_000),
    st.integers(0, 300),
)


@given(st.lists(st.one_of(HEALTH, st.none())))
def test_alarms_and_ends_alternate_and_each_alarm_has_a_number_of_its_own(
    seen: Sequence[GatewayHealth | None],
) -> None:
    stands, told = NOTHING_STANDS, list[StandingAlarm | StandingEnd]()
    for found in seen:
        events = decide(gateways(*([found] if found else [])), stands)
        for event in events:
            stands = evolve(stands, recorded(event))
        told += events
    for kinds in ((SuccessRateDropped, SuccessRateDropEnded), (GatewayDegraded, GatewayDegradationEnded)):
        of_kind = [event for event in told if isinstance(event, kinds)]
        assert [event.episode for event in of_kind] == [n // 2 + 1 for n in range(len(of_kind))]
        assert [type(event) for event in of_kind] == [kinds[n % 2] for n in range(len(of_kind))]


@given(st.lists(st.one_of(HEALTH, st.none())))
def test_looking_again_at_the_same_figures_tells_nothing_more(seen: Sequence[GatewayHealth | None]) -> None:
    stands = NOTHING_STANDS
    for found in seen:
        command = gateways(*([found] if found else []))
        for event in decide(command, stands):
            stands = evolve(stands, recorded(event))
        if found is not None and not (found.outcomes == 0 and found.calls == 0):
            assert not [e for e in decide(command, stands) if not isinstance(e, StandingAlarm)]


def test_a_steady_gateway_is_hardly_ever_told_of() -> None:
    """CREDIBLE deviations and DROP points: by the normal tail less than once in two thousand independent looks."""
    for rate in (0.5, 0.8, 0.95, 0.99):
        for n in (20, 50, 200, 1000):
            lowest = n * (rate - 3.0 * sqrt(rate * (1 - rate) / n))
            seen = health(max(0, round(lowest)), of=n, usual=(round(11_000 * rate), 11_000))
            assert not has_dropped(seen) or rate - seen.rate > DROP + 0.1


class Told:
    """A topic of alarms that is heard at once, or later."""

    def __init__(self) -> None:
        self.events: list[ReliabilityEvent] = []

    async def publish(self, alarm: ReliabilityEvent) -> None:
        self.events.append(alarm)


def test_two_writers_that_see_the_same_tell_one_alarm_in_effect() -> None:
    """Both judge before they hear one another; whoever folds the topic has one alarm and one end."""
    told = Told()
    one, other = AlarmWriter(told), AlarmWriter(told)

    async def both(*commands: JudgeGateways) -> None:
        before = len(told.events)
        for writer, command in zip((one, other), commands, strict=True):
            await writer.judge(command)
        for event in told.events[before:]:
            one.take(recorded(event))
            other.take(recorded(event))

    asyncio.run(both(gateways(health(30, of=60)), gateways(health(31, of=62))))
    asyncio.run(both(gateways(health(95, of=100)), gateways(health(96, of=101))))
    asyncio.run(both(gateways(health(95, of=100)), gateways(health(96, of=101))))
    assert [type(event).__name__ for event in told.events] == ["SuccessRateDropped"] * 2 + [
        "SuccessRateDropEnded"
    ] * 2
    assert standing(*told.events) == standing(told.events[0], told.events[2])
